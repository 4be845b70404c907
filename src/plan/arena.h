// SPDX-License-Identifier: Apache-2.0
// Where the arrays lie that a layer keeps from its forward pass for its backward pass: in its
// arena, one piece of memory whose size and layout follow from the layer's spec before anything
// runs. The output of a layer lies there too where the next layer of its block keeps it.
//
// The input of a block lies by itself: it may wait where the rest of the block does not (full
// recompute, offload), or come from another stage.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "plan/layer_spec.h"

namespace ocoee::plan {

struct ArenaShape {
  int64_t tokens = 0;  // of a micro-batch on a rank, before tensor ranks split rows
  int64_t keys = 0;    // that a token meets: the length of a whole sequence
  int64_t compute_bytes = 4;
  bool selective = false;  // recompute
  // Weight work may be put off: what it needs lies in a part of its own, for the rest goes before.
  bool apart = false;
  int64_t alignment = 64;
  bool operator==(const ArenaShape&) const = default;
};

struct ArenaPlan {
  struct Place {
    std::string name;  // of a SavedArray, or kOutput
    size_t part = 0;
    int64_t offset = 0, bytes = 0;
  };
  static constexpr const char* kOutput = "output";
  std::vector<Place> places;
  std::array<int64_t, 2> bytes{};  // of the parts, each array on a boundary of the alignment
  const Place* find(const std::string& name) const;
  int64_t total() const { return bytes[0] + bytes[1]; }
};

// The input that a layer keeps, with `selective` recompute or without; null: it keeps none, or has
// it made again.
const SavedArray* kept_input(const LayerSpec& layer, bool selective);

// `next`: the layer after it in its block; null: there is none.
ArenaPlan plan_arena(const LayerSpec& layer, const LayerSpec* next, const ArenaShape& shape);

// Of the input that the first layer of a block keeps; 0 where that keeps none.
int64_t block_input_bytes(const BlockSpec& block, const ArenaShape& shape);

// All that one pass through a block keeps but for the block's input.
int64_t arena_bytes(const BlockSpec& block, const ArenaShape& shape);

}  // namespace ocoee::plan
