// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <limits>

#include "core/file.h"
#include "run/task.h"

namespace ocoee::run {

void RunConfig::describe(config::Description& d) {
  d.field("name", name, "of the run; its directory is runs/NAME unless dir says otherwise");
  d.field("dir", dir, "run directory; empty = runs/NAME").may_change_on_resume();
  d.field("seed", seed, "of every random number").at_least(0);
  d.field("device", device, "auto takes a GPU where there is one")
      .choices({"auto", "cpu", "cuda"})
      .may_change_on_resume();
  d.field(
       "machine", machine,
       "profile that times are predicted from, a name or a TOML file; empty = machines/here.toml "
       "where `ocoee calibrate` wrote it, or the GPU's own")
      .may_change_on_resume();
  d.field("threads", threads, "per rank; 0 = its share of the cores that it may run on")
      .at_least(0)
      .at_most(4096)
      .may_change_on_resume();
  d.field("deterministic", deterministic,
          "the same bits from run to run; on a GPU at the price of slower kernels")
      .may_change_on_resume();
  d.field("collective_timeout", collective_timeout,
          "longest time that one collective may take before the run is ended")
      .above(0)
      .at_most(1e9)
      .unit("seconds")
      .may_change_on_resume();
  d.field(
       "wall_time", wall_time,
       "stop with a checkpoint before this much time has passed; 0 = what Slurm says, or no limit")
      .at_least(0)
      .at_most(1e9)
      .unit("seconds")
      .may_change_on_resume();
  d.field("log_every", log_every, "steps between logged steps")
      .at_least(1)
      .unit("steps")
      .may_change_on_resume();
  d.field("checkpoint_interval", checkpoint_interval,
          "longest time between checkpoints, besides those that the task writes by its own count "
          "(checkpoint_every); 0 = no limit")
      .at_least(0)
      .at_most(1e9)
      .unit("seconds")
      .may_change_on_resume();
  d.field("keep_checkpoints", keep_checkpoints,
          "newest checkpoints that are kept, besides the best")
      .at_least(1)
      .may_change_on_resume();
  d.field("save_at_start", save_at_start,
          "a new run writes a checkpoint before its first step, so that there is always one, and "
          "run.wall_time knows how long it takes")
      .may_change_on_resume();
}

void RunConfig::check(config::Problems& problems) const {
  constexpr size_t kLongest = 200;  // a file name has 255 bytes, and others are made from this one
  const bool is_folder_of_its_own = !name.empty() && name != "." && name != ".." &&
                                    name.find('/') == std::string::npos && name.size() <= kLongest;
  if (!is_folder_of_its_own)
    problems.add("run.name",
                 fmt::format("\"{}\" cannot name a folder in runs/",
                             name.size() <= kLongest ? name : name.substr(0, 20) + "..."),
                 "a word such as \"first-try\"; run.dir takes any path");
}

std::filesystem::path RunConfig::folder() const {
  if (dir.empty()) return std::filesystem::path("runs") / name;
  return without_end_slash(dir);
}

double Task::best_metric() const {
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace ocoee::run
