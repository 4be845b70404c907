// SPDX-License-Identifier: Apache-2.0
// Time and memory of one step of one configuration, in closed form. The blocks' costs are
// added up to stages (stage_seconds.cpp), these to a pipeline (pipeline_time.h), and this to a step
// (step_end.cpp, sharing.cpp); what ranks hold is in stage_memory.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "plan/block_cost.h"
#include "plan/pipeline_time.h"
#include "plan/simulator.h"
#include "plan/stage_cuts.h"

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
  struct Sharing {  // of what replicas hold
    Group split, twins;
    bool context_apart = false;  // gradients are summed over the context ranks besides
  };
  struct StepEnd {         // seconds
    double summed = 0;     // until the gradients of all stages are
    double updated = 0;    // from then on, until values are where they are used
    double optimizer = 0;  // of these, its pass over memory
    double lost = 0;       // while stages start
  };
  class Memory;

  // Of the configuration at hand, seconds of the passes of its stages (stage_seconds.cpp).
  void set_stages(const Configuration& c);
  void add_up_blocks(const Configuration& c);
  void add_copies(const Configuration& c);
  void add_shards(const Configuration& c);
  void add_messages(const Configuration& c);
  double tokens(const Configuration& c) const;        // of a rank's micro-batch
  double stream_bytes(const Configuration& c) const;  // its residual stream's, on all tensor ranks

  // From the passes of its pipeline to a step and its parts (step_end.cpp).
  double closed_form(const Configuration& c, Prediction& p) const;
  StepEnd step_end(const Configuration& c, double pipeline) const;
  void finish(const Configuration& c, double pipeline, Prediction& p) const;
  double add_parts(const Configuration& c, size_t stage, double micro_batches, Prediction& p) const;

  // Bytes (stage_memory.cpp).
  void set_memory(const Configuration& c, Prediction& p,
                  std::vector<StageMemory>* stages = nullptr) const;
  double saved_bytes(size_t stage, const Configuration& c) const;

  // What replicas exchange (sharing.cpp).
  static int64_t shards(const Configuration& c);
  Sharing sharing(const Configuration& c) const;
  double gradient_seconds(const Configuration& c, size_t stage) const;
  double gradient_element() const;  // its bytes on the wire
  double gather_seconds(const Configuration& c, size_t stage) const;
  double twin_seconds(const Configuration& c, size_t stage) const;
  double exposed_sum_seconds(const Configuration& c, size_t stage) const;
  double blocks_of(size_t stage) const;
  double first_block_share(size_t stage) const;

  Workload workload_;
  System system_;
  Machine machine_;
  Network network_;
  BlockCosts costs_;
  StageCuts cuts_;
  double peak_ = 0, model_flops_ = 0, selective_flops_ = 0, full_flops_ = 0;
  bool splits_backward_ = false;

  // Of the configuration at hand; kept to allocate nothing.
  std::vector<Passes> stages_, of_class_;
  std::vector<double> parameters_, borrowed_;
  const std::vector<BlockCost>* blocks_ = nullptr;
  const Cut* cut_ = nullptr;
};

}  // namespace ocoee::plan
