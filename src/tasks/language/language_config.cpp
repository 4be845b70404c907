// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/language_config.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "plan/placement.h"

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

void LanguageConfig::check(config::Problems& problems, const run::RunConfig&, int ranks) const {
  check_task(problems);
  model.check(problems);
  optimizer.check(problems, train.steps);
  plan::check_training(problems, batch, layout, ranks, {.pipeline = true, .shard = true});
  if (problems.empty()) plan::check_placement(problems, model_spec(), batch, layout, ranks);
}

comm::Shape LanguageConfig::mesh(int ranks) const {
  comm::Shape shape;
  shape[comm::Axis::data] = static_cast<int>(layout.data(ranks));
  shape[comm::Axis::tensor] = static_cast<int>(layout.tensor);
  shape[comm::Axis::pipeline] = static_cast<int>(layout.pipeline);
  shape[comm::Axis::context] = static_cast<int>(layout.context);
  shape[comm::Axis::instance] = static_cast<int>(layout.instances);
  return shape;
}

nlohmann::json LanguageConfig::preview(const run::RunConfig&, int ranks) const {
  const plan::ModelSpec spec = model_spec();
  const plan::BatchPlan plan = plan::plan_batch(batch, layout, ranks);
  const double n = static_cast<double>(spec.parameters());
  const double tokens = static_cast<double>(batch.global * model.context);
  const double compute_bytes = static_cast<double>(precision.compute_bytes());
  const double master_bytes = precision.compute == "float64" ? 8 : 4;
  const bool has_copy = compute_bytes < master_bytes;

  // An upper bound for one rank: what is kept, and the largest temporaries beside it.
  const double micro_tokens = static_cast<double>(plan.micro * model.context);
  const double weights = n * (master_bytes + (has_copy ? compute_bytes : 0));
  const double optimizer_states =
      n * master_bytes * static_cast<double>(optimizer.states_per_parameter());
  double activations = spec.saved_bytes_per_token(static_cast<int>(compute_bytes)) * micro_tokens;
  if (layout.recompute == "full") {
    const double per_block = activations / static_cast<double>(model.layers);
    activations =
        per_block + micro_tokens * static_cast<double>(model.width * model.layers) * compute_bytes;
  }
  const double logits = micro_tokens * static_cast<double>(vocabulary()) *
                        (compute_bytes + 2 * std::max(4.0, compute_bytes));
  const nlohmann::json memory = {{"weights", weights},
                                 {"gradients", n * master_bytes},
                                 {"optimizer", optimizer_states},
                                 {"activations", activations},
                                 {"loss", logits}};
  double total = 0;
  for (const auto& [category, bytes] : memory.items()) total += bytes.get<double>();

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
  out["memory_bytes"] = memory;
  out["memory_total_bytes"] = total;
  out["micro_batch"] = plan.micro;
  out["accumulation"] = plan.accumulation;
  out["data_ranks"] = plan.data;
  out["steps"] = train.steps;
  out["lines"] = {
      fmt::format("model: {} parameters, {} layers, width {}, {} heads, vocabulary {}, context {}",
                  format_count(n), model.layers, model.width, model.heads, vocabulary(),
                  model.context),
      fmt::format("step: {} samples = {} tokens, {} data rank{} x {} samples x {} passes, {}FLOP",
                  batch.global, format_count(tokens), plan.data, plan.data == 1 ? "" : "s",
                  plan.micro, plan.accumulation, format_count(flops)),
      fmt::format("memory per rank, at most: {} (weights {}, gradients {}, optimizer {}, "
                  "activations {}, loss {})",
                  format_bytes(total), format_bytes(weights), format_bytes(n * master_bytes),
                  format_bytes(optimizer_states), format_bytes(activations), format_bytes(logits))};
  return out;
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
