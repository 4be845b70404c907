// SPDX-License-Identifier: Apache-2.0
// Where a pipeline is cut so that its parts take equally long on a machine. FLOPs alone say it less
// well: small micro-batches leave a GPU idle between the many small passes of a layer, and not in
// the one large product of a head.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/block_cost.h"
#include "plan/system.h"

namespace ocoee::plan {

// First block of each part, and the number of blocks at the end, where the longest part takes as
// little time as can be: forward, backward and recompute of a micro-batch. Costs are by class.
std::vector<size_t> cuts_by_time(const std::vector<BlockCost>& costs,
                                 const std::vector<size_t>& class_of_block, Recompute recompute,
                                 size_t parts);

// What a run does. As layout.cuts: the first block of each part but the first. The recipe's own
// where it states them; none, for cuts by FLOPs, for a model in one part, where `machine` (a
// profile's name or file) is "", or where the model cannot be split so. Throws Error(config) for a
// profile that is none.
std::vector<int64_t> timed_cuts(const Planned& planned, const std::string& machine);

}  // namespace ocoee::plan
