// SPDX-License-Identifier: Apache-2.0
// What is to be trained, by which software, in which layout: the three that a prediction needs
// beside the machine.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/layer_spec.h"
#include "plan/memory.h"
#include "plan/schedule.h"
#include "plan/units.h"

namespace ocoee::plan {

struct Workload {
  std::string name;
  ModelSpec model;
  int64_t sequence = 1;      // tokens of a sample
  int64_t global_batch = 1;  // samples of a step
  std::string compute = "bfloat16";
  std::string gradients = "float32";  // or "bfloat16": of weights, as this engine keeps them
  std::string moments = "float32";    // or "bfloat16": the optimizer's states
  std::string masters = "float32";    // or "split": what lies below their values in bfloat16
  bool float8 = false;                // products of attention and feed-forward layers are in it
  std::vector<int64_t> cuts;          // of its recipe: used for pipelines of as many parts
  double optimizer_states = 2;        // numbers that the optimizer keeps for a parameter
  int64_t threads = 1;            // of a rank, where a CPU computes: each has scratch of its own
  bool context_by_heads = false;  // context ranks exchange sequence for heads: no ring
  std::string halves = "auto";    // layout.halves: over the tensor axis, of a micro-batch
  bool copy_engines = true;       // layout.copy_engines, of the tensor axis within a node
  bool tensor = true, context = true, pipeline = true, shard = true;  // axes that its task allows

  int64_t compute_bytes() const;
  int64_t gradient_bytes() const;
  int64_t moment_bytes() const;
};

enum class Shard : uint8_t { none, states, gradients, parameters };
const char* name_of(Shard shard);  // as in a recipe
inline bool at_least(Shard shard, Shard level) {
  return static_cast<int>(shard) >= static_cast<int>(level);
}
// `what` is where the name was read. Throw Error(config) with the nearest name.
Shard shard_from_name(const std::string& name, const std::string& what = "layout.shard");
const char* name_of(Recompute recompute);
Recompute recompute_from_name(const std::string& name,
                              const std::string& what = "layout.recompute");

// Which axis lies nearer together after tensor and context: the ranks of a group that averages
// gradients, or those of a pipeline.
enum class Placement : uint8_t { data_inside, pipeline_inside };
const char* name_of(Placement placement);
Placement placement_from_name(const std::string& name);

struct Configuration {
  int64_t tensor = 1, context = 1, pipeline = 1, data = 1;
  int64_t micro = 1;  // samples of a forward pass
  int64_t chunks = 1;
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  Shard shard = Shard::none;
  Recompute recompute = Recompute::none;
  int64_t shard_group = 0;  // ranks that share what is split; 0: all replicas
  bool offload = false;     // what is kept for the backward pass waits in the host's memory
  Placement placement = Placement::data_inside;

  int64_t devices() const { return tensor * context * pipeline * data; }
  int64_t micro_batches(int64_t global_batch) const { return global_batch / (data * micro); }
  ScheduleRequest schedule_request(int64_t global_batch) const;
  bool puts_off_weights() const { return schedule == ScheduleKind::zero_bubble && pipeline > 1; }
  int64_t stage_stride() const;  // devices between a stage and the next
  bool operator==(const Configuration&) const = default;
};
// What a task says of itself: its workload, and the layout of its recipe on the ranks at hand.
struct Planned {
  Workload workload;
  std::optional<Configuration> layout;  // none when the ranks do not divide so
  std::string problem;                  // why there is none
};
std::string words(const Configuration& configuration);  // "tensor 4, pipeline 16, data 16, ..."

// How software trains. Every preset is this one struct; nothing else in the planner knows a name.
struct System {
  std::string name, note;
  bool norms_sharded = true;       // over tensor ranks (Korthikanti et al. 2022)
  bool fused_attention = true;     // scores are never stored
  bool dropout = false;            // masks are kept, whatever the model says
  bool blocking_messages = false;  // compute waits for messages between stages
  bool split_messages = true;      // a message is split over tensor ranks
  bool repeats_norms = false;      // selective recompute gives up outputs of norms and activations
  bool by_tensor = false;          // memory of its passes is known tensor by tensor (this engine)
  bool groups_shards = false;      // replicas may share what is split in groups
  bool offloads = false;           // it can put activations into the host's memory
  bool even_stages = false;        // equal numbers of layers, embedding first and head last
  // Tokens that a context rank keeps at least in proposals: below it, a ring's pieces are too small
  // to hide their messages. 0: no context axis.
  int64_t least_context = 4096;
  bool overlaps_gradients = true;  // with the backward pass that finishes them
  double optimizer_bytes = 0;      // moved for each parameter that a rank updates
  double gradient_bytes = 0;       // moved for each parameter that it holds: zeroing, norms
  double data_bytes = 4;           // of a gradient element on the wire
  double bucket_elements = 0;      // gradients that are summed together; 0: those of a block
  bool starts_late = false;        // a machine's deepspeed_stage_start is lost
  double slack = 0.02;             // of what the allocator holds, lost to fragments
  std::vector<Shard> shards;
  std::vector<Recompute> recomputes;
  std::vector<ScheduleKind> schedules;
  // By level of Shard, for types of 2, 4 and 8 bytes; gradients in float32, or float64.
  std::array<StateRules, 4> states16, states32, states64;

  const StateRules& states(Shard shard, int64_t compute_bytes) const {
    const auto& of_type = compute_bytes == 2 ? states16 : compute_bytes == 4 ? states32 : states64;
    return of_type[static_cast<size_t>(shard)];
  }
};

// The same software where gradients, moments and masters are kept as the workload says.
System with_types_of(System system, const Workload& workload);

// "ocoee"; "megatron" (Megatron-LM as measured by Korthikanti et al. 2022); "megatron_deepspeed"
// (as run on Frontier by Dash et al. 2024). Throws Error(config) with the nearest name.
const System& system_named(const std::string& name);
std::vector<std::string> system_names();

}  // namespace ocoee::plan
