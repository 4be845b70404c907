// SPDX-License-Identifier: Apache-2.0
#include "plan/predict.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/placement.h"

namespace ocoee::plan {
namespace {

constexpr int64_t kMany = 65535;  // micro-batches; more are not played

// Other software keeps its states as its preset says, whatever the recipe.
Workload as_trained_by(Workload workload, const System& system) {
  if (!system.by_tensor) workload.gradients = workload.moments = workload.masters = "float32";
  return workload;
}

}  // namespace

const char* name_of(Part part) {
  static const char* const names[] = {"products", "attention", "elementwise", "recompute",
                                      "tensor",   "context",   "messages",    "bubble",
                                      "data",     "optimizer", "loading"};
  return names[static_cast<size_t>(part)];
}

const char* name_of(Held held) {
  static const char* const names[] = {"parameters",  "gradients",     "masters",   "optimizer",
                                      "activations", "communication", "temporary", "slack"};
  return names[static_cast<size_t>(held)];
}

Predictor::Predictor(const Workload& workload, const System& system, const Machine& machine)
    : workload_(as_trained_by(workload, system)),
      system_(with_types_of(system, workload_)),
      machine_(machine),
      network_(machine),
      costs_(workload_, system_, machine_),
      cuts_(workload_, system_, machine_, costs_) {
  peak_ = machine.device.peak(workload.compute).value;
  const auto tokens = static_cast<double>(workload.global_batch * workload.sequence);
  splits_backward_ = zero_bubble_problem(workload.model).empty();
  model_flops_ = workload.model.training_flops_per_token() * tokens;
  for (const BlockSpec& block : workload.model.blocks) {
    if (!is_recomputed(block)) continue;
    if (system.by_tensor) full_flops_ += flops_made_again(block) * tokens;
    for (const LayerSpec& layer : block.layers) {
      if (!system.by_tensor) full_flops_ += layer.cost.forward_flops() * tokens;
      // Only scores are multiplied again: all of them, or for the probabilities under dropout.
      const auto dropout = layer.options.find("attention_dropout");
      if (!system.fused_attention)
        selective_flops_ += layer.cost.attention_flops * tokens;
      else if (dropout != layer.options.end() && dropout->second > 0)
        selective_flops_ += layer.cost.attention_flops * tokens / 2;
    }
  }
}

double Predictor::usable_bytes() const {
  return machine_.device.memory.value * (1 - machine_.device.reserve);
}

double Predictor::executed_flops(const Configuration& c) const {
  const double again[] = {0, selective_flops_, full_flops_};
  return model_flops_ + again[static_cast<size_t>(c.recompute)];
}

bool Predictor::changes_anything(const Configuration& c) {
  if (c.recompute != Recompute::selective) return true;
  for (const BlockCost& block : costs_.at(shape_of(c))) {
    if (block.saved[1] != block.saved[0]) return true;
  }
  return false;
}

std::string Predictor::shape_problem(int64_t tensor, int64_t context) const {
  return costs_.problem({tensor, context, 1});
}

std::string Predictor::problem(const Configuration& c) {
  const auto blocks = static_cast<int64_t>(workload_.model.blocks.size());
  if (c.tensor > 1 && !workload_.tensor) return "this task has no tensor axis";
  if (c.context > 1 && !workload_.context) return "this task has no context axis";
  if (c.pipeline > 1 && !workload_.pipeline) return "this task has no pipeline axis";
  if (c.offload && !system_.offloads) return fmt::format("{} does not offload", system_.name);
  if (c.offload && machine_.host.memory <= Bytes(0))
    return fmt::format("the profile of {} states no host memory", machine_.name);
  if (c.shard != Shard::none && !workload_.shard) return "this task keeps whole states";
  if (c.shard_group > 0 && c.data * c.context % c.shard_group != 0)
    return fmt::format("groups of {} do not divide {} replicas", c.shard_group, c.data * c.context);
  if (c.devices() > machine_.node.devices && machine_.network.devices == 0)
    return fmt::format("{} devices are more than the {} of {}, whose profile states no network",
                       c.devices(), machine_.node.devices, machine_.name);
  if (c.devices() > std::max(machine_.network.devices, machine_.node.devices))
    return fmt::format("{} devices are more than the {} of {}", c.devices(),
                       machine_.network.devices, machine_.name);
  if (workload_.global_batch % (c.data * c.micro) != 0)
    return fmt::format("data {} x micro {} do not divide a batch of {}", c.data, c.micro,
                       workload_.global_batch);
  if (workload_.gradients == "bfloat16" && c.micro_batches(workload_.global_batch) > 1)
    return "gradients in bfloat16 are those of one micro-batch a step";
  if (c.pipeline > 1 && c.schedule == ScheduleKind::zero_bubble && !splits_backward_)
    return zero_bubble_problem(workload_.model);
  const int64_t parts = c.pipeline * c.chunks;
  if (parts > std::max<int64_t>(1, system_.even_stages ? blocks - 2 : blocks))
    return fmt::format("{} parts for a model of {} blocks", parts, blocks);
  if (system_.even_stages && parts > 1 && (blocks - 2) % parts != 0)
    return fmt::format("{} parts do not divide {} layers", parts, blocks - 2);
  if (std::string split = shape_problem(c.tensor, c.context); !split.empty()) return split;
  return c.pipeline == 1 && c.chunks == 1
             ? ""
             : schedule_problem(c.schedule_request(workload_.global_batch));
}

std::vector<int64_t> Predictor::cuts(const Configuration& c) {
  const std::vector<size_t> first = cuts_.first_blocks(c);
  return {first.begin() + 1, first.end() - 1};
}

std::vector<StageMemory> Predictor::stage_memory(const Configuration& c) {
  Prediction p;
  std::vector<StageMemory> stages;
  set_stages(c);
  set_memory(c, p, &stages);
  return stages;
}

Prediction Predictor::predict(const Configuration& c) {
  Prediction p;
  set_stages(c);
  set_memory(c, p);
  finish(c, closed_form(c, p), p);
  return p;
}

double Predictor::closed_form(const Configuration& c, Prediction& p) const {
  const PipelineTime time =
      pipeline_time(stages_, c.schedule_request(workload_.global_batch), system_.blocking_messages);
  p.least_seconds = time.least;
  return time.seconds;
}

Prediction Predictor::simulate(const Configuration& c, Timeline* timeline) {
  Prediction p;
  set_stages(c);
  set_memory(c, p);
  double pipeline = closed_form(c, p);
  if (c.pipeline > 1 && c.micro_batches(workload_.global_batch) <= kMany) {
    const auto v = static_cast<double>(c.chunks);
    const bool splits = c.puts_off_weights();
    std::vector<StageSeconds> seconds;
    for (const Passes& stage : stages_)
      seconds.push_back({stage.forward / v, (stage.input + (splits ? 0 : stage.weight)) / v,
                         splits ? stage.weight / v : 0,
                         system_.blocking_messages ? 0 : stage.message});
    const Schedule schedule = make_schedule(c.schedule_request(workload_.global_batch));
    pipeline = plan::simulate(schedule, seconds, timeline).seconds;
    p.simulated = true;
  }
  finish(c, pipeline, p);
  return p;
}

}  // namespace ocoee::plan
