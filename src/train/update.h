// SPDX-License-Identifier: Apache-2.0
// One model's optimizer step over its weight store: global gradient norm, clipping, loss scaling,
// update, low-precision copy. Everything is enqueued; step-dependent numbers lie in a small device
// buffer, so that a captured step replays.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "optim/optimizer_config.h"
#include "parallel/engine.h"
#include "plan/training_config.h"
#include "run/state.h"

namespace ocoee::train {

class Update {
 public:
  // The engine outlives it.
  Update(const std::string& model_name, parallel::Engine& engine,
         const optim::OptimizerConfig& config, const plan::PrecisionConfig& precision,
         int64_t total_updates);
  ~Update();
  Update(Update&&) noexcept;

  void prepare(int64_t update);  // before update number `update` (from 0): the learning rate goes
                                 // to the device
  // After backward: waits (on the stream) for the gradients' sums, and takes their norm meanwhile.
  void finish_gradients();
  void apply();  // then enqueues the update, and what makes the new values known
  const std::string& model() const;
  at::Tensor loss_scale() const;  // device scalar: multiply the backward seed by it

  struct Report {
    double learning_rate = 0, gradient_norm = 0, loss_scale = 1;
    int64_t skipped_in_row = 0;  // float16 overflow steps in a row
    int64_t zero_gradients_in_row = 0;
    bool finite = true;  // of the last update's gradients
  };
  Report read() const;  // the host waits

  std::vector<run::StateArray> arrays() const;
  nlohmann::json values() const;
  void load_values(const nlohmann::json& values);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocoee::train
