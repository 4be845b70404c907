// SPDX-License-Identifier: Apache-2.0
// The arithmetic of sharded data parallelism (Rajbhandari et al. 2020): the flat space of weights
// is cut into units, one a block, each padded to a multiple of the ranks that share it; a rank
// holds one slice of each unit. The slices in a row are its shard space. The levels differ only in
// how long whole gradients and whole values of a unit live.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "run/state.h"

namespace ocoee::parallel {

enum class Shard : uint8_t { none, states, gradients, parameters };
Shard shard_from_name(const std::string& name);  // as in a recipe

struct Unit {
  int64_t begin = 0, end = 0;  // in the flat space
  int64_t shard_begin = 0;     // in the shard space
  int64_t unsplit_begin = 0;   // in the flat space of one rank, which pads less
  int64_t elements() const { return end - begin; }
};

// The elements [begin, end) of a row-major array of this shape, as boxes in order: part of a row,
// whole rows, part of a row, and so on inwards.
std::vector<run::Box> boxes_of_range(const std::vector<int64_t>& shape, int64_t begin, int64_t end);

}  // namespace ocoee::parallel
