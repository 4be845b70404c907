// SPDX-License-Identifier: Apache-2.0
// Published decoder transformers by name, for planning without a recipe: `ocoee plan 175b`.
#pragma once

#include <string>
#include <vector>

#include "models/gpt.h"

namespace ocoee::models {

struct NamedShape {
  std::string name;
  std::string note;  // where its numbers come from
  GptConfig config;
  int64_t vocabulary = 0;
  int64_t batch = 512;  // samples of a step, as its authors trained or timed it
};

const std::vector<NamedShape>& named_shapes();
// Throws Error(config) with the nearest name.
const NamedShape& named_shape(const std::string& name);

}  // namespace ocoee::models
