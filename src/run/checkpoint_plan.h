// SPDX-License-Identifier: Apache-2.0
// Who writes which box of a state that is spread, and partly replicated, over ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "run/manifest.h"
#include "run/state.h"

namespace ocoee::run {

// The boxes that one rank holds, as text that travels between ranks.
std::string holdings_text(const State& state);

struct WritePlan {
  struct Piece {
    size_t array, piece;  // of that rank's own state
  };
  std::vector<ManifestArray> arrays;        // with the file of each box
  std::vector<std::vector<Piece>> of_rank;  // what each rank writes
};

// Of a box's holders, the one with the fewest bytes so far writes it. Throws Error(internal) when
// ranks disagree about an array, or when the boxes overlap or leave a hole.
WritePlan make_write_plan(const std::vector<std::string>& holdings);

}  // namespace ocoee::run
