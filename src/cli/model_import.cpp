// SPDX-License-Identifier: Apache-2.0
#include "cli/model_import.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "cli/recipe.h"
#include "comm/world.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "core/version.h"
#include "data/tokenizer.h"
#include "run/agreement.h"
#include "run/checkpoint.h"
#include "tasks/language/genome_lm.h"

namespace ocoee::cli {
namespace {

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump();
}  // TOML's basic strings are JSON's

// The imported weights take the place of the initial ones, under the same names.
void put_weights(const run::State& state, const tasks::ForeignWeights& weights) {
  for (const run::StateArray& array : state.arrays) {
    const auto found = weights.parts().find(array.name);
    if (found == weights.parts().end()) continue;  // an optimizer's
    OCOEE_CHECK(found->second.shape == array.shape && array.dtype == DType::f32,
                "{} has another shape or type", array.name);
    for (const run::Piece& piece : array.pieces) {
      std::vector<float> part(static_cast<size_t>(piece.box.elements()));
      weights.read(array.name, piece.box, part.data());
      piece.load(part.data());
    }
  }
}

void write_checkpoint(Recipe& recipe, const std::filesystem::path& folder,
                      const tasks::ForeignWeights& weights, comm::World& world) {
  // Baselines of the data belong to the run that will train.
  if (auto* genome = dynamic_cast<tasks::GenomeLmConfig*>(recipe.task.get()))
    genome->markov_order = -1;
  if (auto* language = dynamic_cast<tasks::LanguageConfig*>(recipe.task.get());
      language && world.size() > 1) {  // no rank holds more than its share
    language->layout.shard = "parameters";
    language->batch.global = world.size();
  }
  comm::Mesh mesh(world, recipe.task->mesh(world.size()), device::Device{});
  run::Events events;
  run::Context context{world, mesh, events, recipe.run, folder};
  const std::unique_ptr<run::Task> task = recipe.type->build(*recipe.task, context);
  const run::State state = task->state();
  put_weights(state, weights);
  run::CheckpointWriter writer(folder / "checkpoints", *world.host(), 1, {kVersion, ""});
  writer.begin(0, state, std::numeric_limits<double>::quiet_NaN());
  writer.finish();
}

tasks::TokenNames choose_tokens(const ImportOptions& options, const tasks::ForeignFolder& foreign) {
  if (!options.tokens.empty()) return {options.tokens, options.k};
  return foreign.tokens ? *foreign.tokens : tokens_of_vocabulary(foreign.model.vocabulary);
}

void check_vocabulary(const tasks::TokenNames& tokens, int64_t vocabulary) {
  const int64_t own = data::make_tokenizer(tokens.name, static_cast<int>(tokens.k))->vocabulary();
  const bool fits = tokens.name == "byte" ? own <= vocabulary : own == vocabulary;
  if (!fits)
    fail(ErrorKind::config,
         "the model has a vocabulary of {}, but {} tokens are {}\n    fix: name the tokens that it "
         "was trained on with --tokens",
         vocabulary, tokens.name, own);
}

}  // namespace

tasks::TokenNames tokens_of_vocabulary(int64_t vocabulary) {
  for (const char* name : {"nucleotide", "codon"}) {
    if (data::make_tokenizer(name)->vocabulary() == vocabulary) return {name, 0};
  }
  for (int k = 2; k <= 10; ++k) {
    if (data::make_tokenizer("kmer", k)->vocabulary() == vocabulary) return {"kmer", k};
  }
  if (data::make_tokenizer("byte")->vocabulary() <= vocabulary) return {"byte", 0};
  fail(ErrorKind::config,
       "none of Ocoee's tokenizers has {} tokens (nucleotide 9, codon 69, kmer 4^k + 5, byte "
       "261)\n    fix: train it anew on one of them",
       vocabulary);
}

std::string imported_recipe(const ImportOptions& o, const tasks::ForeignModel& model,
                            const tasks::TokenNames& tokens) {
  const models::GptConfig& c = model.config;
  std::vector<std::string> files;
  for (const std::string& file : o.files) files.push_back(quoted(file));
  const bool text = tokens.name == "byte";
  std::string out = fmt::format(
      "# Goes on from the weights of {}\nversion = 1\n\n[run]\nname = {}\ndir = {}\n\n[task]\nname "
      "= {}\n{} = [{}]\n",
      o.from.string(), quoted(o.to.filename().string()), quoted(o.to.string()),
      text ? "\"text_lm\"" : "\"genome_lm\"", text ? "files" : "fasta", join(files, ", "));
  if (text)
    out += fmt::format("vocabulary = {}\n", model.vocabulary);
  else
    out += fmt::format("tokens = {}\n", quoted(tokens.name));
  if (tokens.name == "kmer") out += fmt::format("k = {}\n", tokens.k);
  out += fmt::format(
      "\n[model]\nstyle = \"{}\"\nlayers = {}\nwidth = {}\nheads = {}\nkv_heads = {}\ncontext = "
      "{}\nfeed_forward = {}\n",
      c.style, c.layers, c.width, c.heads, c.kv_heads, c.context, c.feed_forward);
  out += fmt::format(
      "bias = \"{}\"\ntied = \"{}\"\nrope_base = {}\nepsilon = {}\ndropout = {}\nattention_dropout "
      "= {}\ninit_std = {}\n",
      c.bias, c.tied, c.rope_base, c.epsilon, c.dropout, c.attention_dropout, c.init_std);
  return out;
}

std::filesystem::path import_model(const Tasks& tasks, const ImportOptions& options,
                                   comm::World* ranks) {
  comm::World alone = comm::World::alone();
  comm::World& world = ranks ? *ranks : alone;
  const auto host = world.host();
  std::error_code error;
  run::on_first_rank(*host, [&] {
    if (std::filesystem::exists(options.to, error))
      fail(ErrorKind::config,
           "{}: is there already\n    fix: name a run directory that is not, such as runs/imported",
           options.to.string());
  });
  if (options.k != 0 && options.tokens != "kmer")
    fail(ErrorKind::config, "--k has no effect without --tokens kmer\n    fix: leave --k out");
  const tasks::ForeignFolder foreign = tasks::read_hugging_face(options.from);
  const tasks::TokenNames tokens = choose_tokens(options, foreign);
  check_vocabulary(tokens, foreign.model.vocabulary);
  const std::string toml = imported_recipe(options, foreign.model, tokens);

  // Everything is checked before anything is written where the run will be.
  const auto type_name =
      config::Document::from_text(toml, "imported recipe").string_at("task.name");
  const run::TaskType& type = find_task(tasks, *type_name, "imported recipe");
  if (!type.build)
    fail(ErrorKind::config,
         "this program was built without LibTorch, so it cannot make a checkpoint to train from\n  "
         "  fix: ./dev build");
  Recipe recipe(type, "imported recipe");
  config::Problems problems;
  config::Document::from_text(toml, "imported recipe").read(recipe.description, problems);
  if (problems.empty()) recipe.task->check(problems, recipe.run, 1);
  problems.throw_if_any();

  run::on_first_rank(*host, [&] {
    std::filesystem::create_directories(options.to / "checkpoints", error);
    if (error) fail(ErrorKind::file, "{}: cannot create: {}", options.to.string(), error.message());
  });
  try {
    write_checkpoint(recipe, options.to, foreign.weights, world);
    run::on_first_rank(*host, [&] { write_file_atomically(options.to / "recipe.toml", toml); });
  } catch (...) {
    if (world.rank() == 0)  // half a run would be taken for one
      std::filesystem::remove_all(options.to, error);
    throw;
  }
  return options.to / "recipe.toml";
}

}  // namespace ocoee::cli
