// SPDX-License-Identifier: Apache-2.0
// Bytes that are kept of a parameter. In how many, and what is split over the data axis, is stated
// per category, so this engine and other systems are presets of one model (plan/predict.h).
#pragma once

#include <cstdint>
#include <string>

namespace ocoee::plan {

struct StateBytes {
  double bytes = 0;      // a parameter
  bool sharded = false;  // over the data axis
  double on_rank(int64_t data) const;
};

struct StateRules {
  std::string name;
  StateBytes weights, gradients, masters, moments;
};

// Published systems: "megatron" 18, "megatron_distributed" 6 + 12/d, "zero2" 2 + 14/d, "zero3"
// 16/d, and "deepspeed_frontier" 2 + 14/d, which splits fp16 gradients under the name ZeRO-1.
// Throws Error(config) with the nearest name.
StateRules state_rules(const std::string& name);

// This engine: `compute_bytes` is 2 (float32 masters beside) or 4 (the weights are the masters);
// gradients are kept in float32, or beside compute_bytes 2 in 2 bytes. `shard` is a word of
// layout.shard. Throws Error(config).
StateRules engine_state_rules(int64_t compute_bytes, const std::string& shard,
                              int64_t gradient_bytes = 4);

enum class Recompute : uint8_t { none, selective, full };

}  // namespace ocoee::plan
