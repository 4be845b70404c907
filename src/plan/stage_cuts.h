// SPDX-License-Identifier: Apache-2.0
// Which blocks each stage of a pipeline holds, as far as predictions ask: by class of block.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "plan/block_cost.h"

namespace ocoee::plan {

struct Cut {
  std::vector<std::vector<int>> blocks;                   // stage -> class -> blocks
  std::vector<std::vector<std::vector<uint16_t>>> order;  // stage -> chunk -> class of each block
  std::vector<bool> repeats;  // by stage: it has the blocks of the stage before, in their order
};

// Keeps references to all four.
class StageCuts {
 public:
  StageCuts(const Workload& workload, const System& system, const Machine& machine,
            BlockCosts& costs);

  // Of each part, and the number of blocks at the end. As the system cuts, else as the workload
  // says, else by the times of blocks on this machine (plan/timed_cuts.h), or by FLOPs where
  // nothing is known of it.
  std::vector<size_t> first_blocks(const Configuration& c);
  const Cut& of(const Configuration& c);

 private:
  const Workload& workload_;
  const System& system_;
  const Machine& machine_;
  BlockCosts& costs_;
  // What a cut depends on -> it; many configurations share few cuts.
  std::map<std::array<int64_t, 6>, const Cut*> cut_of_;
  std::map<std::pair<int64_t, std::vector<size_t>>, Cut> cuts_;  // by stages and first blocks
};

}  // namespace ocoee::plan
