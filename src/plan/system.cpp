// SPDX-License-Identifier: Apache-2.0
#include "plan/system.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

template <class Word, size_t Count>
Word word_from(const std::string& what, const std::string& name,
               const std::array<Word, Count>& all) {
  std::vector<std::string> names;
  for (const Word word : all) {
    if (name == name_of(word)) return word;
    names.emplace_back(name_of(word));
  }
  const std::string near = nearest(name, names);
  fail(ErrorKind::config, "{}: '{}' is not known\n    fix: {}one of {}", what, name,
       near.empty() ? "" : "did you mean '" + near + "'? It is ", join(names, ", "));
}

// float64 keeps everything in twice the bytes of float32.
void set_float64(System& system) {
  system.states64 = system.states32;
  for (StateRules& rules : system.states64) {
    for (StateBytes* bytes : {&rules.weights, &rules.gradients, &rules.masters, &rules.moments})
      bytes->bytes *= 2;
  }
}

System ocoee() {
  System s;
  s.name = "ocoee";
  s.note = "this engine";
  s.groups_shards = true;
  s.offloads = true;
  s.by_tensor = true;
  s.repeats_norms = true;
  // AdamW reads master, two moments and gradient, writes the first three and the weight.
  s.optimizer_bytes = 30;
  s.gradient_bytes = 8;  // zeroed, and read for the norm
  s.shards = {Shard::none, Shard::states, Shard::gradients, Shard::parameters};
  s.recomputes = {Recompute::none, Recompute::selective, Recompute::full};
  s.schedules = {ScheduleKind::one_f_one_b, ScheduleKind::interleaved, ScheduleKind::zero_bubble,
                 ScheduleKind::gpipe};
  for (size_t level = 0; level < 4; ++level) {
    s.states16[level] = engine_state_rules(2, name_of(static_cast<Shard>(level)));
    s.states32[level] = engine_state_rules(4, name_of(static_cast<Shard>(level)));
  }
  set_float64(s);
  return s;
}

System megatron() {
  System s;
  s.name = "megatron";
  s.note = "Megatron-LM of 2022: unfused attention, dropout, blocking messages";
  s.fused_attention = false;
  s.dropout = true;
  s.blocking_messages = true;
  s.even_stages = true;
  s.least_context = 0;
  s.overlaps_gradients = false;
  // Beside Adam's 30: gradients unscaled and searched for infinities (8), scaled by the clip (8).
  s.optimizer_bytes = 46;
  s.gradient_bytes = 8;
  s.shards = {Shard::none, Shard::states};
  s.recomputes = {Recompute::none, Recompute::selective, Recompute::full};
  s.schedules = {ScheduleKind::one_f_one_b, ScheduleKind::interleaved};
  s.states16.fill(state_rules("megatron_distributed"));
  s.states16[0] = state_rules("megatron");
  for (size_t level = 0; level < 4; ++level)
    s.states32[level] = engine_state_rules(4, level == 0 ? "none" : "states");
  set_float64(s);
  return s;
}

System megatron_deepspeed() {
  System s = megatron();
  s.name = "megatron_deepspeed";
  s.note = "Megatron-DeepSpeed on Frontier: whole norms, fused attention, fp16 gradients";
  s.norms_sharded = false;
  s.fused_attention = true;
  s.split_messages = false;
  s.data_bytes = 2;
  s.starts_late = true;
  s.schedules = {ScheduleKind::one_f_one_b};
  s.recomputes = {Recompute::full};  // every launch script asks for it
  s.bucket_elements = 5e8;           // DeepSpeed's reduce_bucket_size
  s.states16 = {StateRules{"fp16", {2, false}, {2, false}, {4, false}, {8, false}},
                state_rules("deepspeed_frontier"), state_rules("zero2"), state_rules("zero3")};
  for (size_t level = 0; level < 4; ++level)
    s.states32[level] = engine_state_rules(4, name_of(static_cast<Shard>(level)));
  set_float64(s);
  return s;
}

const std::vector<System>& systems() {
  static const std::vector<System> all{ocoee(), megatron(), megatron_deepspeed()};
  return all;
}

}  // namespace

System with_types_of(System system, const Workload& workload) {
  if (workload.masters == "split") {  // of 8 + 2 bytes that a master and its value took, 8 are left
    system.optimizer_bytes -= 2;
    for (StateRules& rules : system.states16) rules.masters.bytes = 2;
  }
  if (workload.moments == "bfloat16") {
    system.optimizer_bytes -= 4 * workload.optimizer_states;
    for (StateRules& rules : system.states16) rules.moments.bytes /= 2;
    for (StateRules& rules : system.states32) rules.moments.bytes /= 2;
  }
  if (workload.gradients != "bfloat16") return system;
  system.optimizer_bytes -= 2;
  system.gradient_bytes /= 2;
  system.data_bytes = 2;
  for (StateRules& rules : system.states16) rules.gradients.bytes = 2;
  return system;
}

ScheduleRequest Configuration::schedule_request(int64_t global_batch) const {
  return {schedule, static_cast<int>(pipeline), static_cast<int>(micro_batches(global_batch)),
          static_cast<int>(chunks)};
}

int64_t Configuration::stage_stride() const {
  return tensor * context * (placement == Placement::data_inside ? data : 1);
}

int64_t Workload::compute_bytes() const {
  if (compute == "float64") return 8;
  return compute == "float32" ? 4 : 2;
}

int64_t Workload::moment_bytes() const {
  return moments == "bfloat16" ? 2 : std::max<int64_t>(4, compute_bytes());
}

int64_t Workload::gradient_bytes() const {
  return gradients == "bfloat16" ? 2 : std::max<int64_t>(4, compute_bytes());
}

const char* name_of(Shard shard) {
  static const char* const names[] = {"none", "states", "gradients", "parameters"};
  return names[static_cast<size_t>(shard)];
}
Shard shard_from_name(const std::string& name, const std::string& what) {
  return word_from(what, name,
                   std::array{Shard::none, Shard::states, Shard::gradients, Shard::parameters});
}

const char* name_of(Recompute recompute) {
  static const char* const names[] = {"none", "selective", "full"};
  return names[static_cast<size_t>(recompute)];
}
Recompute recompute_from_name(const std::string& name, const std::string& what) {
  return word_from(what, name, std::array{Recompute::none, Recompute::selective, Recompute::full});
}

const char* name_of(Placement placement) {
  return placement == Placement::data_inside ? "data_inside" : "pipeline_inside";
}
Placement placement_from_name(const std::string& name) {
  return word_from("layout.placement", name,
                   std::array{Placement::data_inside, Placement::pipeline_inside});
}

std::string words(const Configuration& c) {
  std::vector<std::string> parts;
  const auto axis = [&](const char* name, int64_t ranks) {
    if (ranks > 1) parts.push_back(fmt::format("{} {}", name, ranks));
  };
  axis("tensor", c.tensor);
  axis("context", c.context);
  axis("pipeline", c.pipeline);
  axis("data", c.data);
  parts.push_back(fmt::format("micro {}", c.micro));
  if (c.pipeline > 1) parts.emplace_back(name_of(c.schedule));
  axis("chunks", c.chunks);
  if (c.shard != Shard::none) parts.push_back(fmt::format("shard {}", name_of(c.shard)));
  if (c.shard_group > 0) parts.push_back(fmt::format("in groups of {}", c.shard_group));
  if (c.placement == Placement::pipeline_inside) parts.emplace_back("pipeline inside data");
  if (c.offload) parts.emplace_back("offload");
  if (c.recompute != Recompute::none)
    parts.push_back(fmt::format("recompute {}", name_of(c.recompute)));
  return join(parts, ", ");
}

const System& system_named(const std::string& name) {
  for (const System& system : systems()) {
    if (system.name == name) return system;
  }
  const std::string near = nearest(name, system_names());
  fail(ErrorKind::config, "--system: no software is named '{}'\n    fix: {}", name,
       near.empty() ? "one of " + join(system_names(), ", ")
                    : fmt::format("did you mean '{}'?", near));
}

std::vector<std::string> system_names() {
  std::vector<std::string> names;
  for (const System& system : systems()) names.push_back(system.name);
  return names;
}

}  // namespace ocoee::plan
