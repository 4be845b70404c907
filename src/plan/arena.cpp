// SPDX-License-Identifier: Apache-2.0
#include "plan/arena.h"

#include <algorithm>
#include <cmath>

namespace ocoee::plan {
namespace {

int64_t bytes_of(const SavedArray& array, const ArenaShape& shape) {
  const double elements = array.elements * static_cast<double>(shape.tokens) *
                          (array.by_key ? static_cast<double>(shape.keys) : 1);
  return std::llround(elements) *
         (array.wide ? std::max<int64_t>(4, shape.compute_bytes) : shape.compute_bytes);
}

}  // namespace

const SavedArray* kept_input(const LayerSpec& layer, bool selective) {
  for (const SavedArray& array : layer.saved) {
    if (array.comes_in && !(array.cheap && selective)) return &array;
  }
  return nullptr;
}

const ArenaPlan::Place* ArenaPlan::find(const std::string& name) const {
  const auto found = std::find_if(places.begin(), places.end(),
                                  [&](const Place& place) { return place.name == name; });
  return found == places.end() ? nullptr : &*found;
}

ArenaPlan plan_arena(const LayerSpec& layer, const LayerSpec* next, const ArenaShape& shape) {
  ArenaPlan plan;
  const auto add = [&](const std::string& name, const SavedArray& array) {
    const size_t part = shape.apart && array.for_weights ? 1 : 0;
    const int64_t bytes = bytes_of(array, shape);
    plan.places.push_back({name, part, plan.bytes[part], bytes});
    plan.bytes[part] += (bytes + shape.alignment - 1) / shape.alignment * shape.alignment;
  };
  for (const SavedArray& array : layer.saved) {
    if (!array.comes_in && !(array.cheap && shape.selective)) add(array.name, array);
  }
  const SavedArray* output = next ? kept_input(*next, shape.selective) : nullptr;
  if (output) add(ArenaPlan::kOutput, *output);
  return plan;
}

int64_t block_input_bytes(const BlockSpec& block, const ArenaShape& shape) {
  const SavedArray* input =
      block.layers.empty() ? nullptr : kept_input(block.layers[0], shape.selective);
  return input ? bytes_of(*input, shape) : 0;
}

int64_t arena_bytes(const BlockSpec& block, const ArenaShape& shape) {
  int64_t sum = 0;
  for (size_t l = 0; l < block.layers.size(); ++l) {
    const LayerSpec* next = l + 1 < block.layers.size() ? &block.layers[l + 1] : nullptr;
    sum += plan_arena(block.layers[l], next, shape).total();
  }
  return sum;
}

}  // namespace ocoee::plan
