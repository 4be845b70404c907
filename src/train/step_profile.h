// SPDX-License-Identifier: Apache-2.0
// Where a step on a GPU spends its time: one eager step is run with a wait for the compute stream
// at both ends of every span, so that spans cover the work and not its launching, and what the
// stream waits for from other ranks.
#pragma once

#include <nlohmann/json.hpp>

#include "device/device.h"

namespace ocoee::train {

class StepProfile {
 public:
  StepProfile() = default;  // never wants a step
  // Wants run number `run` (from 0) of this process.
  StepProfile(const device::Device& device, int64_t run) : device_(device), run_(run) {}

  bool wants() { return runs_++ == run_; }
  void begin();
  void end(int64_t step);
  // summary["step_phases"][phase] += seconds x repeats, and summary["profiled_step"]; nothing where
  // no step was profiled.
  void add_to(nlohmann::json& summary, int64_t repeats) const;

 private:
  device::Device device_;
  int64_t run_ = -1, runs_ = 0, step_ = -1;
  nlohmann::json seconds_;
};

}  // namespace ocoee::train
