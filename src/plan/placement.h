// SPDX-License-Identifier: Apache-2.0
// Which part of a model a rank holds: pipelines cut the list of blocks into stages x chunks parts.
// Part number c * stages + s is chunk c of stage s.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "plan/layer_spec.h"
#include "plan/training_config.h"

namespace ocoee::plan {

// First block of each part, and the number of blocks at the end: parts + 1 numbers. The cuts make
// the most expensive part as cheap as it can be; cost is forward FLOPs, and what a device
// could compute while it moves the elements that a block reads and writes (an embedding does
// nothing else). `given`: the first block of each part but the first, instead. Throws Error(config)
// when there are fewer blocks than parts, or when the given cuts are none of this model.
std::vector<size_t> pipeline_cuts(const ModelSpec& model, int64_t parts,
                                  const std::vector<int64_t>& given = {});
// The same for blocks of these costs, of which there are at least as many as parts.
std::vector<size_t> balanced_cuts(const std::vector<double>& costs, size_t parts);
// What is wrong with given cuts; empty: nothing.
std::string cuts_problem(const std::vector<int64_t>& given, int64_t parts, int64_t blocks);

struct StageModel {
  ModelSpec model;                                // the blocks of all chunks, in order
  std::vector<std::pair<size_t, size_t>> chunks;  // [first, last) block of each chunk in `model`
};
// A tied parameter whose lender lies in another stage keeps its tied_to: it is borrowed from there.
StageModel stage_model(const ModelSpec& model, int64_t stages, int64_t chunks, int64_t stage,
                       const std::vector<int64_t>& cuts = {});

// Parameters that some layer uses in another stage than the one that holds them.
struct Borrowed {
  std::string parameter;  // the lender's name
  int64_t from, to;       // stages
};
std::vector<Borrowed> borrowed_parameters(const ModelSpec& model, int64_t stages, int64_t chunks,
                                          const std::vector<int64_t>& cuts = {});

// What rank `rank` of `ranks` on the tensor axis holds: of each parameter its block along
// tensor_dim, of the heads its share; costs are a rank's own. A vocabulary that does not divide is
// padded, the other extents must divide (check_placement).
ModelSpec tensor_part(const ModelSpec& model, int64_t ranks, int64_t rank);
int64_t padded(int64_t extent, int64_t ranks);  // the next multiple

// Why the model's weight gradients cannot be put off; "" when they can.
std::string zero_bubble_problem(const ModelSpec& model);

// Whether this model can be laid out so, by key of [layout]; after check_training.
void check_placement(config::Problems& problems, const ModelSpec& model, const BatchConfig& batch,
                     const LayoutConfig& layout, int64_t ranks);

}  // namespace ocoee::plan
