// SPDX-License-Identifier: Apache-2.0
#include "plan/stage_cuts.h"

#include "plan/placement.h"
#include "plan/timed_cuts.h"

namespace ocoee::plan {
namespace {

// Equal numbers of inner blocks for every part; the first takes the embedding, the last the head.
std::vector<size_t> even_cuts(size_t blocks, int64_t parts) {
  const auto inner = static_cast<int64_t>(blocks) - 2;
  std::vector<size_t> cuts{0};
  for (int64_t part = 1; part < parts; ++part)
    cuts.push_back(static_cast<size_t>(1 + inner * part / parts));
  cuts.push_back(blocks);
  return cuts;
}

}  // namespace

StageCuts::StageCuts(const Workload& workload, const System& system, const Machine& machine,
                     BlockCosts& costs)
    : workload_(workload), system_(system), machine_(machine), costs_(costs) {}

std::vector<size_t> StageCuts::first_blocks(const Configuration& c) {
  const int64_t parts = c.pipeline * c.chunks;
  const std::vector<size_t>& classes = costs_.class_of_block();
  if (parts == 1) return {0, classes.size()};
  if (system_.even_stages) return even_cuts(classes.size(), parts);
  if (static_cast<int64_t>(workload_.cuts.size()) + 1 == parts)
    return pipeline_cuts(workload_.model, parts, workload_.cuts);
  if (!machine_.is_known()) return pipeline_cuts(workload_.model, parts);
  return cuts_by_time(costs_.at(shape_of(c)), classes, c.recompute, static_cast<size_t>(parts));
}

const Cut& StageCuts::of(const Configuration& c) {
  const Cut*& known = cut_of_[{c.pipeline, c.chunks, c.tensor, c.context, c.micro,
                               static_cast<int64_t>(c.recompute)}];
  if (known) return *known;
  const std::vector<size_t> cuts = first_blocks(c);
  Cut& cut = cuts_[{c.pipeline, cuts}];
  known = &cut;
  if (!cut.blocks.empty()) return cut;
  const std::vector<size_t>& classes = costs_.class_of_block();
  const auto stages = static_cast<size_t>(c.pipeline);
  cut.blocks.assign(stages, std::vector<int>(costs_.classes(), 0));
  cut.order.resize(stages);
  for (size_t part = 0; part + 1 < cuts.size(); ++part) {
    const size_t stage = part % stages;
    std::vector<uint16_t>& chunk = cut.order[stage].emplace_back();
    for (size_t b = cuts[part]; b < cuts[part + 1]; ++b) {
      ++cut.blocks[stage][classes[b]];
      chunk.push_back(static_cast<uint16_t>(classes[b]));
    }
  }
  for (size_t s = 0; s < stages; ++s)
    cut.repeats.push_back(s > 0 && cut.order[s] == cut.order[s - 1]);
  return cut;
}

}  // namespace ocoee::plan
