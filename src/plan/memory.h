// SPDX-License-Identifier: Apache-2.0
// Bytes a rank holds, in closed form. What is kept in how many bytes, and what is split over the
// data axis, are stated per category, so this engine and other systems are presets of one model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/layer_spec.h"
#include "plan/schedule.h"

namespace ocoee::plan {

struct StateBytes {
  double bytes = 0;      // a parameter
  bool sharded = false;  // over the data axis
  double on_rank(int64_t data) const;
};

struct StateRules {
  std::string name;
  StateBytes weights, gradients, masters, moments;
  double bytes_per_parameter(int64_t data) const;  // throws Error(config) when data < 1
};

// Published systems: "megatron" 18, "megatron_distributed" 6 + 12/d, "zero1" 4 + 12/d, "zero2"
// 2 + 14/d, "zero3" 16/d, and "deepspeed_frontier" 2 + 14/d, which splits fp16 gradients under the
// name ZeRO-1. Throws Error(config) with the nearest name.
StateRules state_rules(const std::string& name);

// This engine: `compute_bytes` is 2 (float32 masters beside) or 4 (the weights are the masters);
// gradients are kept in float32, or beside compute_bytes 2 in 2 bytes. `shard` is a word of
// layout.shard. Throws Error(config).
StateRules engine_state_rules(int64_t compute_bytes, const std::string& shard,
                              int64_t gradient_bytes = 4);

// What decides how much passes through a rank beside the states of its stage.
struct UnitFlow {
  int64_t compute_bytes = 4, gradient_bytes = 4;
  std::string shard = "none";
  int64_t ranks = 1;          // that share what `shard` splits
  bool goes_on = true;        // a step has more micro-batches than one
  bool adds_products = true;  // a library adds 16-bit products to float32 gradients (not on a CPU)
};

// Bytes of what comes and goes while the blocks of one stage run backward, at the worst moment of a
// step. From level gradients on the whole gradient of the block that runs, and those of the two
// before it, whose sums over the ranks are under way (after the first block they go on while the
// last one runs in the next micro-batch); the slices that these sums arrive in, and that of the
// block itself when its sum begins. At level parameters also whole values: the block's until its
// sum begins (the first block's longer), and the next one's. Where no library adds a product to its
// gradient, that of a block's largest matrix in both types. What a tied matrix lies in lives as
// long as the block that borrows it. Beside it there is what a pass holds for a moment.
int64_t live_unit_bytes(const ModelSpec& model, const UnitFlow& flow);

// Parameters that one of `tensor` ranks holds of `model`, which may be one stage. Throws
// Error(config) when a split dimension is not divisible.
int64_t tensor_rank_parameters(const ModelSpec& model, int64_t tensor);

enum class Recompute : uint8_t { none, selective, full };

struct TransformerShape {  // a GPT-2 style layer: feed_forward = 4 * width
  int64_t layers = 0, width = 0, heads = 0, sequence = 0;
};

// Activation bytes that one layer keeps for one micro-batch of `micro` sequences at 16 bit, from
// Korthikanti et al. (2205.05198), section 4. `norms_sharded`: their sequence parallelism.
double layer_activation_bytes(const TransformerShape& shape, int64_t micro, int64_t tensor,
                              bool norms_sharded, Recompute recompute);

// The same for a whole stage at its peak: layers of a chunk times the chunks in flight. With
// Recompute::full, one layer more is alive while it is recomputed. Throws Error(config) when the
// layers do not divide over stages and chunks, or the schedule is impossible.
double stage_activation_bytes(const TransformerShape& shape, int64_t micro, int64_t tensor,
                              bool norms_sharded, Recompute recompute,
                              const ScheduleRequest& schedule, int stage);

}  // namespace ocoee::plan
