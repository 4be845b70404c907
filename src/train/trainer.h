// SPDX-License-Identifier: Apache-2.0
// Training as a task: one advance() is one cycle of its objectives (one optimizer step for a
// language model; critic x5 and generator x1 for a GAN). It knows no model: parts() of a task file
// say which models, objectives and data.
#pragma once

#include <memory>
#include <vector>

#include "optim/optimizer_config.h"
#include "plan/training_config.h"
#include "run/task.h"
#include "train/objective.h"

namespace ocoee::train {

struct ObjectiveParts {
  std::unique_ptr<Objective> objective;
  std::shared_ptr<data::Source> source;
  optim::OptimizerConfig optimizer;
};

// What a task file hands to the trainer.
struct TrainerParts {
  Models models;
  std::vector<ObjectiveParts> objectives;
  std::unique_ptr<Evaluation> evaluation;  // may be empty
  plan::BatchConfig batch;
  plan::LayoutConfig layout;
  plan::PrecisionConfig precision;
  plan::TrainConfig train;
  double tokens_per_sample = 0;           // for tokens per second; 0 = the task has no tokens
  double flops_per_sample = 0;            // forward and backward of one cycle, without recompute
  double recompute_flops_per_sample = 0;  // what recompute adds
  nlohmann::json summary;  // headline facts for summary.json: baselines, Markov table
};

std::unique_ptr<run::Task> make_trainer(TrainerParts parts, run::Context& context);

}  // namespace ocoee::train
