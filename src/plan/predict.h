// SPDX-License-Identifier: Apache-2.0
// Time and memory of one step of one configuration, in closed form.
//
// A pipeline of unequal stages takes at least, for every stage i with w = forward + backward
// seconds of a micro-batch, x seconds of a message and m micro-batches (1f1b):
//   sum_{j<i} (w_j + 2 x_j) + m w_i
//   sum_{j<i} (w_j + 2 x_j) + 2 sum_{j>i} (w_j + 2 x_{j-1}) + (m - (p - i) + 1) w_i
// the second because stage i may hold no more than p - i micro-batches; both are equalities for
// equal stages, (m + p - 1) w. The other schedules have forms of their own, below.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "plan/block_cost.h"
#include "plan/simulator.h"

namespace ocoee::plan {

enum class Part : uint8_t {  // of a step's seconds
  product,
  attention,
  stream,
  recompute,
  tensor,
  context,
  messages,
  bubble,
  data,
  optimizer,
  loading
};
constexpr size_t kParts = 11;
const char* name_of(Part part);

enum class Held : uint8_t {  // of a rank's bytes
  parameters,
  gradients,
  masters,
  optimizer,
  activations,
  communication,
  temporary,
  slack
};
constexpr size_t kHeld = 8;
const char* name_of(Held held);

struct Prediction {
  double seconds = 0;
  std::array<double, kParts> parts{};  // of the slowest stage; they add up to `seconds`
  std::array<double, kHeld> bytes{};   // of the fullest stage
  double total_bytes = 0;
  int slowest = 0, fullest = 0;  // stages
  bool fits = false;
  double least_seconds = 0;  // no execution of the schedule is quicker under the same costs
  bool simulated = false;
  double bubble_share = 0;  // of the step

  double& of(Part part) { return parts[static_cast<size_t>(part)]; }
  double of(Part part) const { return parts[static_cast<size_t>(part)]; }
  double of(Held held) const { return bytes[static_cast<size_t>(held)]; }
};

struct StageMemory {  // of a rank of one stage
  std::array<double, kHeld> bytes{};
  int64_t in_flight =
      1;  // micro-batches, or those of one chunk, whose activations it holds at most
  // By kind of layer, what waits for its weight work apart; they add up to its activations.
  std::map<std::string, double> activations;
};

class Predictor {
 public:
  Predictor(const Workload& workload, const System& system, const Machine& machine);

  // Why this configuration cannot be; "" when it can. Says nothing of memory.
  std::string problem(const Configuration& configuration);
  bool changes_anything(const Configuration& c);  // selective recompute may have nothing to drop
  std::string shape_problem(int64_t tensor, int64_t context) const;  // its part that these decide
  Prediction predict(const Configuration& configuration);
  // The same, its pipeline played over the schedule that the engine executes.
  Prediction simulate(const Configuration& configuration, Timeline* timeline = nullptr);
  std::vector<StageMemory> stage_memory(const Configuration& configuration);
  // As layout.cuts, where its pipeline is cut: as the workload says, else by the times of blocks on
  // this machine, as a run does that knows it (plan/timed_cuts.h).
  std::vector<int64_t> cuts(const Configuration& configuration);

  double usable_bytes() const;                         // of a device
  double model_flops() const { return model_flops_; }  // of a step, all devices
  double executed_flops(const Configuration& configuration) const;
  double peak_flops() const { return peak_; }  // of a device
  const Workload& workload() const { return workload_; }
  const System& system() const { return system_; }
  const Machine& machine() const { return machine_; }

 private:
  struct Cut {                                              // of the model into stages
    std::vector<std::vector<int>> blocks;                   // stage -> class -> blocks
    std::vector<std::vector<std::vector<uint16_t>>> order;  // stage -> chunk -> class of each block
    std::vector<bool> repeats;                              // stages in the order of the one before
    int64_t head_stage = 0;
  };
  struct Stage {
    double forward = 0, input = 0, weight = 0, message = 0;  // to the next stage
    double taken = 0;  // of these: what messages take from the passes beside them
    double work() const { return forward + input + weight; }
  };
  struct Sharing {  // of what replicas hold
    Group split, twins;
    bool context_apart = false;  // gradients are summed over the context ranks besides
  };
  struct Moment {  // bytes beside states and the activations that are kept
    double passing = 0, units = 0;
  };
  Moment fullest_moment(const Configuration& c, size_t stage) const;
  static int64_t shards(const Configuration& c);
  std::vector<size_t> first_blocks(const Configuration& c);  // of each part, and all blocks
  const Cut& cut(const Configuration& c);
  void set_stages(const Configuration& c);
  void set_memory(const Configuration& c, Prediction& p,
                  std::vector<StageMemory>* stages = nullptr) const;
  std::map<std::string, double> activations_by_kind(const Configuration& c, size_t stage,
                                                    double activations, double put_off) const;
  double saved_bytes(size_t stage, const Configuration& c) const;
  double most_here(const std::vector<uint16_t>& chunk, size_t mode) const;
  double pipeline_seconds(const Configuration& c, double& least) const;
  void finish(const Configuration& c, double pipeline, Prediction& p) const;
  double gradient_seconds(const Configuration& c, size_t stage) const;
  double gradient_element() const;  // its bytes on the wire
  double gather_seconds(const Configuration& c, size_t stage) const;
  double blocks_of(size_t stage) const;
  double first_block_share(size_t stage) const;
  Sharing sharing(const Configuration& c) const;
  double twin_seconds(const Configuration& c, size_t stage) const;
  double exposed_sum_seconds(const Configuration& c, size_t stage) const;

  Workload workload_;
  System system_;
  Machine machine_;
  Network network_;
  BlockCosts costs_;
  double peak_ = 0, model_flops_ = 0, selective_flops_ = 0, full_flops_ = 0;
  bool splits_backward_ = false;
  // What a cut depends on -> it; many configurations share few cuts.
  std::map<std::array<int64_t, 6>, const Cut*> cut_of_;
  std::map<std::pair<int64_t, std::vector<size_t>>, Cut> cuts_;  // by stages and first blocks

  // Of the configuration at hand; kept to allocate nothing.
  std::vector<Stage> stages_;
  std::vector<double> parameters_, borrowed_;
  const std::vector<BlockCost>* blocks_ = nullptr;
  const Cut* cut_ = nullptr;
};

}  // namespace ocoee::plan
