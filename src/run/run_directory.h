// SPDX-License-Identifier: Apache-2.0
// What a run leaves behind, besides checkpoints and metrics: recipe.toml, plan.json,
// environment.json, summary.json, trace.json. Rank 0 writes; a lock keeps a second run out.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/world.h"
#include "core/progress.h"
#include "core/trace.h"
#include "device/device.h"

namespace ocoee::run {

using ocoee::slurm_seconds_left;

// Held for the life of the object; freed by the system when the process dies.
class DirectoryLock {
 public:
  explicit DirectoryLock(
      const std::filesystem::path& folder);  // Error(file) when another run has it
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;

 private:
  int fd_ = -1;
};

// Makes RUN and RUN/checkpoints, locks RUN, decides whether the run that is there goes on, and
// writes what describes this one; over what a run with checkpoints says of itself only when
// write_request says so, for it may be refused, or asked for nothing new. On rank 0.
struct DirectoryRequest {
  std::filesystem::path folder;
  std::string recipe_toml, stable_recipe;
  std::vector<std::string> input_files;
  nlohmann::json environment;
  bool fresh = false;  // move aside what is there
};
// Throws Error(file) (no space, no permission, in use, a folder of others) or Error(config)
// (another recipe, other data).
std::unique_ptr<DirectoryLock> prepare_directory(const DirectoryRequest& request);
void write_request(const DirectoryRequest& request);

// Up to 1 GiB: reading all of larger data would take long for a mere look.
bool is_quickly_read(const std::vector<std::string>& files);
// What prepare_directory would do, in one line, without touching anything; throws what it, or the
// run after it, would throw, as far as that can be seen from outside. `steps`: the run's length, 0
// = unknown. Data that is not quickly read is not compared with what the run has seen.
std::string directory_outlook(const DirectoryRequest& request, int64_t steps);
// Throws Error(config) where a run (at `name` `position`) has passed its end: there is no way back.
void require_not_beyond(const std::filesystem::path& folder, const std::string& name,
                        int64_t position, int64_t total);

// Host, processor, memory, build, launcher, command line.
nlohmann::json environment(const comm::World& world, const device::Device& device);
std::string command_line();   // of this process, as a shell would take it
std::string program_words();  // "Ocoee 0.1.0, commit 1a2b3c4"

// All ranks' spans in one Chrome trace (chrome://tracing, Perfetto): pid = rank, a thread for each
// track. Long runs keep the first and the last spans. Collective.
void write_trace(const std::filesystem::path& path, const std::vector<trace::Span>& spans,
                 comm::Communicator& world);

}  // namespace ocoee::run
