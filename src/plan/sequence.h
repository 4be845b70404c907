// SPDX-License-Identifier: Apache-2.0
// How a sequence is split over the context axis.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ocoee::plan {

// ring: keys and values go round (Liu et al. 2023, Ring Attention); rank r of n has the pieces r
// and 2n - 1 - r of 2n, so that each has the same share of causal attention (Brandon et al. 2023,
// Striped Attention, by halves). all_to_all: heads are split instead while attention runs (Jacobs
// et al. 2023, DeepSpeed Ulysses); rank r has the r-th run.
enum class ContextMethod : uint8_t { ring, all_to_all };
ContextMethod context_method_from_name(const std::string& name);  // as in a recipe

// [first, last) positions of the pieces that a rank has, in the order it holds them; of equal
// lengths. `length` divides by pieces(method, ranks).
using SequencePieces = std::vector<std::pair<int64_t, int64_t>>;
SequencePieces sequence_pieces(ContextMethod method, int64_t length, int64_t ranks, int64_t rank);
int64_t pieces(ContextMethod method, int64_t ranks);  // into which a sequence falls

}  // namespace ocoee::plan
