// SPDX-License-Identifier: Apache-2.0
#include "plan/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "plan/placement.h"
#include "plan/storage.h"
#include "plan/timed_cuts.h"

namespace ocoee::plan {
namespace {

constexpr size_t kMany = 65535;
constexpr double kMiB = 1 << 20;

// Bytes of the block of memory that LibTorch's allocator gives on a GPU: from 10 MiB on whole 2
// MiB, unless more than 1 MiB would be left over, which it splits off.
double block_of(double bytes) {
  const double whole = std::ceil(bytes / (2 * kMiB)) * 2 * kMiB;
  return bytes >= 10 * kMiB && whole - bytes <= kMiB ? whole : bytes;
}

ScheduleRequest request_of(const Configuration& c, int64_t global_batch) {
  return {c.schedule, static_cast<int>(c.pipeline), static_cast<int>(c.micro_batches(global_batch)),
          static_cast<int>(c.chunks)};
}

Shape shape_of(const Configuration& c) {
  return {c.tensor, c.context, c.micro, c.pipeline, c.recompute};
}

// Devices between a stage and the next.
int64_t stride_of_stages(const Configuration& c) {
  return c.tensor * c.context * (c.placement == Placement::data_inside ? c.data : 1);
}

// Equal numbers of inner blocks for every part; the first takes the embedding, the last the head.
std::vector<size_t> even_cuts(size_t blocks, int64_t parts) {
  const auto inner = static_cast<int64_t>(blocks) - 2;
  std::vector<size_t> cuts{0};
  for (int64_t part = 1; part < parts; ++part)
    cuts.push_back(static_cast<size_t>(1 + inner * part / parts));
  cuts.push_back(blocks);
  return cuts;
}

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
      costs_(workload_, system_, machine_) {
  peak_ = machine.device.peak(workload.compute).value;
  const auto tokens = static_cast<double>(workload.global_batch * workload.sequence);
  splits_backward_ = zero_bubble_problem(workload.model).empty();
  model_flops_ = workload.model.training_flops_per_token() * tokens;
  for (const BlockSpec& block : workload.model.blocks) {
    if (!is_recomputed(block)) continue;
    if (system.by_tensor) full_flops_ += flops_made_again(block) * tokens;
    for (const LayerSpec& layer : block.layers) {
      if (!system.by_tensor)
        full_flops_ += (layer.cost.matmul_flops + layer.cost.attention_flops) * tokens;
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
  return c.pipeline == 1 && c.chunks == 1 ? ""
                                          : schedule_problem(request_of(c, workload_.global_batch));
}

std::vector<size_t> Predictor::first_blocks(const Configuration& c) {
  const int64_t parts = c.pipeline * c.chunks;
  const std::vector<size_t>& classes = costs_.class_of_block();
  if (parts == 1) return {0, classes.size()};
  if (system_.even_stages) return even_cuts(classes.size(), parts);
  if (static_cast<int64_t>(workload_.cuts.size()) + 1 == parts)
    return pipeline_cuts(workload_.model, parts, workload_.cuts);
  if (!machine_.is_known()) return pipeline_cuts(workload_.model, parts);
  return cuts_by_time(costs_.at(shape_of(c)), classes, c.recompute, static_cast<size_t>(parts));
}

std::vector<int64_t> Predictor::cuts(const Configuration& c) {
  const std::vector<size_t> first = first_blocks(c);
  return {first.begin() + 1, first.end() - 1};
}

const Predictor::Cut& Predictor::cut(const Configuration& c) {
  const Cut*& known = cut_of_[{c.pipeline, c.chunks, c.tensor, c.context, c.micro,
                               static_cast<int64_t>(c.recompute)}];
  if (known) return *known;
  const std::vector<size_t> cuts = first_blocks(c);
  Cut& cut = cuts_[{c.pipeline, cuts}];
  known = &cut;
  if (!cut.blocks.empty()) return cut;
  const std::vector<size_t>& classes = costs_.class_of_block();
  const auto stages = static_cast<size_t>(c.pipeline);
  cut.blocks.assign(stages, std::vector<int>(costs_.classes(), 0));
  cut.order.resize(stages);
  for (size_t part = 0; part + 1 < cuts.size(); ++part) {
    const size_t stage = part % stages;
    std::vector<uint16_t>& chunk = cut.order[stage].emplace_back();
    for (size_t b = cuts[part]; b < cuts[part + 1]; ++b) {
      ++cut.blocks[stage][classes[b]];
      chunk.push_back(static_cast<uint16_t>(classes[b]));
    }
  }
  for (size_t s = 0; s < stages; ++s)
    cut.repeats.push_back(s > 0 && cut.order[s] == cut.order[s - 1]);
  return cut;
}

void Predictor::set_stages(const Configuration& c) {
  blocks_ = &costs_.at(shape_of(c));
  cut_ = &cut(c);
  const auto count = static_cast<size_t>(c.pipeline);
  stages_.assign(count, {});
  parameters_.assign(count, 0);
  borrowed_.assign(count, 0);

  const auto mode = static_cast<size_t>(c.recompute);
  std::array<double, 64> forward{}, input{}, weight{};
  const size_t classes = std::min<size_t>(blocks_->size(), forward.size());
  for (size_t k = 0; k < classes; ++k) {
    const BlockCost& block = (*blocks_)[k];
    forward[k] = block.forward.total();
    input[k] = block.input.total() + block.again[mode].total();
    weight[k] = block.weight.total();
  }
  for (size_t s = 0; s < count; ++s) {
    for (size_t k = 0; k < blocks_->size(); ++k) {
      const double n = cut_->blocks[s][k];
      if (n == 0) continue;
      const BlockCost& block = (*blocks_)[k];
      stages_[s].forward += n * (k < classes ? forward[k] : block.forward.total());
      stages_[s].input +=
          n * (k < classes ? input[k] : block.input.total() + block.again[mode].total());
      stages_[s].weight += n * (k < classes ? weight[k] : block.weight.total());
      parameters_[s] += n * block.parameters;
      borrowed_[s] += n * block.borrowed;
    }
    if (count == 1) borrowed_[s] = 0;
  }

  // Where weight work comes later, what travels hides beside the pass that it belongs to.
  const bool puts_off = c.schedule == ScheduleKind::zero_bubble && count > 1;
  if (c.offload) {  // a block's are copied out and back beside the passes of its neighbours
    for (size_t s = 0; s < count; ++s) {
      const double copy = saved_bytes(s, c) / machine_.host.bandwidth.value;
      if (puts_off)
        stages_[s].input = std::max(stages_[s].input, copy);
      else
        stages_[s].weight += std::max(0.0, copy - stages_[s].input - stages_[s].weight);
      stages_[s].forward = std::max(stages_[s].forward, copy);
    }
  }

  // Parameters that are whole only while they are used: what their collectives take beyond the
  // passes that they run beside.
  const Group group = sharing(c).split;
  if (at_least(c.shard, Shard::gradients) && group.ranks > 1) {
    for (size_t s = 0; s < count; ++s) {
      Stage& stage = stages_[s];
      const double scatter = gradient_seconds(c, s);
      double gather = 0;
      if (c.shard == Shard::parameters) gather = gather_seconds(c, s);
      const double loss = network_.overlap_loss(group) * (2 * gather + scatter);
      if (puts_off) {
        stage.input = std::max(stage.input, gather);
        stage.weight = std::max(stage.weight, scatter) + loss;
      } else {
        stage.weight += std::max(0.0, gather + scatter - stage.input - stage.weight) + loss;
      }
      stage.forward += std::max(0.0, gather - stage.forward);
    }
  }
  if (count == 1) return;

  const double tokens =
      static_cast<double>(c.micro * workload_.sequence) / static_cast<double>(c.context);
  const double whole = tokens * static_cast<double>(costs_.width() * workload_.compute_bytes());
  const bool split = system_.split_messages || system_.norms_sharded;
  const Bytes bytes(whole / (split ? static_cast<double>(c.tensor) : 1));
  const int64_t stride =
      c.placement == Placement::data_inside ? c.tensor * c.context * c.data : c.tensor * c.context;
  double again = 0;  // what was split is put together again
  if (split && !system_.norms_sharded && c.tensor > 1)
    again = network_.all_gather({c.tensor, 1}, Bytes(whole)).value;
  const int64_t node = machine_.node.devices;
  const double near = network_.message(stride, bytes).value + again;
  const double far = network_.message(std::max(stride, node), bytes).value + again;
  for (size_t s = 0; s + 1 < count; ++s) {
    const bool leaves = stride >= node || (static_cast<int64_t>(s + 1) * stride) % node == 0;
    stages_[s].message = leaves ? far : near;
  }
  stages_[count - 1].message = c.chunks > 1 ? far : 0;
  // What messages take from the passes beside them: everything, or a share of the processor. A
  // neighbour that computes takes no message: it waits beside this stage's passes.
  for (size_t s = 0; s < count; ++s) {
    const double slower = std::max(stages_[s].message, s > 0 ? stages_[s - 1].message : 0);
    const Link& link = network_.link_at(slower > near ? std::max(stride, node) : stride);
    const double loss = system_.blocking_messages ? 1 : link.overlap_loss;
    const double waits = system_.blocking_messages ? 0 : link.waiting_loss;
    const double before = stages_[s].work(), each = slower * loss * static_cast<double>(c.chunks);
    stages_[s].forward += waits * stages_[s].forward + each;
    stages_[s].input += waits * stages_[s].input + each;
    stages_[s].weight += waits * stages_[s].weight;
    stages_[s].taken = stages_[s].work() - before;
  }
}

// What a stage keeps of one micro-batch.
double Predictor::saved_bytes(size_t stage, const Configuration& c) const {
  double sum = 0;
  for (size_t k = 0; k < blocks_->size(); ++k)
    sum += cut_->blocks[stage][k] * (*blocks_)[k].saved[static_cast<size_t>(c.recompute)];
  return sum;
}

double Predictor::pipeline_seconds(const Configuration& c, double& least) const {
  const size_t p = stages_.size();
  const auto m = static_cast<double>(c.micro_batches(workload_.global_batch));
  const auto v = static_cast<double>(c.chunks);
  const double hop = system_.blocking_messages ? 0 : 2;
  double all = 0, slowest = 0, hops = 0;
  for (const Stage& stage : stages_) {
    all += stage.work();
    slowest = std::max(slowest, stage.work());
  }
  for (size_t s = 0; s + 1 < p; ++s) hops += hop * stages_[s].message;
  if (p == 1) return least = m * slowest;

  double before = 0, passed = 0;  // sums over j < i of w_j, and of messages
  double best = 0;
  least = 0;
  const bool splits = c.schedule == ScheduleKind::zero_bubble;
  double first_way = 0;  // what must be over before stage i begins, and after it ends
  for (size_t i = 0; i < p; ++i) {
    const Stage& stage = stages_[i];
    const double w = stage.work();
    least = std::max(least, first_way + passed + m * w);
    if (c.schedule == ScheduleKind::one_f_one_b && m >= static_cast<double>(p)) {
      const double later = all - before - w + hops - passed;
      const double held = static_cast<double>(p - i);
      least = std::max(least, before + passed + 2 * later + (m - held + 1) * w);
    }
    before += w;
    // Weight work that is put off may end after the stages before have ended.
    first_way += (stage.forward + (splits ? 0 : stage.input + stage.weight)) / v;
    passed += (splits ? hop / 2 : hop) * stage.message;
  }
  switch (c.schedule) {
    case ScheduleKind::gpipe: {
      double up = 0, down = 0, most_up = 0, most_down = 0;
      for (const Stage& stage : stages_) {
        up += stage.forward;
        down += stage.input + stage.weight;
        most_up = std::max(most_up, stage.forward);
        most_down = std::max(most_down, stage.input + stage.weight);
      }
      best = up + down + hops + (m - 1) * (most_up + most_down);
      break;
    }
    case ScheduleKind::one_f_one_b:
      best = least;
      break;
    case ScheduleKind::interleaved:
      best = m * slowest + (all - slowest) / v + hops;
      break;
    case ScheduleKind::zero_bubble: {
      double lost = 0;
      for (const Stage& stage : stages_)
        lost += std::max(0.0, stage.forward + stage.input - stage.weight);
      best = m * slowest + lost * static_cast<double>(p - 1) / static_cast<double>(p) + hops;
      break;
    }
  }
  return std::max(best, least);
}

void Predictor::finish(const Configuration& c, double pipeline, Prediction& p) const {
  const size_t count = stages_.size();
  const auto m = static_cast<double>(c.micro_batches(workload_.global_batch));
  const Group group = sharing(c).split;
  const auto ranks = static_cast<double>(shards(c));
  const double element_scale = workload_.compute_bytes() == 8 ? 2 : 1;
  const BytesPerSecond memory = machine_.device.bandwidth * machine_.device.stream(1e9);

  // A stage that ends early averages its gradients while others still drain.
  double reduced = pipeline, updated = 0, drain = 0;
  for (size_t s = 0; s < count; ++s) {
    const double elements = parameters_[s] + borrowed_[s];
    double exposed = exposed_sum_seconds(c, s), gather = 0;
    if (c.shard == Shard::states || c.shard == Shard::gradients) gather = gather_seconds(c, s);
    if (borrowed_[s] > 0) {  // a tied matrix: its gradient to the lender, its values back
      const double element = system_.by_tensor ? static_cast<double>(workload_.gradient_bytes())
                                               : std::max(4.0, 4 * element_scale);
      const Bytes bytes(borrowed_[s] * element);
      exposed += 2 * network_.message((c.pipeline - 1) * stride_of_stages(c), bytes).value;
    }
    const double owned = elements / ranks;
    const double held = at_least(c.shard, Shard::gradients) ? owned : elements;
    const Bytes bytes((owned * system_.optimizer_bytes + held * system_.gradient_bytes) *
                      element_scale);
    reduced = std::max(reduced, pipeline - drain + exposed);
    const double update = (bytes / memory).value;
    if (system_.by_tensor) {  // a block's values leave while the next block is updated
      const double beside = std::min(gather, update);
      gather += (network_.overlap_loss(group) - 1) * beside;
    }
    updated = std::max(updated, update + gather);
    p.of(Part::optimizer) = std::max(p.of(Part::optimizer), update);
    drain += (stages_[s].input + stages_[s].weight) / 2;  // a backward pass without its weight work
  }
  const double start = system_.starts_late
                           ? machine_.deepspeed_stage_start.value * static_cast<double>(count - 1)
                           : 0;
  p.seconds = reduced + updated + start;
  p.least_seconds = std::min(p.seconds, p.least_seconds + updated + start);
  // A step's samples are read while the step before runs.
  const double reading =
      storage_seconds(sample_bytes(workload_), machine_.read, machine_, c.devices()).value;
  p.of(Part::loading) = std::max(0.0, reading - p.seconds);
  p.seconds += p.of(Part::loading);
  p.least_seconds = std::max(p.least_seconds, std::min(reading, p.seconds));

  size_t slowest = 0;
  for (size_t s = 1; s < count; ++s) {
    if (stages_[s].work() > stages_[slowest].work()) slowest = s;
  }
  p.slowest = static_cast<int>(slowest);
  const auto mode = static_cast<size_t>(c.recompute);
  double work = 0;
  const auto add = [&](Part part, double seconds) {
    p.of(part) += seconds;
    work += seconds;
  };
  for (size_t k = 0; k < blocks_->size(); ++k) {
    const double n = m * cut_->blocks[slowest][k];
    if (n == 0) continue;
    WorkSeconds sum = (*blocks_)[k].forward;
    sum += (*blocks_)[k].input;
    sum += (*blocks_)[k].weight;
    WorkSeconds again = (*blocks_)[k].again[mode];
    add(Part::product, n * sum.of(Work::product));
    add(Part::attention, n * sum.of(Work::attention));
    add(Part::stream, n * sum.of(Work::stream));
    add(Part::tensor, n * (sum.of(Work::tensor) + again.of(Work::tensor)));
    add(Part::context, n * (sum.of(Work::context) + again.of(Work::context)));
    add(Part::recompute,
        n * (again.of(Work::product) + again.of(Work::attention) + again.of(Work::stream)));
  }
  const double sharding =
      at_least(c.shard, Shard::gradients) && group.ranks > 1
          ? std::max(0.0, m * (stages_[slowest].work() - stages_[slowest].taken) - work)
          : 0;
  p.of(Part::messages) = std::max(0.0, m * stages_[slowest].work() - work - sharding);
  p.of(Part::bubble) = std::max(0.0, pipeline - m * stages_[slowest].work()) + start;
  p.of(Part::data) = sharding + reduced - pipeline + updated - p.of(Part::optimizer);
  p.bubble_share = p.of(Part::bubble) / p.seconds;
}

// What a stage holds at its fullest moment beside states and the activations of other
// micro-batches, from the last block to the first: what earlier blocks keep, what the one running
// backward holds, weight work that waits, and units that are whole only while they are used.
Predictor::Moment Predictor::fullest_moment(const Configuration& c, size_t stage) const {
  const auto element = static_cast<double>(workload_.compute_bytes());
  const auto gradient = static_cast<double>(workload_.gradient_bytes());
  const auto mode = static_cast<size_t>(c.recompute);
  const int64_t ranks = shards(c);
  const bool gathers = ranks > 1 && at_least(c.shard, Shard::parameters);
  // Other software sums its gradients by the bucket, whatever their blocks.
  const bool by_bucket = system_.bucket_elements > 0;
  const bool splits = ranks > 1 && at_least(c.shard, Shard::gradients) && !by_bucket;
  // The first stage of zero_bubble puts nothing off.
  const bool waits =
      system_.by_tensor && c.schedule == ScheduleKind::zero_bubble && c.pipeline > 1 && stage > 0;
  const bool goes_on = !waits && c.micro_batches(workload_.global_batch) > 1;
  const double share = 1 / static_cast<double>(ranks);
  const double stream = element *
                        static_cast<double>(c.micro * workload_.sequence * costs_.width()) /
                        static_cast<double>(c.context * (system_.norms_sharded ? c.tensor : 1));
  Moment most;
  double most_bytes = -1;
  const auto consider = [&](double passing, double units) {
    if (passing + units <= most_bytes) return;
    most_bytes = passing + units;
    most = {passing, units};
  };
  for (const std::vector<uint16_t>& chunk : cut_->order[stage]) {
    if (splits && goes_on) {  // forward, with sums of the micro-batch before still under way
      double first = 0;
      for (size_t b = 0; b < std::min<size_t>(2, chunk.size()); ++b)
        first += (*blocks_)[chunk[b]].parameters;
      consider(0, gradient * first * (1 + share));
    }
    double kept = 0, waiting = 0, most_whole = 0;
    for (const uint16_t k : chunk) kept += (*blocks_)[k].saved[mode];
    const double all = c.offload ? most_here(chunk, mode) : kept;
    for (size_t b = chunk.size(); b-- > 0;) {
      const BlockCost& block = (*blocks_)[chunk[b]];
      // Two sums are under way at most; those of the first blocks still are when the last one runs
      // in the next micro-batch, unless that is tied to the first and waits for it.
      const double lent = c.pipeline == 1 && b > 0 ? (*blocks_)[chunk.back()].borrowed : 0;
      const auto elements = [&](size_t steps) {
        size_t other = b + steps;
        if (other >= chunk.size() && goes_on && steps < chunk.size() &&
            (*blocks_)[chunk.back()].borrowed == 0)
          other -= chunk.size();
        return other < chunk.size() ? (*blocks_)[chunk[other]].parameters : 0;
      };
      if (c.offload)
        kept = b > 0 ? (*blocks_)[chunk[b - 1]].saved[mode] : 0;  // on its way back
      else
        kept -= block.saved[mode];
      const double own = elements(0), next = b > 0 ? (*blocks_)[chunk[b - 1]].parameters : 0;
      double units = 0;
      if (splits) {
        // The gradient that is written, unless that waits, and two that are being summed. A tied
        // matrix's is whole from the block that borrows it to its own.
        const double summed = (elements(1) + elements(2)) * (1 + share);
        most_whole = std::max(most_whole, own + summed);
        units = gradient * ((waits ? 0 : own) + summed + lent);
      }
      const double borrowed = c.pipeline == 1 ? block.borrowed : 0;
      if (splits && !waits)  // its passes are over: the slice that its own sum arrives in
        consider(kept + (b > 0 ? stream : 0) - all,
                 units + gradient * own * share +
                     (gathers ? element * (b > 0 ? next : own + borrowed) : 0));
      if (gathers) units += element * (own + next + borrowed);
      consider(kept + (waits ? block.putting_off : block.alive)[mode] + waiting - all, units);
      if (waits) waiting += block.waiting;
    }
    if (waits) consider(waiting - all, gradient * most_whole);  // then the weight work
  }
  if (by_bucket && ranks > 1)
    most.units += std::min(system_.bucket_elements, parameters_[stage]) *
                  system_.states(c.shard, workload_.compute_bytes()).gradients.bytes;
  return most;
}

// Where activations wait in the host's memory: what a block keeps, and what the one before it does,
// which is on its way out or back.
double Predictor::most_here(const std::vector<uint16_t>& chunk, size_t mode) const {
  double most = 0, before = 0;
  for (const uint16_t k : chunk) {
    const double own = (*blocks_)[k].saved[mode];
    most = std::max(most, own + before);
    before = own;
  }
  return most;
}

// Of a stage's activations; where they wait in the host's memory, what is here has the same shares.
std::map<std::string, double> Predictor::activations_by_kind(const Configuration& c, size_t stage,
                                                             double activations,
                                                             double put_off) const {
  const double kept = saved_bytes(stage, c);
  std::map<std::string, double> out;
  if (put_off > 0) out["weight work put off"] = put_off;
  for (size_t k = 0; kept > 0 && k < blocks_->size(); ++k) {
    for (const auto& [kind, saved] : (*blocks_)[k].saved_by_kind) {
      const double share = cut_->blocks[stage][k] * saved[static_cast<size_t>(c.recompute)] / kept;
      if (share > 0) out[kind] += share * (activations - put_off);
    }
  }
  return out;
}

void Predictor::set_memory(const Configuration& c, Prediction& out,
                           std::vector<StageMemory>* stages) const {
  const auto element = static_cast<double>(workload_.compute_bytes());
  const int64_t ranks = shards(c);
  const StateRules& states =
      system_.states(ranks > 1 ? c.shard : Shard::none, workload_.compute_bytes());
  const auto mode = static_cast<size_t>(c.recompute);
  const double tokens =
      static_cast<double>(c.micro * workload_.sequence) / static_cast<double>(c.context);
  const double message = tokens * static_cast<double>(costs_.width()) * element;
  const double norm_split = system_.norms_sharded ? static_cast<double>(c.tensor) : 1;
  const ScheduleRequest request = request_of(c, workload_.global_batch);
  const int64_t m = c.micro_batches(workload_.global_batch);
  double host = 0;  // bytes of a rank that wait there
  Moment moment;

  for (size_t s = 0; s < stages_.size(); ++s) {
    std::array<double, kHeld> bytes{};
    const auto of = [&](Held held) -> double& { return bytes[static_cast<size_t>(held)]; };
    double queued = 0, tables = 0, lasting = 0, large = 0;
    for (size_t k = 0; k < blocks_->size(); ++k) {
      const double n = cut_->blocks[s][k];
      if (n == 0) continue;
      const BlockCost& block = (*blocks_)[k];
      queued += n * std::max(0.0, block.waiting - block.saved[mode]);
      tables += n * block.tables;
      lasting = std::max(lasting, block.lasting);
      if (block.saved[mode] > kMiB) large += n;
    }
    const double elements = parameters_[s] + borrowed_[s];
    of(Held::parameters) = elements * states.weights.on_rank(ranks);
    of(Held::gradients) = elements * states.gradients.on_rank(ranks);
    of(Held::masters) = parameters_[s] * states.masters.on_rank(ranks);
    of(Held::optimizer) =
        parameters_[s] * states.moments.on_rank(ranks) * workload_.optimizer_states / 2;
    const auto in_flight = static_cast<double>(
        c.pipeline == 1 ? 1 : activations_in_flight(request, static_cast<int>(s)));
    const double kept = saved_bytes(s, c) * in_flight / static_cast<double>(c.chunks);
    host = std::max(host, kept);
    of(Held::activations) = kept;
    if (c.offload) {
      of(Held::activations) = 0;
      for (const std::vector<uint16_t>& chunk : cut_->order[s])
        of(Held::activations) = std::max(of(Held::activations), most_here(chunk, mode));
    }
    // Weight work of as many micro-batches as the stage's number waits.
    const double put_off =
        c.schedule == ScheduleKind::zero_bubble && c.pipeline > 1
            ? static_cast<double>(std::min<int64_t>(static_cast<int64_t>(s), m)) * queued
            : 0;
    of(Held::activations) += put_off;
    if (s < 2 || !cut_->repeats[s]) moment = fullest_moment(c, s);  // the first puts nothing off
    of(Held::temporary) = moment.passing + tables;
    if (system_.by_tensor && c.tensor * c.context > 1)  // where a rank's rows stand
      of(Held::temporary) += 8 * tokens / norm_split;
    if (system_
            .by_tensor)  // the step's samples, and those of a micro-batch as the model reads them
      of(Held::temporary) += 8 * tokens * static_cast<double>(m + (c.pipeline > 1 ? 2 * m : 2));
    of(Held::temporary) += system_.by_tensor ? lasting : machine_.device.workspace.value;
    // Units that come and go whole; messages both ways; elsewhere a gathered input beside the one
    // in use.
    of(Held::communication) = moment.units;
    if (c.tensor > 1 && !system_.by_tensor) of(Held::communication) += 2 * message;
    if (c.pipeline > 1) of(Held::communication) += 4 * message / norm_split;
    of(Held::slack) =
        system_.slack * (of(Held::activations) + of(Held::temporary) + of(Held::communication));
    if (system_.by_tensor && machine_.device.workspace > Bytes(0)) {
      // An array that is kept may lie in a freed block of up to 1 MiB more: one in each of ours.
      of(Held::slack) += large * in_flight / static_cast<double>(c.chunks) * kMiB;
      for (const Held flat : {Held::parameters, Held::gradients, Held::masters})
        of(Held::slack) += block_of(of(flat)) - of(flat);
      if (const double arrays = workload_.optimizer_states; arrays > 0)
        of(Held::slack) += arrays * block_of(of(Held::optimizer) / arrays) - of(Held::optimizer);
    }
    if (stages)
      stages->push_back({bytes, static_cast<int64_t>(in_flight),
                         activations_by_kind(c, s, of(Held::activations), put_off)});
    const double total = std::accumulate(bytes.begin(), bytes.end(), 0.0);
    if (total > out.total_bytes) {
      out.total_bytes = total;
      out.bytes = bytes;
      out.fullest = static_cast<int>(s);
    }
  }
  out.fits = out.total_bytes <= usable_bytes();
  if (c.offload)  // half of a node's memory is left to the rest
    out.fits &= host * static_cast<double>(machine_.node.devices) <= machine_.host.memory.value / 2;
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
  const double pipeline = pipeline_seconds(c, p.least_seconds);
  finish(c, pipeline, p);
  return p;
}

Prediction Predictor::simulate(const Configuration& c, Timeline* timeline) {
  Prediction p;
  set_stages(c);
  set_memory(c, p);
  double pipeline = pipeline_seconds(c, p.least_seconds);
  const auto micro_batches = static_cast<size_t>(c.micro_batches(workload_.global_batch));
  if (c.pipeline > 1 && micro_batches <= kMany) {
    const auto v = static_cast<double>(c.chunks);
    const bool splits = c.schedule == ScheduleKind::zero_bubble;
    std::vector<StageSeconds> seconds;
    for (const Stage& stage : stages_)
      seconds.push_back({stage.forward / v, (stage.input + (splits ? 0 : stage.weight)) / v,
                         splits ? stage.weight / v : 0,
                         system_.blocking_messages ? 0 : stage.message});
    const ScheduleRequest request = request_of(c, workload_.global_batch);
    pipeline = plan::simulate(make_schedule(request), seconds, timeline).seconds;
    p.simulated = true;
  }
  finish(c, pipeline, p);
  return p;
}

}  // namespace ocoee::plan
