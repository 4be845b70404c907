// SPDX-License-Identifier: Apache-2.0
// The only driver of tasks. It owns the run directory, signals, wall time, checkpoints, resume and the watchdog, and knows
// no task by name.
#pragma once

#include <functional>
#include <string>

#include "comm/world.h"
#include "run/task.h"

namespace ocoee::run {

struct RunRequest {
  const TaskType* type = nullptr;
  const TaskConfig* config = nullptr;
  RunConfig run;
  std::string recipe_toml;            // resolved
  std::string recipe_path;            // as given
  std::string command;                // to reproduce
  std::string stable_recipe;          // what must be equal for a run to go on: resolved, without fields that may change
  bool fresh = false;
  device::Device device;
  std::function<void(const std::filesystem::path& folder)> write_report;  // rank 0, at the end; may be empty
};

enum class Outcome : uint8_t { finished, interrupted };
Outcome run_task(comm::World& world, const RunRequest& request);

}  // namespace ocoee::run
