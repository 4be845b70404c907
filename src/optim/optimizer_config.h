// SPDX-License-Identifier: Apache-2.0
// Section [optimizer]: which optimizer, how fast, and how its learning rate moves.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"

namespace ocoee::optim {

struct OptimizerConfig {
  std::string name = "adamw";        // adamw | sgd
  double learning_rate = 1e-3;       // at its peak
  double beta1 = 0.9, beta2 = 0.95;  // adamw
  double epsilon = 1e-8;             // adamw
  double momentum = 0.9;             // sgd
  double weight_decay = 0.1;         // decoupled; none on norms and biases
  double clip = 1.0;                 // largest global gradient norm; 0 = off
  std::string schedule = "cosine";   // constant | linear | cosine | wsd
  int64_t warmup_steps = 0;
  int64_t decay_steps = 0;    // wsd: length of the last, falling part; 0 = a fifth of the run
  double final_ratio = 0.05;  // learning rate at the end over its peak

  void describe(config::Description& d);
  void check(config::Problems& problems, int64_t total_steps,
             const std::string& section = "optimizer") const;
  int states_per_parameter() const;  // buffers of the masters' size
};

// Learning rate of update `step` (from 0) of `total`.
double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t total);

std::vector<std::pair<std::string, std::string>> optimizer_names();  // name, one line

}  // namespace ocoee::optim
