// SPDX-License-Identifier: Apache-2.0
// What one block costs on one rank for one micro-batch: seconds by kind of work, and bytes kept.
// Each operation takes the longer of its FLOPs over the reached peak and its bytes over the
// reached bandwidth, and a launch (roofline; plan/timer.h says where not). Kinds of layers that are
// known by name are taken apart into operations; any other is costed by the sums of its LayerSpec.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plan/collective.h"
#include "plan/machine.h"
#include "plan/system.h"

namespace ocoee::plan {

enum class Work : uint8_t { product, attention, stream, tensor, context };
constexpr size_t kWorks = 5;
const char* name_of(Work work);

struct WorkSeconds : std::array<double, kWorks> {
  WorkSeconds() : std::array<double, kWorks>{} {}
  double& of(Work work) { return (*this)[static_cast<size_t>(work)]; }
  double of(Work work) const { return (*this)[static_cast<size_t>(work)]; }
  double total() const;
  WorkSeconds& operator+=(const WorkSeconds& other);
  WorkSeconds& operator-=(const WorkSeconds& other);
};

struct BlockCost {
  WorkSeconds forward, input, weight;  // backward: input gradients, weight gradients
  std::array<WorkSeconds, 3> again;    // recomputed in the backward pass, by Recompute
  std::array<double, 3> saved{};       // bytes kept for the backward pass, by Recompute
  std::map<std::string, std::array<double, 3>> saved_by_kind;  // of layer; they add up to `saved`
  std::array<double, 3> alive{};        // the most its backward pass holds: those, and its own
  std::array<double, 3> putting_off{};  // the same where its weight work is put off
  double waiting = 0;                   // bytes that its put-off weight work waits with
  double tables = 0;                    // bytes that are made once and stay
  double lasting = 0;                   // bytes of a library's that all blocks share, and that stay
  double parameters = 0, borrowed = 0;  // elements on a tensor rank: its own, and tied ones
};

struct Shape {  // of a micro-batch on a rank
  int64_t tensor = 1, context = 1, micro = 1;
  // How many parts its passes are shared out to, and what they leave to be made again: from what
  // lies between two uses of a byte follows what it costs, on a machine of which that is known.
  int64_t stages = 1;
  Recompute recompute = Recompute::none;
  auto operator<=>(const Shape&) const = default;
};
Shape shape_of(const Configuration& c);

bool is_recomputed(const BlockSpec& block);       // with full recompute; embedding and head are not
double flops_made_again(const BlockSpec& block);  // a token, by this engine's full recompute

// Blocks that cost the same are of one class; classes are numbered in order of appearance.
class BlockCosts {
 public:
  BlockCosts(const Workload& workload, const System& system, const Machine& machine);

  size_t classes() const { return representative_.size(); }
  const std::vector<size_t>& class_of_block() const { return class_of_block_; }
  const std::vector<BlockCost>& at(const Shape& shape);  // by class; computed once
  // Why the model cannot be split so; "" when it can.
  std::string problem(const Shape& shape) const;
  int64_t width() const { return width_; }

 private:
  // `byte`: what moving one costs; 0: not known (plan/timer.h).
  std::vector<BlockCost> all(const Shape& shape, Seconds byte) const;
  BlockCost cost(const BlockSpec& block, const Shape& shape, Seconds byte,
                 bool in_turns = false) const;
  bool takes_turns(const Shape& shape) const;
  BlockCost in_turns(const BlockSpec& block, const Shape& shape, Seconds byte) const;

  const Workload& workload_;
  const System& system_;
  Machine machine_;
  Network network_;
  FlopsPerSecond peak_;
  int64_t width_ = 0;
  std::vector<size_t> class_of_block_, representative_;
  std::map<Shape, std::vector<BlockCost>> known_;
};

}  // namespace ocoee::plan
