// SPDX-License-Identifier: Apache-2.0
// The sections of a recipe that every training task shares: [batch], [layout], [precision],
// [train]. Each quantity is stated once; what can be derived (data-parallel size, accumulation) is
// derived here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"

namespace ocoee::plan {

struct BatchConfig {
  int64_t global = 16;
  int64_t micro = 8;
  void describe(config::Description& d);
};

struct LayoutConfig {
  int64_t tensor = 1, pipeline = 1, context = 1;
  std::string shard = "none";
  int64_t shard_group = 0;  // 0: all replicas
  std::string schedule = "1f1b";
  int64_t chunks = 1;
  std::vector<int64_t> cuts;  // empty: by cost
  std::string context_method = "ring";
  std::string recompute = "none";
  bool offload = false;
  int64_t loss_chunks = 1;
  std::string halves = "auto";
  int64_t bucket_bytes = 0;  // 0: chosen
  int64_t message_multiprocessors = 0;
  std::string copy_engines = "auto";
  std::string placement = "data_inside";
  void describe(config::Description& d);
  int64_t model_ranks() const { return tensor * pipeline * context; }
  int64_t data(int64_t ranks) const {
    return ranks / model_ranks();
  }  // the axis that is left of the world
};

struct PrecisionConfig {
  std::string compute = "float32";
  std::string gradients = "float32";
  std::string moments = "float32";
  std::string masters = "float32";
  double loss_scale = 65536;         // float16 only: where dynamic scaling starts
  int64_t loss_scale_window = 1000;  // steps without overflow before it doubles
  bool float8 = false;
  void describe(config::Description& d);
  void check(config::Problems& problems, bool has_float8_products) const;
  int64_t compute_bytes() const;
};

struct TrainConfig {
  int64_t steps = 1000;
  int64_t evaluate_every = 0;
  int64_t checkpoint_every = 0;
  int64_t graph_after = 3;  // GPU: steps run eagerly before the step is captured; 0 = never
  void describe(config::Description& d);
  // What a run would go without until its end, a line each; `checkpoint_interval`: run's, seconds.
  std::vector<std::string> gaps(double checkpoint_interval) const;
};

// How the global batch falls apart on `ranks` ranks.
struct BatchPlan {
  int64_t data = 1;          // data-parallel ranks
  int64_t micro = 1;         // samples per replica and forward pass
  int64_t accumulation = 1;  // forward passes per step: global = data * micro * accumulation
};
BatchPlan plan_batch(const BatchConfig& batch, const LayoutConfig& layout,
                     int64_t ranks);  // after the check below

// layout.copy_engines = "auto": whether gradients go by copy engines (bench/multi_gpu: whole ones
// of two bytes are quicker so, of four bytes slower).
bool copies_gradients(const LayoutConfig& layout, const PrecisionConfig& precision);

// Whether gradients in bfloat16, where asked for, can be: from products in bfloat16, of one
// micro-batch, so that none is added to another in so few digits.
void check_gradients(config::Problems& problems, const PrecisionConfig& precision,
                     const BatchConfig& batch, const LayoutConfig& layout, int64_t ranks);

// What a task can do beside plain data parallelism, and whether it scores logits.
struct LayoutSupport {
  bool pipeline = false;
  bool shard = false;
  bool tensor = false;
  bool context = false;
  bool logits = false;
};

// Contradictions of batch, layout and ranks, by key.
void check_training(config::Problems& problems, const BatchConfig& batch,
                    const LayoutConfig& layout, int64_t ranks, const LayoutSupport& support = {});

}  // namespace ocoee::plan
