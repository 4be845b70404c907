// SPDX-License-Identifier: Apache-2.0
// A generative adversarial network on points of the plane: eight Gaussians on a ring. Deliberately
// small: two models, two objectives that alternate, and no special case in the trainer.
#pragma once

#include "models/mlp.h"
#include "optim/optimizer_config.h"
#include "plan/training_config.h"
#include "run/task.h"

namespace ocoee::tasks {

class ToyGanConfig : public run::TaskConfig {
 public:
  int64_t latent = 8;  // size of the noise
  int64_t width = 64;
  int64_t hidden_layers = 2;
  int64_t critic_repeats = 2;  // critic updates for each generator update
  double ring_radius = 1;
  double ring_spread = 0.05;
  plan::BatchConfig batch;
  plan::LayoutConfig layout;
  plan::PrecisionConfig precision;
  optim::OptimizerConfig critic, generator;
  plan::TrainConfig train;

  ToyGanConfig();
  void describe(config::Description& recipe) override;
  void check(config::Problems& problems, const run::RunConfig& run, int ranks) const override;
  comm::Shape mesh(int ranks) const override;
  nlohmann::json preview(const run::RunConfig& run, int ranks) const override;
  void keep_what_acts(int ranks) override;

  plan::ModelSpec generator_spec() const;
  plan::ModelSpec critic_spec() const;

 private:
  std::string name_;
};

std::unique_ptr<run::Task> build_toy_gan(const run::TaskConfig& config, run::Context& context);

}  // namespace ocoee::tasks
