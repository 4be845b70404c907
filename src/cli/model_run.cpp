// SPDX-License-Identifier: Apache-2.0
#include "cli/model_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "comm/world.h"
#include "core/error.h"
#include "core/text.h"
#include "run/agreement.h"
#include "run/checkpoint.h"
#include "tasks/language/genome_lm.h"

namespace ocoee::cli {
namespace {

std::filesystem::path find_checkpoint(const std::filesystem::path& folder, int64_t step,
                                      comm::Communicator& world) {
  const std::filesystem::path checkpoints = folder / "checkpoints";
  const std::vector<int64_t> steps = run::checkpoint_steps(checkpoints);
  if (step == kBestStep) {
    const auto best = run::best_checkpoint(checkpoints);
    if (!best)
      fail(
          ErrorKind::data,
          "{}: no checkpoint of an evaluated step, so none is the best\n    fix: leave --step away "
          "for the newest; train.checkpoint_every and train.evaluate_every should meet",
          checkpoints.string());
    step = *best;
  }
  if (step == kNewestStep) {
    if (const auto found = run::latest_loadable(checkpoints, world))
      return run::checkpoint_path(checkpoints, *found);
    fail(ErrorKind::data,
         "{}: no checkpoint there\n    fix: name the directory of a run that has saved one",
         checkpoints.string());
  }
  if (std::find(steps.begin(), steps.end(), step) == steps.end()) {
    std::vector<std::string> there;
    for (const int64_t s : steps) there.push_back(std::to_string(s));
    fail(ErrorKind::data, "{}: no checkpoint of step {}; there {}", checkpoints.string(), step,
         there.empty() ? "are none" : "are those of " + join(there, ", "));
  }
  auto path = run::checkpoint_path(checkpoints, step);
  run::on_first_rank(world, [&] { run::verify_checkpoint(path); });
  return path;
}

}  // namespace

TrainedRun open_run(const Tasks& tasks, const std::filesystem::path& folder, int64_t step,
                    comm::Communicator* world) {
  const std::filesystem::path path = folder / "recipe.toml";
  if (!std::filesystem::exists(path))
    fail(ErrorKind::data,
         "{}: no recipe.toml there\n    fix: name a run directory, such as runs/genome_ecoli_demo",
         folder.string());
  const config::Document document = config::Document::from_file(path.string());
  const std::string name = document.string_at("task.name").value_or("");
  TrainedRun out;
  out.recipe = std::make_unique<DescribedRecipe>(find_task(tasks, name, path.string()));
  out.config = dynamic_cast<const tasks::LanguageConfig*>(out.recipe->task.get());
  if (!out.config)
    fail(ErrorKind::config,
         "{}: task {} trains no language model\n    fix: name a run of genome_lm or text_lm",
         path.string(), name);
  config::Problems problems;
  document.read(out.recipe->description, problems);
  problems.throw_if_any();
  out.token_names = {"byte", 0};
  if (const auto* genome = dynamic_cast<const tasks::GenomeLmConfig*>(out.config))
    out.token_names = {genome->tokens, genome->k};
  out.tokenizer = data::make_tokenizer(out.token_names.name, static_cast<int>(out.token_names.k));
  comm::World alone = comm::World::alone();
  const auto self = alone.host();
  out.checkpoint = find_checkpoint(folder, step, world ? *world : *self);
  return out;
}

tasks::HostTensors read_parameters(const tasks::LanguageConfig& config,
                                   const std::filesystem::path& checkpoint,
                                   const std::vector<std::string>& names) {
  const bool wide = config.precision.compute == "float64";
  const plan::ModelSpec spec = config.model_spec();
  tasks::HostTensors out;
  std::map<std::string, std::vector<double>> doubles;
  run::State state;
  for (const plan::ParameterSpec* p : spec.all_parameters()) {
    if (!names.empty() && std::find(names.begin(), names.end(), p->name) == names.end()) continue;
    const auto elements = static_cast<size_t>(p->elements());
    tasks::HostTensor& t = out[p->name];
    t.shape = p->shape;
    t.values.resize(elements);
    void* data = t.values.data();
    if (wide) {
      doubles[p->name].resize(elements);
      data = doubles[p->name].data();
    }
    const DType dtype = wide ? DType::f64 : DType::f32;
    run::Box all{std::vector<int64_t>(p->shape.size(), 0), p->shape};
    state.arrays.push_back(
        {p->name, p->shape, dtype, {run::host_piece(std::move(all), data, dtype)}});
  }
  comm::World alone = comm::World::alone();
  run::load_checkpoint(checkpoint, state, *alone.host());
  for (const auto& [name, values] : doubles)
    std::transform(values.begin(), values.end(), out[name].values.begin(),
                   [](double v) { return static_cast<float>(v); });
  return out;
}

}  // namespace ocoee::cli
