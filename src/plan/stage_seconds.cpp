// SPDX-License-Identifier: Apache-2.0
// How long the passes of each stage take: its blocks, and what copies, shards and messages add.
#include <algorithm>

#include "plan/predict.h"

namespace ocoee::plan {

void Predictor::set_stages(const Configuration& c) {
  blocks_ = &costs_.at(shape_of(c));
  cut_ = &cuts_.of(c);
  add_up_blocks(c);
  if (c.offload) add_copies(c);
  if (at_least(c.shard, Shard::gradients) && sharing(c).split.ranks > 1) add_shards(c);
  if (c.pipeline > 1) add_messages(c);
}

void Predictor::add_up_blocks(const Configuration& c) {
  const auto mode = static_cast<size_t>(c.recompute);
  of_class_.clear();
  for (const BlockCost& block : *blocks_)
    of_class_.push_back({block.forward.total(), block.input.total() + block.again[mode].total(),
                         block.weight.total()});
  const auto count = static_cast<size_t>(c.pipeline);
  stages_.assign(count, {});
  parameters_.assign(count, 0);
  borrowed_.assign(count, 0);
  for (size_t s = 0; s < count; ++s) {
    for (size_t k = 0; k < of_class_.size(); ++k) {
      const double n = cut_->blocks[s][k];
      if (n == 0) continue;
      stages_[s].forward += n * of_class_[k].forward;
      stages_[s].input += n * of_class_[k].input;
      stages_[s].weight += n * of_class_[k].weight;
      parameters_[s] += n * (*blocks_)[k].parameters;
      borrowed_[s] += n * (*blocks_)[k].borrowed;
    }
    if (count == 1) borrowed_[s] = 0;
  }
}

// What a block keeps is copied out and back beside the passes of its neighbours. Where weight work
// comes later, what travels hides beside the pass that it belongs to.
void Predictor::add_copies(const Configuration& c) {
  for (size_t s = 0; s < stages_.size(); ++s) {
    Passes& stage = stages_[s];
    const double copy = saved_bytes(s, c) / machine_.host.bandwidth.value;
    if (c.puts_off_weights())
      stage.input = std::max(stage.input, copy);
    else
      stage.weight += std::max(0.0, copy - stage.input - stage.weight);
    stage.forward = std::max(stage.forward, copy);
  }
}

// Parameters that are whole only while they are used: what their collectives take beyond the
// passes that they run beside.
void Predictor::add_shards(const Configuration& c) {
  const double overlap_loss = network_.overlap_loss(sharing(c).split);
  for (size_t s = 0; s < stages_.size(); ++s) {
    Passes& stage = stages_[s];
    const double scatter = gradient_seconds(c, s);
    double gather = 0;
    if (c.shard == Shard::parameters) gather = gather_seconds(c, s);
    const double loss = overlap_loss * (2 * gather + scatter);
    if (c.puts_off_weights()) {
      stage.input = std::max(stage.input, gather);
      stage.weight = std::max(stage.weight, scatter) + loss;
    } else {
      stage.weight += std::max(0.0, gather + scatter - stage.input - stage.weight) + loss;
    }
    stage.forward += std::max(0.0, gather - stage.forward);
  }
}

void Predictor::add_messages(const Configuration& c) {
  const size_t count = stages_.size();
  const double whole = stream_bytes(c);
  const bool split = system_.split_messages || system_.norms_sharded;
  const Bytes bytes(whole / (split ? static_cast<double>(c.tensor) : 1));
  const int64_t stride = c.stage_stride(), node = machine_.node.devices;
  double again = 0;  // what was split is put together again
  if (split && !system_.norms_sharded && c.tensor > 1)
    again = network_.all_gather({c.tensor, 1}, Bytes(whole)).value;
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
    Passes& stage = stages_[s];
    const double slower = std::max(stage.message, s > 0 ? stages_[s - 1].message : 0);
    const Link& link = network_.link_at(slower > near ? std::max(stride, node) : stride);
    const double loss = system_.blocking_messages ? 1 : link.overlap_loss;
    const double waits = system_.blocking_messages ? 0 : link.waiting_loss;
    const double before = stage.work(), each = slower * loss * static_cast<double>(c.chunks);
    stage.forward += waits * stage.forward + each;
    stage.input += waits * stage.input + each;
    stage.weight += waits * stage.weight;
    stage.taken = stage.work() - before;
  }
}

double Predictor::tokens(const Configuration& c) const {
  return static_cast<double>(c.micro * workload_.sequence) / static_cast<double>(c.context);
}

double Predictor::stream_bytes(const Configuration& c) const {
  return tokens(c) * static_cast<double>(costs_.width() * workload_.compute_bytes());
}

}  // namespace ocoee::plan
