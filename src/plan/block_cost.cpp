// SPDX-License-Identifier: Apache-2.0
#include "plan/block_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "plan/layer_cost.h"
#include "plan/reuse.h"
#include "plan/timer.h"

namespace ocoee::plan {
namespace {

// What tells one class of blocks from another: everything but names.
std::string signature(const BlockSpec& block) {
  std::string text;
  for (const LayerSpec& layer : block.layers) {
    text += layer.kind + '|';
    for (const auto& [key, value] : layer.options) text += fmt::format("{}={};", key, value);
    for (const auto& [key, value] : layer.choices) text += fmt::format("{}={};", key, value);
    for (const ParameterSpec& p : layer.parameters)
      text += fmt::format("{}/{}{};", fmt::join(p.shape, "x"), p.tensor_dim,
                          p.tied_to.empty() ? "" : "t");
    text += fmt::format("{},{},{},{}|", layer.cost.matmul_flops, layer.cost.attention_flops,
                        layer.cost.saved_elements, layer.cost.bytes_moved);
  }
  return text;
}

}  // namespace

Shape shape_of(const Configuration& c) {
  return {c.tensor, c.context, c.micro, c.pipeline, c.recompute};
}

bool is_recomputed(const BlockSpec& block) {
  return std::none_of(block.layers.begin(), block.layers.end(), [](const LayerSpec& layer) {
    return layer.kind == "embedding" || layer.kind == "head";
  });
}

double flops_made_again(const BlockSpec& block) {
  if (!is_recomputed(block) || block.layers.empty()) return 0;
  double sum = -block.layers.back().cost.output_flops;
  for (const LayerSpec& layer : block.layers) sum += layer.cost.forward_flops();
  return sum;
}

const char* name_of(Work work) {
  static const char* const names[] = {"products", "attention", "elementwise", "tensor", "context"};
  return names[static_cast<size_t>(work)];
}

double WorkSeconds::total() const {
  return std::accumulate(begin(), end(), 0.0);
}

WorkSeconds& WorkSeconds::operator+=(const WorkSeconds& other) {
  for (size_t i = 0; i < kWorks; ++i) (*this)[i] += other[i];
  return *this;
}

WorkSeconds& WorkSeconds::operator-=(const WorkSeconds& other) {
  for (size_t i = 0; i < kWorks; ++i) (*this)[i] -= other[i];
  return *this;
}

BlockCosts::BlockCosts(const Workload& workload, const System& system, const Machine& machine)
    : workload_(workload),
      system_(system),
      machine_(machine),
      network_(machine),
      peak_(machine.device.peak(workload.compute)) {
  std::map<std::string, size_t> seen;
  const auto& blocks = workload.model.blocks;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto [found, is_new] = seen.emplace(signature(blocks[i]), seen.size());
    if (is_new) representative_.push_back(i);
    class_of_block_.push_back(found->second);
    for (const LayerSpec& layer : blocks[i].layers) {
      const auto option = layer.options.find("width");
      if (option != layer.options.end())
        width_ = std::max(width_, static_cast<int64_t>(option->second));
    }
  }
}

std::string BlockCosts::problem(const Shape& shape) const {
  if (shape.context > 1 && system_.least_context == 0)
    return fmt::format("{} has no context axis", system_.name);
  if (workload_.sequence % shape.context != 0)
    return fmt::format("{} context ranks do not divide a sequence of {}", shape.context,
                       workload_.sequence);
  if (system_.norms_sharded && workload_.sequence / shape.context % shape.tensor != 0)
    return fmt::format("{} tensor ranks do not divide the {} tokens of a sample that a rank has",
                       shape.tensor, workload_.sequence / shape.context);
  for (const size_t b : representative_) {
    for (const LayerSpec& layer : workload_.model.blocks[b].layers) {
      for (const char* option : {"heads", "kv_heads", "feed_forward"}) {
        const auto found = layer.options.find(option);
        if (found != layer.options.end() && static_cast<int64_t>(found->second) % shape.tensor != 0)
          return fmt::format("{} tensor ranks do not divide {} {}", shape.tensor, found->second,
                             option);
      }
    }
  }
  return "";
}

const std::vector<BlockCost>& BlockCosts::at(const Shape& asked) {
  const bool knows_reuse = !machine_.device.reuse.at.empty();
  Shape shape = asked;
  if (!knows_reuse) shape.stages = 1, shape.recompute = Recompute::none;
  std::vector<BlockCost>& costs = known_[shape];
  if (!costs.empty()) return costs;
  costs = all(shape, Seconds(0));
  if (!knows_reuse) return costs;
  const double touched = footprint(costs, class_of_block_, shape.recompute,
                                   static_cast<double>(workload_.compute_bytes()),
                                   static_cast<double>(workload_.gradient_bytes()));
  return costs = all(shape,
                     seconds_a_byte(machine_.device, touched / static_cast<double>(shape.stages)));
}

std::vector<BlockCost> BlockCosts::all(const Shape& shape, Seconds byte) const {
  std::vector<BlockCost> costs;
  for (const size_t b : representative_) {
    const BlockSpec& block = workload_.model.blocks[b];
    costs.push_back(takes_turns(shape) ? in_turns(block, shape, byte) : cost(block, shape, byte));
  }
  return costs;
}

BlockCost BlockCosts::cost(const BlockSpec& block, const Shape& shape, Seconds byte,
                           bool in_turns) const {
  const auto element = static_cast<double>(workload_.compute_bytes());
  const double tokens =
      static_cast<double>(shape.micro * workload_.sequence) / static_cast<double>(shape.context);
  Timer timer(machine_.device, peak_, element, tokens, byte);
  BlockCost out;
  LayerCost layers(workload_, system_, network_, timer, shape, in_turns, out);
  for (const LayerSpec& layer : block.layers) layers.add(layer);
  const auto full = static_cast<size_t>(Recompute::full);
  out.saved[full] = out.saved[0];
  out.alive[full] = out.alive[0];
  out.putting_off[full] = out.putting_off[0];
  for (auto& [kind, kept] : out.saved_by_kind) kept[full] = kept[0];
  if (is_recomputed(block)) {
    const double split = system_.norms_sharded ? static_cast<double>(shape.tensor) : 1;
    out.saved[full] = element * static_cast<double>(width_) * tokens / split;
    for (auto& [kind, kept] : out.saved_by_kind) kept[full] = 0;
    out.saved_by_kind["inputs of blocks"][full] = out.saved[full];
    out.again[full] = out.forward;
    if (system_.by_tensor) out.again[full] -= layers.output();
  }
  return out;
}

}  // namespace ocoee::plan
