// SPDX-License-Identifier: Apache-2.0
// Where the chains of an alloy_ladder run begin: as an ordering, or as a file has it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tasks/alloys/alloy_ladder.h"

namespace ocoee::tasks {

// The species of an ordering for a system whose composition is that of the ordering; species 0 and
// 1 by the ordering, others at random instead of them. Error(config) where it does not fit.
std::vector<uint8_t> ordered_start(const SystemConfig& system, const std::string& name,
                                   const alloy::Lattice& lattice);

// Arrangements of temperatures `first` to `first + count` as config.start_file has them.
// Error(config or data) where they are not of `lattice` or of the recipe's composition.
std::vector<std::vector<uint8_t>> starts_of_file(const LadderConfig& config,
                                                 const alloy::Lattice& lattice, int64_t first,
                                                 int64_t count);

}  // namespace ocoee::tasks
