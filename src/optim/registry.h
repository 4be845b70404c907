// SPDX-License-Identifier: Apache-2.0
// Every optimizer, by name. A new one is a file with its make_...(), and a line in registry.cpp.
#pragma once

#include "optim/optimizer.h"

namespace ocoee::optim {

struct OptimizerKind {
  std::string name, doc;
  int states;  // buffers of masters' size, for the memory bound before anything is made
  std::unique_ptr<Optimizer> (*make)(const OptimizerSetup&);
};
const std::vector<OptimizerKind>& optimizer_kinds();

std::unique_ptr<Optimizer> make_adamw(const OptimizerSetup& setup);
std::unique_ptr<Optimizer> make_sgd(const OptimizerSetup& setup);

}  // namespace ocoee::optim
