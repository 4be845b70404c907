// SPDX-License-Identifier: Apache-2.0
// What survives a run: named global arrays, of which each rank holds boxes, and a few plain values.
// Checkpoints, resharding, export and memory accounts know only this; they never ask what an array
// means.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace ocoee::run {

struct Box {                    // a block of a global array
  std::vector<int64_t> offset;  // empty for a scalar
  std::vector<int64_t> size;
  int64_t elements() const;
  bool operator==(const Box&) const = default;
};
Box intersect(const Box& a, const Box& b);  // size 0 in some dimension when they do not meet

struct Piece {  // a box of an array that this rank holds, contiguous in row-major order
  Box box;
  std::function<void(void* host)> save;        // copies the piece into host memory
  std::function<void(const void* host)> load;  // and back
};
Piece host_piece(Box box, void* data, DType dtype);  // over host memory that outlives the state

struct StateArray {
  std::string name;  // "blocks.0.attention.q.weight", "optimizer.first_moment.<parameter>"
  std::vector<int64_t> shape;  // global
  DType dtype = DType::f32;
  std::vector<Piece>
      pieces;             // may be replicated on several ranks: the checkpoint writes each box once
  bool converts = false;  // a checkpoint that holds it in the other of float32 and bfloat16 loads
};

struct State {
  std::vector<StateArray> arrays;
  nlohmann::json values =
      nlohmann::json::object();  // equal on all ranks: steps done, samples, best loss
};

// Copies the overlap of two boxes of one array between row-major host blocks.
void copy_overlap(const Box& from, const void* from_data, const Box& to, void* to_data,
                  size_t element_bytes);

}  // namespace ocoee::run
