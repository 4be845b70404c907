// SPDX-License-Identifier: Apache-2.0
// What moving a byte costs, by which of a processor's caches still holds it (stack distances:
// Mattson et al. 1970).
#pragma once

#include <vector>

#include "plan/block_cost.h"
#include "plan/machine.h"

namespace ocoee::plan {

// Of a machine whose profile states `reuse`, else 0. A micro-batch walks forward over its blocks
// and back, and touches `footprint` bytes: what the first block keeps is used again after all of
// them, what the last one keeps at once, and those between after as much as lies behind them. The
// mean over these distances.
Seconds seconds_a_byte(const Device& device, double footprint);

// Bytes that a rank touches in the passes of a micro-batch: what `blocks` (of each class, `classes`
// saying which) keep, their weights and the gradients of these; with full recompute also what one
// block makes again. `element`, `gradient`: bytes of a weight and of its gradient.
double footprint(const std::vector<BlockCost>& blocks, const std::vector<size_t>& classes,
                 Recompute recompute, double element, double gradient);

}  // namespace ocoee::plan
