// SPDX-License-Identifier: Apache-2.0
#include "plan/reuse.h"

#include <algorithm>

namespace ocoee::plan {

Seconds seconds_a_byte(const Device& device, double footprint) {
  if (device.reuse.at.empty()) return Seconds(0);
  constexpr int kSlices = 64;
  double sum = 0;
  for (int i = 0; i < kSlices; ++i) {
    const double distance = footprint * (i + 0.5) / kSlices;
    sum += 1 / (device.bandwidth.value * device.reuse(distance));
  }
  return Seconds(sum / kSlices);
}

double footprint(const std::vector<BlockCost>& blocks, const std::vector<size_t>& classes,
                 Recompute recompute, double element, double gradient) {
  double sum = 0, again = 0;
  for (const size_t k : classes) {
    const BlockCost& block = blocks[k];
    sum += block.saved[static_cast<size_t>(recompute)] + block.parameters * (element + gradient);
    if (recompute == Recompute::full) again = std::max(again, block.saved[0]);
  }
  return sum + again;
}

}  // namespace ocoee::plan
