// SPDX-License-Identifier: Apache-2.0
#include "train/step_profile.h"

#include "core/trace.h"
#include "parallel/precision.h"
#include "parallel/step_graph.h"

namespace ocoee::train {
namespace {

constexpr const char* kPhases[] = {"forward", "backward", "communication", "optimizer"};

}  // namespace

void StepProfile::begin() {
  parallel::wait_for_device(device_);
  for (const char* phase : kPhases) seconds_[phase] = trace::total_seconds(phase);
  // Not for all of the device: a message that another stage has yet to take would hold this one up
  // while that one waits in the same way.
  trace::set_fence([device = device_] { device::synchronize(parallel::current_stream(device)); });
}

void StepProfile::end(int64_t step) {
  trace::set_fence({});
  for (const char* phase : kPhases)
    seconds_[phase] = trace::total_seconds(phase) - seconds_[phase].get<double>();
  step_ = step;
}

void StepProfile::add_to(nlohmann::json& summary, int64_t repeats) const {
  if (step_ < 0) return;
  for (const auto& [phase, seconds] : seconds_.items()) {
    const double before =
        summary.contains("step_phases") ? summary["step_phases"].value(phase, 0.0) : 0;
    summary["step_phases"][phase] = before + seconds.get<double>() * static_cast<double>(repeats);
  }
  summary["profiled_step"] = step_;
}

}  // namespace ocoee::train
