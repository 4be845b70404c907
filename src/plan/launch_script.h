// SPDX-License-Identifier: Apache-2.0
// Reads what a Megatron-DeepSpeed launch script and its DeepSpeed JSON ask for, and finds where the
// two contradict each other, for there each quantity is stated twice. The log of a published 175B
// run claims four times the tokens that it consumed: the JSON said 4 samples a micro-batch, the
// command line 1.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/system.h"

namespace ocoee::plan {

struct LaunchedRun {
  int64_t layers = 0, width = 0, heads = 0, feed_forward = 0, sequence = 0, vocabulary = 50688;
  int64_t kv_heads = 0;  // 0: as many as heads
  // Of the layers, where they differ from GPT-2's.
  bool swiglu = false, rms_norm = false, rope = false, tied = true, bias = true;
  bool dropout = true;  // 0.1 where the script does not say
  int64_t tensor = 1, context = 1, pipeline = 1, chunks = 1, micro = 0, global_batch = 0;
  int64_t devices = 0;  // 0: the script does not say
  int64_t zero = 0;     // stage
  Recompute recompute = Recompute::none;
  bool fused_attention = false, norms_sharded = false, overlaps_gradients = false;
  bool deepspeed = false;  // else Megatron-LM by itself
  std::string compute = "float32";
  std::vector<std::string> contradictions;  // one sentence each, with both places and the fix
  std::vector<std::string> not_read;        // options that may change the step

  int64_t data() const;  // 0 where devices are not known, or do not divide
  Shard shard() const;
  Configuration configuration() const;
  System system() const;  // what trains so
};

// `script` is a shell script: its assignments are put into its flags, and JSON that it writes by
// itself (a here-document) is used where `json` is empty. Throws Error(config) where a flag that
// is needed is missing or no number, and Error(data) where the JSON cannot be read. `devices`
// stand instead of the script's, unless 0.
LaunchedRun read_launch(const std::string& script, const std::string& script_name,
                        const std::string& json, const std::string& json_name, int64_t devices = 0);

}  // namespace ocoee::plan
