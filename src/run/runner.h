// SPDX-License-Identifier: Apache-2.0
// The only driver of tasks. It owns the run directory, signals, wall time, checkpoints, resume and
// the watchdog, and knows no task by name.
//
// Running again in the same directory goes on from the newest whole checkpoint. SIGTERM, SIGUSR1,
// SIGINT and the end of the wall time write a checkpoint and end with Outcome::interrupted. A
// checkpoint that cannot be written stops the run with Error(file): the one before it is whole.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/world.h"
#include "core/error.h"
#include "run/task.h"

namespace ocoee::run {

struct RunRequest {
  const TaskType* type = nullptr;
  const TaskConfig* config = nullptr;
  RunConfig run;
  std::string recipe_toml;    // resolved
  std::string recipe_path;    // as given
  std::string command;        // to reproduce
  std::string stable_recipe;  // run/recipe_identity.h: what must be equal for a run to go on
  std::vector<std::string> input_files;  // whose content must be equal, too
  bool fresh = false;                    // an earlier run in the directory is moved aside
  device::Device device;
  std::function<void(const std::filesystem::path& folder)>
      write_report;  // rank 0, at the end; may be empty
};

// A failure whose message another rank, or the watchdog, has told: the program only ends with its
// code.
class ReportedError : public Error {
 public:
  using Error::Error;
};

enum class Outcome : uint8_t { finished, interrupted };
Outcome run_task(comm::World& world, const RunRequest& request);  // collective

}  // namespace ocoee::run
