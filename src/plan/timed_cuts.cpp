// SPDX-License-Identifier: Apache-2.0
#include "plan/timed_cuts.h"

#include "plan/block_cost.h"
#include "plan/placement.h"

namespace ocoee::plan {

std::vector<int64_t> timed_cuts(const Planned& planned, const std::string& machine) {
  const Workload& workload = planned.workload;
  if (!workload.cuts.empty() || !planned.layout || machine.empty()) return workload.cuts;
  const Configuration& c = *planned.layout;
  const auto parts = static_cast<size_t>(c.pipeline * c.chunks);
  if (parts == 1 || workload.model.blocks.size() < parts) return {};
  const Machine profile = load_machine(machine);
  const System& system = system_named("ocoee");
  BlockCosts costs(workload, system, profile);
  const Shape shape{c.tensor, c.context, c.micro};
  if (!costs.problem(shape).empty()) return {};
  const std::vector<BlockCost>& by_class = costs.at(shape);
  std::vector<double> seconds;
  for (const size_t k : costs.class_of_block()) {
    const BlockCost& block = by_class[k];
    seconds.push_back(block.forward.total() + block.input.total() + block.weight.total() +
                      block.again[static_cast<size_t>(c.recompute)].total());
  }
  const std::vector<size_t> cuts = balanced_cuts(seconds, parts);
  return {cuts.begin() + 1, cuts.end() - 1};
}

}  // namespace ocoee::plan
