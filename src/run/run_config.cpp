// SPDX-License-Identifier: Apache-2.0
#include <limits>

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
  d.field("threads", threads, "per rank; 0 = the cores of this host over the ranks on it")
      .at_least(0)
      .may_change_on_resume();
  d.field("deterministic", deterministic,
          "the same bits from run to run; on a GPU at the price of slower kernels")
      .may_change_on_resume();
  d.field("collective_timeout", collective_timeout,
          "longest time that one collective may take before the run is ended")
      .above(0)
      .unit("seconds")
      .may_change_on_resume();
  d.field(
       "wall_time", wall_time,
       "stop with a checkpoint before this much time has passed; 0 = what Slurm says, or no limit")
      .at_least(0)
      .unit("seconds")
      .may_change_on_resume();
  d.field("log_every", log_every, "steps between logged steps")
      .at_least(1)
      .unit("steps")
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

std::filesystem::path RunConfig::folder() const {
  return dir.empty() ? std::filesystem::path("runs") / name : std::filesystem::path(dir);
}

double Task::best_metric() const {
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace ocoee::run
