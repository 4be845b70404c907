// SPDX-License-Identifier: Apache-2.0
#include "plan/timed_cuts.h"

#include "plan/block_cost.h"
#include "plan/placement.h"

namespace ocoee::plan {

std::vector<size_t> cuts_by_time(const std::vector<BlockCost>& costs,
                                 const std::vector<size_t>& class_of_block, Recompute recompute,
                                 size_t parts) {
  std::vector<double> of_class, seconds;
  for (const BlockCost& block : costs)
    of_class.push_back(block.forward.total() + block.input.total() + block.weight.total() +
                       block.again[static_cast<size_t>(recompute)].total());
  for (const size_t k : class_of_block) seconds.push_back(of_class[k]);
  return balanced_cuts(seconds, parts);
}

std::vector<int64_t> timed_cuts(const Planned& planned, const std::string& machine) {
  const Workload& workload = planned.workload;
  if (!workload.cuts.empty() || !planned.layout || machine.empty()) return workload.cuts;
  const Configuration& c = *planned.layout;
  const auto parts = static_cast<size_t>(c.pipeline * c.chunks);
  if (parts == 1 || workload.model.blocks.size() < parts) return {};
  const Machine profile = load_machine(machine);
  const System& system = system_named("ocoee");
  BlockCosts costs(workload, system, profile);
  const Shape shape = shape_of(c);
  if (!costs.problem(shape).empty()) return {};
  const std::vector<size_t> cuts =
      cuts_by_time(costs.at(shape), costs.class_of_block(), c.recompute, parts);
  return {cuts.begin() + 1, cuts.end() - 1};
}

}  // namespace ocoee::plan
