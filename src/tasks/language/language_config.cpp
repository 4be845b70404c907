// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/language_config.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/host.h"
#include "core/text.h"
#include "plan/machine.h"
#include "plan/placement.h"
#include "plan/run_plan.h"
#include "plan/timed_cuts.h"
#include "plan/tune/acting.h"
#include "tasks/mesh_shape.h"

namespace ocoee::tasks {

void LanguageConfig::describe(config::Description& recipe) {
  config::Description& task = recipe.section("task", "What is trained, and on what.");
  task.field("name", name_, "the task; `ocoee list tasks` shows them").required();
  describe_task(task);
  recipe.section("model", model, "The decoder transformer.");
  recipe.section("batch", batch, "How many samples a step takes.");
  recipe.section("layout", layout, "Ranks per axis; the data axis is what is left of the world.");
  recipe.section("precision", precision, "Number types.");
  recipe.section("optimizer", optimizer, "How weights move.");
  recipe.section("train", train, "How long, and how often it looks up.");
}

namespace {

void check_machine(config::Problems& problems, const std::string& machine) {
  if (machine.empty()) return;
  try {
    plan::load_machine(machine);
  } catch (const Error& error) {
    const auto [what, fix] = split_fix(error.what());
    problems.add("run.machine", what, fix);
  }
}

}  // namespace

void LanguageConfig::check(config::Problems& problems, const run::RunConfig& run, int ranks) const {
  const size_t before = problems.all().size();
  check_task(problems);
  check_machine(problems, run.machine);
  model.check(problems);
  precision.check(problems, /*has_float8_products=*/true);
  const bool has_model = problems.all().size() == before;
  optimizer.check(problems, train.steps);
  plan::check_training(
      problems, batch, layout, ranks,
      {.pipeline = true, .shard = true, .tensor = true, .context = true, .logits = true});
  plan::check_gradients(problems, precision, batch, layout, ranks);
  if (has_model) plan::check_placement(problems, model_spec(), batch, layout, ranks);
}

comm::Shape LanguageConfig::mesh(int ranks) const {
  return mesh_shape(layout, precision, ranks);
}

void LanguageConfig::keep_what_acts(int ranks) {
  plan::keep_what_acts(batch, layout, precision, ranks);
}

std::shared_ptr<const plan::Planned> LanguageConfig::planned(int64_t ranks) const {
  auto planned = std::make_shared<plan::Planned>();
  plan::Workload& w = planned->workload;
  w.name = name_;
  w.model = model_spec();
  w.sequence = model.context;
  w.global_batch = batch.global;
  w.compute = precision.compute;
  w.gradients = precision.gradients;
  w.moments = precision.moments;
  w.masters = precision.masters;
  w.float8 = precision.float8;
  w.cuts = layout.cuts;
  w.context_by_heads = layout.context_method == "all_to_all";
  w.halves = layout.halves;
  w.copy_engines = layout.copy_engines != "off";
  w.optimizer_states = static_cast<double>(optimizer.states_per_parameter());
  if (ranks % layout.model_ranks() != 0) {
    planned->problem = fmt::format("tensor {} x pipeline {} x context {} do not divide {} ranks",
                                   layout.tensor, layout.pipeline, layout.context, ranks);
    return planned;
  }
  if (batch.global % layout.data(ranks) != 0) {
    planned->problem =
        fmt::format("{} data ranks do not divide a batch of {}", layout.data(ranks), batch.global);
    return planned;
  }
  const plan::BatchPlan split = plan::plan_batch(batch, layout, ranks);
  plan::Configuration c;
  c.tensor = layout.tensor;
  c.context = layout.context;
  c.pipeline = layout.pipeline;
  c.data = split.data;
  c.micro = split.micro;
  c.chunks = layout.chunks;
  c.schedule = plan::schedule_from_name(layout.schedule);
  c.shard = plan::shard_from_name(layout.shard);
  c.shard_group = layout.shard_group;
  c.recompute = plan::recompute_from_name(layout.recompute);
  c.offload = layout.offload;
  c.placement = plan::placement_from_name(layout.placement);
  planned->layout = c;
  return planned;
}

nlohmann::json LanguageConfig::preview(const run::RunConfig& run, int ranks) const {
  plan::Planned planned = *this->planned(ranks);
  planned.workload.cuts = plan::timed_cuts(planned, run.machine);
  planned.workload.threads =
      run.threads > 0 ? run.threads : static_cast<int64_t>(usable_cores().size());
  const plan::ModelSpec& spec = planned.workload.model;
  const plan::BatchPlan split = plan::plan_batch(batch, layout, ranks);
  const double tokens = static_cast<double>(batch.global) * static_cast<double>(model.context);
  const double flops = spec.training_flops_per_token() * tokens;
  nlohmann::json out;
  out["parameters"] = spec.parameters();
  out["non_embedding_parameters"] = spec.non_embedding_parameters();
  out["flops_per_step"] = flops;
  out["flops_per_token"] = spec.training_flops_per_token();
  out["flop_convention"] =
      "products with weights 6 per weight and token; attention 12 x layers x width x context "
      "(full, not causal); recompute apart";
  out["tokens_per_step"] = tokens;
  out["micro_batch"] = split.micro;
  out["accumulation"] = split.accumulation;
  out["data_ranks"] = split.data;
  out["steps"] = train.steps;
  out["lines"] = {
      fmt::format("model: {} parameters, {}, width {}, {}, vocabulary {}, context {}",
                  format_count(static_cast<double>(spec.parameters())),
                  counted(model.layers, "layer"), model.width, counted(model.heads, "head"),
                  vocabulary(), model.context),
      fmt::format("step: {} = {} tokens, {} x {} x {}, {}", counted(batch.global, "sample"),
                  format_count(tokens), counted(split.data, "data rank"),
                  counted(split.micro, "sample"),
                  split.accumulation == 1 ? "1 pass" : fmt::format("{} passes", split.accumulation),
                  format_flops(flops))};
  if (const int64_t rows = plan::padded(vocabulary(), layout.tensor); rows != vocabulary()) {
    out["lines"].push_back(
        fmt::format("vocabulary: {} padded to {}, so that {} tensor ranks have {} each",
                    vocabulary(), rows, layout.tensor, rows / layout.tensor));
  }
  plan::predict_run(planned, run.machine, train.steps, out);
  for (const std::string& line : train.gaps(run.checkpoint_interval)) out["lines"].push_back(line);
  return out;
}

std::string LanguageConfig::read_inputs() const {
  data::WindowOptions options;
  options.context = model.context;
  const LanguageData read = read_data(/*cache=*/{}, options);
  const int64_t held_out = read.split.held_out.letters();
  std::string line = fmt::format(
      "data: {} in {}, {} to train on and {} held out", counted(read.letters, read.letter.c_str()),
      counted(read.records, "record"), read.letters - held_out, held_out);
  if (const int64_t skipped = read.windows->letters_skipped(); skipped > 0)
    line += fmt::format("; {} of those to train on lie in pieces shorter than a window", skipped);
  return line;
}

LanguageData split_data(const std::string& letter,
                        const std::vector<std::shared_ptr<const data::Corpus>>& corpora,
                        double held_out) {
  LanguageData out;
  out.letter = letter;
  for (const auto& corpus : corpora) {
    out.records += static_cast<int64_t>(corpus->records().size());
    out.letters += corpus->letters();
  }
  out.split = data::split_last(corpora.at(0), held_out);
  return out;
}

void add_windows(LanguageData& to, data::Part training,
                 const std::shared_ptr<const data::Tokenizer>& tokenizer,
                 const data::WindowOptions& options) {
  to.windows = std::make_shared<data::WindowSource>(std::move(training), tokenizer, options);
  to.held_out = std::make_shared<data::HeldOutSource>(to.split.held_out, tokenizer, options.context,
                                                      options.pieces);
}

std::vector<std::string> language_axes() {
  return {"tensor", "pipeline", "context"};
}

std::string debug_language_training(int64_t steps) {
  return fmt::format(
      "[batch]\nglobal = 8\nmicro = 4\n"
      "[optimizer]\nlearning_rate = 2e-2\nweight_decay = 0\nwarmup_steps = 4\n"
      "[train]\nsteps = {}\nevaluate_every = {}\ncheckpoint_every = {}\n",
      steps, steps / 2, steps / 4);
}

void check_files(config::Problems& problems, const std::string& key,
                 const std::vector<std::string>& files) {
  if (files.empty()) problems.add(key, "an empty list: at least one file is needed");
  for (const std::string& file : files) {
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
      problems.add(key, fmt::format("{}: no such file", file),
                   "paths are taken from the folder where the program runs");
    } else if (std::filesystem::is_directory(file, error)) {
      problems.add(key, fmt::format("{}: a folder, not a file", file), "name the files in it");
    }
  }
}

}  // namespace ocoee::tasks
