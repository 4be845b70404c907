// SPDX-License-Identifier: Apache-2.0
#include "optim/registry.h"

#include <algorithm>

#include "core/error.h"

namespace ocoee::optim {

const std::vector<OptimizerKind>& optimizer_kinds() {
  static const std::vector<OptimizerKind> kinds = {
      {"adamw", "Adam with decoupled weight decay", 2, make_adamw},
      {"sgd", "stochastic gradient descent with momentum", 1, make_sgd},
  };
  return kinds;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSetup& setup) {
  for (const OptimizerKind& kind : optimizer_kinds())
    if (kind.name == setup.config.name) return kind.make(setup);
  std::string known;
  for (const OptimizerKind& kind : optimizer_kinds())
    known += (known.empty() ? "" : ", ") + kind.name;
  fail(ErrorKind::config, "optimizer.name: there is no optimizer '{}'; expected one of: {}",
       setup.config.name, known);
}

std::vector<std::pair<std::string, std::string>> optimizer_names() {
  std::vector<std::pair<std::string, std::string>> names;
  for (const OptimizerKind& kind : optimizer_kinds()) names.emplace_back(kind.name, kind.doc);
  return names;
}

int OptimizerConfig::states_per_parameter() const {
  for (const OptimizerKind& kind : optimizer_kinds())
    if (kind.name == name) return kind.states;
  return 2;  // an unknown name is reported where the config is read; the bound stays on the safe
             // side
}

}  // namespace ocoee::optim
