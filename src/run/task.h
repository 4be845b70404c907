// SPDX-License-Identifier: Apache-2.0
// A task is what a recipe asks for: train, sample, search, label, analyse. The runner drives any of
// them through this interface and knows none by name. No torch here: a task that needs tensors has
// them behind build().
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "core/config.h"
#include "run/events.h"
#include "run/state.h"

namespace ocoee::plan {
struct Planned;
}

namespace ocoee::run {

struct RunConfig {  // section [run]
  std::string name = "run";
  std::string dir;      // "" = runs/NAME
  std::string machine;  // profile that times are predicted from; "" = what is known of the device
  int64_t seed = 1;
  std::string device = "auto";  // auto | cpu | cuda
  int64_t threads = 0;          // per rank; 0 = World::cores()
  bool deterministic = true;
  double collective_timeout = 600;    // seconds
  double wall_time = 0;               // seconds; 0 = what Slurm says, or none
  int64_t log_every = 10;             // steps
  double checkpoint_interval = 1800;  // seconds, besides Task::checkpoint_every; 0 = none
  int64_t keep_checkpoints = 2;       // the last k, besides the best
  bool save_at_start = true;          // before the first step, so that there is always a checkpoint
  void describe(config::Description& d);
  void check(config::Problems& problems) const;
  std::filesystem::path folder() const;
};

struct Context {  // what a task is built with
  comm::World& world;
  comm::Mesh& mesh;
  Events& events;
  const RunConfig& run;
  std::filesystem::path folder;  // the run directory
};

class Task {
 public:
  virtual ~Task() = default;
  virtual int64_t position() const = 0;  // quanta done: optimizer steps, blocks of sweeps, stages
  virtual int64_t total() const = 0;
  virtual int64_t checkpoint_every() const = 0;  // quanta; 0 = only at the end
  virtual void advance() = 0;    // one quantum; emits its own "step" and "evaluation" events
  virtual void before_save() {}  // throws where the state is not worth to be saved
  virtual void before_stop() {}  // before its end: emits what was not yet logged of this position
  virtual State state() = 0;     // for saving and for loading; taken when nothing is in flight
  virtual void loaded(const nlohmann::json&
                          values) = 0;  // after a checkpoint's arrays were put back through state()
  virtual void finish() {}              // after the last quantum
  virtual double best_metric() const;   // lower is better; NaN = none. The best checkpoint is kept.
  virtual std::string position_name() const { return "step"; }
};

// The sections of a recipe that belong to a task, and what can be said of it before it runs.
class TaskConfig {
 public:
  virtual ~TaskConfig() = default;
  virtual void describe(config::Description& recipe) = 0;
  virtual void check(config::Problems& problems, const RunConfig& run,
                     int ranks) const = 0;  // cross-field, cheap
  virtual comm::Shape mesh(int ranks) const = 0;
  // Parameters, FLOPs and a memory bound, for plan.json and the lines before step 1. Keys:
  // "parameters", "flops_per_step", "memory_bytes" {category: bytes}, "lines" [text].
  virtual nlohmann::json preview(const RunConfig& run, int ranks) const = 0;
  // Reads the input files as a run would, without its tensors and without leaving anything behind:
  // a line that says what they hold, "" where the task does not say. Throws what the run would.
  virtual std::string read_inputs() const { return ""; }
  // For the planner: what is trained, and the recipe's layout on `ranks` (plan/system.h). Null
  // where the task does not say.
  virtual std::shared_ptr<const plan::Planned> planned(int64_t /*ranks*/) const { return nullptr; }
  // For the tuner: keys that have no effect on `ranks` take one value each (plan/tune/acting.h).
  virtual void keep_what_acts(int /*ranks*/) {}
};

// The smallest recipe that shows a task at work within seconds on one core. Every task declares
// one, and tests/contract holds the task to it: it learns, is deterministic, resumes bit-equal.
struct DebugRecipe {
  std::string toml;  // checkpoints at least once between its first step and its last
  std::string metric;
  double at_most = 0;          // what the metric must have reached at the end
  std::string event = "step";  // whose metric it is: "step" or "evaluation"
};

struct TaskType {
  std::string name;     // "genome_lm"
  std::string summary;  // one line
  std::function<std::unique_ptr<TaskConfig>()> config;
  std::function<std::unique_ptr<Task>(const TaskConfig&, Context&)>
      build;  // empty: this program was built without it
  // May write its small input files into `folder`.
  std::function<DebugRecipe(const std::filesystem::path& folder)> debug_recipe = nullptr;
  // Axes of [layout] that it can be laid over, beside data: "tensor", "pipeline", "context". The
  // debug recipe must fit two ranks on any two of them.
  std::vector<std::string> axes = {};
};

}  // namespace ocoee::run
