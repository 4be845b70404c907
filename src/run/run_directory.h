// SPDX-License-Identifier: Apache-2.0
// What a run leaves behind, besides checkpoints and metrics: recipe.toml, plan.json, environment.json, summary.json,
// trace.json. Rank 0 writes; a lock keeps a second run out.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/world.h"
#include "core/trace.h"
#include "device/device.h"

namespace ocoee::run {

// Held for the life of the object; freed by the system when the process dies.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::filesystem::path& folder);  // throws Error(file) when another run has it
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;

 private:
  int fd_ = -1;
};

nlohmann::json environment(const comm::World& world, const device::Device& device);

// All ranks' spans in one Chrome trace (chrome://tracing, Perfetto): pid = rank, a thread for each track. Collective.
void write_trace(const std::filesystem::path& path, const std::vector<trace::Span>& spans, comm::Communicator& world);

// Seconds left of the Slurm job, by its environment; negative = no Slurm, or it does not say.
double slurm_seconds_left();

}  // namespace ocoee::run
