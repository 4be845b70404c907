// SPDX-License-Identifier: Apache-2.0
// The overlap of two boxes as runs of elements that are contiguous in both row-major blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "run/state.h"

namespace ocoee::run {

// visit(first element within `from`, first element within `to`, elements), in ascending order.
template <class Visit>
void for_each_run(const Box& from, const Box& to, Visit&& visit) {
  const Box common = intersect(from, to);
  if (common.elements() == 0) return;
  const size_t dims = common.size.size();
  // Dimensions from `split` on lie whole in both blocks, so that one run covers them and a part of
  // the dimension before.
  size_t split = dims;
  while (split > 0 && common.size[split - 1] == from.size[split - 1] &&
         common.size[split - 1] == to.size[split - 1])
    --split;
  const size_t counted = split == 0 ? 0 : split - 1;
  int64_t run = 1;
  for (size_t d = counted; d < dims; ++d) run *= common.size[d];
  std::vector<int64_t> index(counted, 0);
  const auto first_in = [&](const Box& block) {
    int64_t at = 0;
    for (size_t d = 0; d < dims; ++d)
      at = at * block.size[d] + common.offset[d] - block.offset[d] + (d < counted ? index[d] : 0);
    return at;
  };
  for (;;) {
    visit(first_in(from), first_in(to), run);
    size_t d = counted;
    while (d > 0 && ++index[d - 1] == common.size[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

}  // namespace ocoee::run
