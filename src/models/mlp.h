// SPDX-License-Identifier: Apache-2.0
// A small dense network: linear layers with an activation between them. x [B, inputs] -> x [B,
// outputs].
#pragma once

#include <cstdint>
#include <string>

#include "plan/layer_spec.h"

namespace ocoee::models {

struct MlpConfig {
  int64_t inputs = 2, width = 64, hidden_layers = 2, outputs = 1;
  std::string activation = "relu";  // relu | leaky_relu | tanh; the last layer has none
};

// `prefix` leads the parameter names, so that two networks can live in one checkpoint.
plan::ModelSpec build_mlp(const MlpConfig& config, const std::string& prefix);

}  // namespace ocoee::models
