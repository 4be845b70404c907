// SPDX-License-Identifier: Apache-2.0
// ocoee score, sample, export, import: what is done with a trained language model.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>

#include "cli/model_import.h"
#include "cli/model_run.h"
#include "cli/model_sample.h"
#include "cli/model_score.h"
#include "cli/verbs.h"
#include "comm/world.h"
#include "core/error.h"
#include "core/file.h"
#include "data/store.h"
#include "data/windows.h"
#include "run/agreement.h"
#include "run/runner.h"
#include "run/safetensors.h"

namespace ocoee::cli {
namespace {

// CLI11's own ranges print a bound of 309 digits.
template <class T>
CLI::Validator from(T least, const char* kind) {
  return {[least, kind](std::string& text) {
            T value{};
            if (CLI::detail::lexical_cast(text, value) && value >= least) return std::string();
            return fmt::format("{}: expected a {} from {}", text, kind, least);
          },
          ""};
}
CLI::Validator whole_from(int64_t least) {
  return from<int64_t>(least, "whole number");
}

CLI::Validator step_or_best() {
  return {[](std::string& text) {
            int64_t step = 0;
            if (text == "best") {
              text = std::to_string(kBestStep);
            } else if (!CLI::detail::lexical_cast(text, step) || step < 0) {
              return text + ": expected a whole number from 0, or best";
            }
            return std::string();
          },
          ""};
}

// Under mpirun each rank would do the same work and write the same answer.
void one_process(const char* verb) {
  if (comm::launched_size() > 1)
    fail(ErrorKind::config,
         "ocoee {} is one process, but {} were launched\n    fix: leave mpirun or srun away", verb,
         comm::launched_size());
}

// What one process does, or the ranks of a launch together. An error that all of them see is told
// once.
int together(const std::function<void(comm::World&)>& work) {
  comm::World world = comm::World::start();
  try {
    work(world);
  } catch (const run::AgreedError& error) {
    if (world.rank() != 0) throw run::ReportedError(error.kind(), error.what());
    throw;
  }
  return 0;
}

struct Chosen {  // options of every verb that opens a run
  std::string run, device = "auto";
  int64_t step = kNewestStep;
  void add_to(CLI::App* verb, bool computes) {
    verb->add_option("--run", run, "a run directory, such as runs/NAME")->required();
    verb->add_option("--step", step,
                     "the checkpoint of this step, or best: of the best evaluation; by default the "
                     "newest")
        ->type_name("N|best")
        ->transform(step_or_best());
    if (computes)
      verb->add_option("--device", device, "auto, cpu or cuda")
          ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  }
};

struct ScoreOptions : Chosen {
  std::string file, substitutions, logits;
  std::vector<std::string> words;
};

// For comparisons with other programs: the inputs and logits of the first windows of the file.
void write_logits(const ScoreOptions& o, LanguageModel& model, const TrainedRun& run,
                  const std::shared_ptr<const data::Corpus>& corpus) {
  const data::HeldOutSource windows(data::whole(corpus), run.tokenizer, model.context());
  const int64_t rows = std::min<int64_t>(windows.size(), 4), length = model.context();
  std::vector<int64_t> tokens;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<int64_t> row(static_cast<size_t>(length + 1));
    std::vector<float> weights(static_cast<size_t>(length));
    windows.fill(r, {row.data(), weights.data()});
    tokens.insert(tokens.end(), row.begin(), row.end() - 1);
  }
  const std::vector<float> logits = model.logits(tokens, rows, /*only_last=*/false);
  run::write_safetensors(
      o.logits, {{"tokens", DType::i64, {rows, length}, tokens.data()},
                 {"logits", DType::f32, {rows, length, model.vocabulary()}, logits.data()}});
}

int score(const Tasks& tasks, const ScoreOptions& o) {
  one_process("score");
  const TrainedRun run = open_run(tasks, o.run, o.step);
  if (run.is_text() && !(o.substitutions.empty() && o.words.empty()))
    fail(ErrorKind::config, "{}: the model of {} reads bytes, not bases",
         o.words.empty() ? "--substitutions" : "--substitution", o.run);
  const auto cache = data::default_cache_folder();
  const auto corpus = run.is_text() ? data::Corpus::from_text({o.file}, cache)
                                    : data::Corpus::from_fasta({o.file}, cache);
  std::vector<data::Substitution> substitutions;
  if (!o.substitutions.empty()) substitutions = data::read_substitutions(o.substitutions);
  for (const std::string& word : o.words) substitutions.push_back(data::parse_substitution(word));
  if (!substitutions.empty())
    data::locate(substitutions, *corpus);  // mistakes are told before the model is loaded

  const auto model = load_language_model(*run.config, run.checkpoint, o.device);
  if (!o.logits.empty()) write_logits(o, *model, run, corpus);
  const std::string table =
      substitutions.empty() && o.substitutions.empty()
          ? records_table(score_records(*model, run.tokenizer, corpus), run.is_text())
          : substitutions_table(
                substitutions, score_substitutions(*model, *run.tokenizer, *corpus, substitutions));
  print_answer(table);
  return 0;
}

void add_score(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto o = std::make_shared<ScoreOptions>();
  CLI::App* verb = program.add_subcommand("score",
                                          "bits per base of sequences under a trained model, or "
                                          "what substitutions do to their likelihood");
  o->add_to(verb, true);
  verb->add_option("file", o->file, "FASTA, as it is or gzipped; for a model of bytes, any file")
      ->required();
  verb->add_option("--substitutions", o->substitutions,
                   "a table (record, position from 1, reference, alternative) or VCF");
  verb->add_option("--substitution", o->words, "one, as RECORD:1234A>G; as often as needed")
      ->allow_extra_args(false);
  verb->add_option("--logits", o->logits,
                   "safetensors file for the inputs and logits of the first four windows")
      ->group("");
  verb->callback([&tasks, &chosen, o] { chosen = [&tasks, o] { return score(tasks, *o); }; });
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

int sample(const Tasks& tasks, const Chosen& o, SampleOptions options) {
  one_process("sample");
  const TrainedRun run = open_run(tasks, o.run, o.step);
  if (!run.is_text()) options.prompt = upper(options.prompt);
  check_sample_options(*run.tokenizer, options);  // mistakes are told before the model is loaded
  const auto model = load_language_model(*run.config, run.checkpoint, o.device);
  const std::vector<std::string> sequences = sample_sequences(*model, *run.tokenizer, options);
  std::string out;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (run.is_text()) {
      out += sequences[i] + "\n";
      continue;
    }
    out += fmt::format(">sample_{} seed={} temperature={} top_k={}\n", i + 1, options.seed,
                       options.temperature, options.top_k);
    for (size_t begin = 0; begin < sequences[i].size(); begin += 70)
      out += sequences[i].substr(begin, 70) + "\n";
  }
  print_answer(out);
  return 0;
}

void add_sample(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto o = std::make_shared<Chosen>();
  auto options = std::make_shared<SampleOptions>();
  CLI::App* verb = program.add_subcommand(
      "sample", "write sequences drawn from a trained model, as FASTA (text for a model of bytes)");
  o->add_to(verb, true);
  verb->add_option("--length", options->length, "bases (bytes), the prompt counted")
      ->check(whole_from(1))
      ->capture_default_str();
  verb->add_option("--count", options->count, "sequences")
      ->check(whole_from(1))
      ->capture_default_str();
  verb->add_option("--temperature", options->temperature,
                   "above 1 more varied, below 1 less; 0 = always the likeliest")
      ->check(from<double>(0, "number"))
      ->capture_default_str();
  verb->add_option("--top-k", options->top_k, "draw among the k likeliest words; 0 = all")
      ->check(whole_from(0))
      ->capture_default_str();
  verb->add_option("--seed", options->seed, "other numbers, other sequences")
      ->capture_default_str();
  verb->add_option("--prompt", options->prompt, "what the sequences begin with");
  verb->callback([&tasks, &chosen, o, options] {
    chosen = [&tasks, o, options] { return sample(tasks, *o, *options); };
  });
}

void add_export(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto o = std::make_shared<Chosen>();
  auto to = std::make_shared<std::string>();
  CLI::App* verb = program.add_subcommand(
      "export", "write a trained model for Hugging Face transformers (GPT-2 or Llama)");
  o->add_to(verb, false);
  verb->add_option("--to", *to, "a folder for model.safetensors, config.json and key_map.json")
      ->required();
  auto gigabytes = std::make_shared<double>(0);
  verb->add_option("--file-size", *gigabytes,
                   "GB; a larger model becomes several files and their index, which the ranks of "
                   "mpirun write in turn, a tensor at a time; by default 5, and at most an even "
                   "share of the ranks")
      ->check(from<double>(1e-6, "number"));
  verb->callback([&tasks, &chosen, o, to, gigabytes] {
    chosen = [&tasks, o, to, gigabytes] {
      return together([&](comm::World& world) {
        const auto host = world.host();
        const TrainedRun run = open_run(tasks, o->run, o->step, host.get());
        const std::string family = tasks::hugging_face_family(run.config->model);
        tasks::ExportOptions options;
        options.file_bytes = static_cast<int64_t>(*gigabytes * 1e9);
        options.world = host.get();
        tasks::write_hugging_face(
            *to, run.config->model, run.config->vocabulary(), run.token_names,
            [&](const std::vector<std::string>& names) {
              return read_parameters(*run.config, run.checkpoint, names);
            },
            options);
        if (world.rank() == 0)
          std::printf("%s: %s, from %s\n", to->c_str(), family.c_str(),
                      run.checkpoint.string().c_str());
      });
    };
  });
}

void add_import(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto o = std::make_shared<ImportOptions>();
  auto paths = std::make_shared<std::pair<std::string, std::string>>();
  CLI::App* verb = program.add_subcommand(
      "import", "make a run of a GPT-2 or Llama in Hugging Face format, to score with or train on");
  verb->add_option("folder", paths->first, "a folder with config.json and model.safetensors")
      ->required();
  verb->add_option("--to", paths->second, "the run directory to make, such as runs/imported")
      ->required();
  verb->add_option("--data", o->files,
                   "what the recipe trains on: FASTA, or any files for a model of bytes")
      ->required();
  verb->add_option(
          "--tokens", o->tokens,
          "nucleotide, codon, kmer or byte; by default as key_map.json or the vocabulary says")
      ->check(CLI::IsMember({"nucleotide", "codon", "kmer", "byte"}));
  verb->add_option("--k", o->k, "bases per token of kmer");
  verb->callback([&tasks, &chosen, o, paths] {
    chosen = [&tasks, o, paths] {
      o->from = paths->first, o->to = without_end_slash(paths->second);
      return together([&](comm::World& world) {
        const auto recipe = import_model(tasks, *o, &world);
        if (world.rank() == 0) std::printf("recipe %s\n", recipe.string().c_str());
      });
    };
  });
}

}  // namespace

void add_model_verbs(CLI::App& program, const Tasks& tasks, Action& chosen) {
  add_score(program, tasks, chosen);
  add_sample(program, tasks, chosen);
  add_export(program, tasks, chosen);
  add_import(program, tasks, chosen);
}

}  // namespace ocoee::cli
