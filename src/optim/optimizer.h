// SPDX-License-Identifier: Apache-2.0
// Optimizers over flat buffers. The engine owns masters, gradients and states, and lends pieces of
// them; an optimizer owns only the small things: step numbers on the device, stretches that decay,
// workspace. Made by name.
//
// One step, enqueued without a host read, so that it can be captured as a CUDA graph:
//
//   optimizer.prepare(update, stream);              // outside the graph: the learning rate
//   optimizer.clear_norm(stream);
//   optimizer.add_to_norm(gradients, 1, stream);    // each piece that this rank answers for
//   ...                                             // the engine sums sum_of_squares() over ranks
//   optimizer.finish(stream);                       // norm, clip factor, overflow, loss scale
//   optimizer.update(piece, stream);                // any piece of the flat space, in any cut
//
// Gradients are of loss * loss_scale(); dividing by it happens inside.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"
#include "kernels/optimizer_step.h"
#include "optim/optimizer_config.h"

namespace ocoee::optim {

// Dynamic loss scaling (Micikevicius et al. 2018): halved when gradients overflow, and the step
// skipped; doubled after `window` steps without.
struct LossScaling {
  bool on = false;
  double initial = 65536;
  int64_t window = 1000;
  double least = 1, most = 16777216;
};

struct OptimizerSetup {
  OptimizerConfig config;
  int64_t total_updates = 0;  // for the schedule
  device::Device device;
  DType dtype = DType::f32;  // of masters: f32 or f64; gradients and states may also be bf16
  std::vector<std::pair<int64_t, int64_t>> decaying =
      {};                     // [begin, end) of the flat space that decay; sorted
  int64_t largest_piece = 0;  // elements: the most that add_to_norm() will get
  LossScaling loss_scaling = {};
};

// A piece [begin, begin + count) of the flat space; all buffers hold exactly these elements.
struct Piece {
  int64_t begin = 0;
  // Masters whole, or i16: the lower halves of those that `value` begins (kernels/split_master.h).
  device::Buffer master, gradient;
  std::vector<device::Buffer> states;  // in the order of state_names()
  device::Buffer value;                // bf16 or f16 copy of the masters; data null: none
  // Of element `begin` where states are bf16 and rounded at random: the same for a weight however
  // the space is cut, or ranks that hold it would part.
  int64_t id = 0;
};

struct StepReport {
  double learning_rate = 0, gradient_norm = 0, loss_scale = 1;
  int64_t updates = 0;                      // made; skipped ones do not count
  int64_t skipped = 0, skipped_in_row = 0;  // overflows with loss scaling; in a row: 0 without it
  int64_t zero_gradients_in_row = 0;
  bool finite = true;  // without loss scaling: false once any gradient has been NaN or infinite
};

class Optimizer {
 public:
  explicit Optimizer(const OptimizerSetup& setup);
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;

  const OptimizerConfig& config() const { return config_; }
  // One flat buffer of masters' dtype, or bf16, each, zero at the start: "first_moment",
  // "second_moment"; "velocity".
  virtual std::vector<std::string> state_names() const = 0;

  void prepare(int64_t update, const device::Stream& stream);         // `update` from 0
  void set_learning_rate(double rate, const device::Stream& stream);  // instead of the schedule's
  void clear_norm(const device::Stream& stream);
  // `factor` is this rank's share of a parameter that several ranks hold.
  void add_to_norm(const device::Buffer& gradient, double factor, const device::Stream& stream);
  device::Buffer sum_of_squares() const;  // f64 [1] on the device
  void finish(const device::Stream& stream);
  void update(const Piece& piece, const device::Stream& stream);

  device::Buffer loss_scale() const;  // f64 [1] on the device; multiply the backward seed by it
  StepReport read(const device::Stream& stream) const;  // the host waits
  // What a checkpoint must hold beside the states. Loading throws Error(file) when a value is
  // missing.
  nlohmann::json values(const device::Stream& stream) const;
  void load_values(const nlohmann::json& values, const device::Stream& stream);

 protected:
  virtual void run(const kernels::FlatPiece& piece, const std::vector<device::Buffer>& states,
                   const device::Stream& stream) = 0;
  virtual kernels::StepRules rules() const;

 private:
  kernels::StepScalars* scalars() const {
    return static_cast<kernels::StepScalars*>(scalars_.data());
  }
  kernels::StepScalars fetch(const device::Stream& stream) const;
  device::Buffer scalar(size_t offset) const;

  OptimizerConfig config_;
  int64_t total_updates_;
  device::Device device_;
  DType dtype_;
  LossScaling loss_scaling_;
  int64_t largest_piece_;
  int64_t segment_count_ = 0;
  device::Memory scalars_, segments_, workspace_;
};

// By setup.config.name; throws Error(config) for a name that is not registered.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSetup& setup);

}  // namespace ocoee::optim
