// SPDX-License-Identifier: Apache-2.0
#include "run/runner.h"

#include <csignal>
#include <cstdio>
#include <limits>

#include "comm/watchdog.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/text.h"
#include "core/trace.h"
#include "run/checkpoint.h"
#include "run/listeners.h"
#include "run/run_directory.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

volatile std::sig_atomic_t stop_signals = 0;

// The first asks for a checkpoint; the second ends the program as if nobody listened.
void on_signal(int number) {
  stop_signals = stop_signals + 1;
  if (stop_signals > 1) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
}

class SignalScope {
 public:
  SignalScope() {
    stop_signals = 0;
    for (size_t i = 0; i < 3; ++i) old_[i] = std::signal(kNumbers[i], on_signal);
  }
  ~SignalScope() {
    for (size_t i = 0; i < 3; ++i) std::signal(kNumbers[i], old_[i]);
  }

 private:
  static constexpr int kNumbers[3] = {SIGTERM, SIGUSR1, SIGINT};
  void (*old_[3])(int) = {};
};

// Remembers what the task said at its end.
class SummaryListener final : public Listener {
 public:
  explicit SummaryListener(json& out) : out_(out) {}
  void on(const Event& event) override {
    if (event.kind == "summary") out_.update(event.fields);
    if (event.kind == "step") out_["last_step"] = event.fields;
  }

 private:
  json& out_;
};

class Runner {
 public:
  Runner(comm::World& world, const RunRequest& request)
      : world_(world), request_(request), host_(*world.host()), folder_(request.run.folder()) {}
  Outcome run();

 private:
  void prepare_folder();
  void move_aside();
  bool resuming() const { return resume_step_ >= 0; }
  void open_listeners(int64_t total);
  Outcome loop(Task& task);
  void save_and_wait(Task& task);
  void finish_checkpoint();
  bool time_is_nearly_over() const;
  void write_summary(const std::string& status, const Task& task);
  void say_last_line() const;

  comm::World& world_;
  const RunRequest& request_;
  comm::Communicator& host_;
  std::filesystem::path folder_;
  std::unique_ptr<DirectoryLock> lock_;
  int64_t resume_step_ = -1;
  Events events_;
  json summary_ = json::object();
  std::unique_ptr<CheckpointWriter> writer_;
  double begin_ = trace::now_seconds();
  double wall_time_ = 0;
  double slowest_save_ = 1;
};

void Runner::prepare_folder() {
  std::string failure;
  int kind = 0;
  if (world_.rank() == 0) {
    try {
      std::error_code error;
      std::filesystem::create_directories(folder_ / "checkpoints", error);
      if (error) fail(ErrorKind::file, "{}: cannot create: {}\n    fix: check the permissions there, or set run.dir", (folder_ / "checkpoints").string(), error.message());
      lock_ = std::make_unique<DirectoryLock>(folder_);
      const auto stable = folder_ / "recipe.stable.toml";
      const bool begun = std::filesystem::exists(stable);
      if (begun && request_.fresh) {
        move_aside();
      } else if (begun && read_file(stable) != request_.stable_recipe) {
        std::string difference;
        const auto before = split(read_file(stable), '\n'), now = split(request_.stable_recipe, '\n');
        for (size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
          const std::string a = i < before.size() ? before[i] : "", b = i < now.size() ? now[i] : "";
          if (a != b) difference += fmt::format("\n    there: {}\n    now:   {}", a, b);
        }
        fail(ErrorKind::config, "{}: holds a run with another recipe, so it cannot go on:{}\n    fix: give this run another run.name, or start over with --fresh (the old one is moved aside)", folder_.string(), difference);
      }
      write_file_atomically(stable, request_.stable_recipe);
      write_file_atomically(folder_ / "recipe.toml", request_.recipe_toml);
      write_file_atomically(folder_ / "environment.json", environment(world_, request_.device).dump(2) + "\n");
    } catch (const Error& error) {
      failure = error.what();
      kind = static_cast<int>(error.kind());
    }
  }
  const json told = json::parse(host_.broadcast_text(json{{"failure", failure}, {"kind", kind}}.dump(), 0));
  if (!told["failure"].get<std::string>().empty()) throw Error(static_cast<ErrorKind>(told["kind"].get<int>()), told["failure"]);
}

void Runner::move_aside() {
  lock_.reset();
  for (int n = 1;; ++n) {
    const std::filesystem::path aside = folder_.string() + fmt::format(".old-{}", n);
    if (std::filesystem::exists(aside)) continue;
    std::filesystem::rename(folder_, aside);
    log::info("the run that was there is now in {}", aside.string());
    break;
  }
  std::filesystem::create_directories(folder_ / "checkpoints");
  lock_ = std::make_unique<DirectoryLock>(folder_);
}

void Runner::open_listeners(int64_t total) {
  if (world_.rank() != 0) return;
  const int64_t first = std::max<int64_t>(0, resume_step_);
  events_.add(make_console(first, total, wall_time_));
  events_.add(make_metrics_file(folder_ / "metrics.jsonl", resume_step_));
  events_.add(make_tensorboard(folder_ / "tensorboard"));
  events_.add(std::make_unique<SummaryListener>(summary_));
}

Outcome Runner::run() {
  prepare_folder();
  const double left = slurm_seconds_left();
  wall_time_ = request_.run.wall_time > 0 ? request_.run.wall_time : std::max(0.0, left);

  std::unique_ptr<comm::Watchdog> watchdog;
  if (world_.size() > 1) {
    comm::WatchdogOptions options;
    options.collective_timeout_seconds = request_.run.collective_timeout;
    options.dump_folder = folder_.string();
    watchdog = std::make_unique<comm::Watchdog>(world_, options);
  }
  try {
    if (const auto step = latest_loadable(folder_ / "checkpoints", host_)) resume_step_ = *step;
    const json preview = request_.config->preview(request_.run, world_.size());
    comm::Mesh mesh(world_, request_.config->mesh(world_.size()), request_.device);
    Context context{world_, mesh, events_, request_.run, folder_};
    // Listeners first: a task may speak while it is built. Its length is not known yet, but the console needs it.
    if (world_.rank() == 0) write_file_atomically(folder_ / "plan.json", preview.dump(2) + "\n");
    const int64_t total = preview.value("steps", int64_t{0});
    open_listeners(total);
    events_.emit({"plan", std::max<int64_t>(0, resume_step_), preview});
    const std::unique_ptr<Task> task = request_.type->build(*request_.config, context);
    writer_ = std::make_unique<CheckpointWriter>(folder_ / "checkpoints", host_, request_.run.keep_checkpoints);
    const SignalScope signals;
    if (resuming()) {
      task->loaded(load_checkpoint(checkpoint_path(folder_ / "checkpoints", resume_step_), task->state(), host_));
      events_.emit({"checkpoint_loaded", resume_step_, {}});
    } else {
      save_and_wait(*task);  // so that there is always a loadable one
    }
    const Outcome outcome = loop(*task);
    write_trace(folder_ / "trace.json", trace::take(), host_);
    write_summary(outcome == Outcome::finished ? "finished" : "interrupted", *task);
    return outcome;
  } catch (const std::exception& error) {
    if (watchdog) watchdog->report_failure(error.what());
    throw;
  }
}

Outcome Runner::loop(Task& task) {
  while (task.position() < task.total()) {
    task.advance();
    // What all ranks must agree on, in one small reduction between steps.
    double wishes[3] = {stop_signals > 0 ? 1.0 : 0.0, time_is_nearly_over() ? 1.0 : 0.0, writer_->busy() && !writer_->shard_done() ? 1.0 : 0.0};
    if (world_.size() > 1) host_.all_reduce({wishes, 3, DType::f64, {}}, comm::Reduce::max);
    if (writer_->busy() && wishes[2] == 0) finish_checkpoint();
    const bool done = task.position() >= task.total();
    if (!done && (wishes[0] > 0 || wishes[1] > 0)) {
      if (writer_->busy()) finish_checkpoint();
      save_and_wait(task);
      events_.emit({"run_stopped", task.position(), {{"text", wishes[0] > 0 ? "stopped by a signal, checkpoint written; the same command goes on from here" : "the wall time is nearly over, checkpoint written; the same command goes on from here"}}});
      return Outcome::interrupted;
    }
    if (!done && task.checkpoint_every() > 0 && task.position() % task.checkpoint_every() == 0) {
      if (writer_->busy()) finish_checkpoint();
      writer_->begin(task.position(), task.state(), task.best_metric());
    }
  }
  if (writer_->busy()) finish_checkpoint();
  if (resume_step_ != task.position()) save_and_wait(task);
  task.finish();
  return Outcome::finished;
}

void Runner::save_and_wait(Task& task) {
  const double begin = trace::now_seconds();
  writer_->begin(task.position(), task.state(), task.best_metric());
  finish_checkpoint();
  slowest_save_ = std::max(slowest_save_, trace::now_seconds() - begin);
}

void Runner::finish_checkpoint() {
  const int64_t step = writer_->finish();
  events_.emit({"checkpoint_saved", step, {}});
}

bool Runner::time_is_nearly_over() const {
  return wall_time_ > 0 && trace::now_seconds() - begin_ + 3 * slowest_save_ + 5 > wall_time_;
}

void Runner::write_summary(const std::string& status, const Task& task) {
  if (world_.rank() != 0) return;
  summary_["task"] = request_.type->name;
  summary_["name"] = request_.run.name;
  summary_["status"] = status;
  summary_["steps"] = task.position();
  summary_["total_steps"] = task.total();
  summary_["seconds"] = trace::now_seconds() - begin_;
  summary_["ranks"] = world_.size();
  summary_["device"] = device::name_of(request_.device);
  summary_["command"] = request_.command;
  if (summary_.contains("last_step") && summary_["last_step"].contains("tokens")) summary_["tokens"] = summary_["last_step"]["tokens"];
  for (const char* phase : {"data", "forward", "backward", "communication", "optimizer", "evaluation", "checkpoint"}) {
    if (const double seconds = trace::total_seconds(phase); seconds > 0) summary_["seconds_by_phase"][phase] = seconds;
  }
  if (summary_.contains("headline_metric") && summary_.contains("final") && summary_["final"].contains(summary_["headline_metric"])) {
    json headline = {{"label", summary_["headline_label"]}, {"value", summary_["final"][summary_["headline_metric"].get<std::string>()]}, {"unit", "bits"}, {"better", "lower"}};
    if (summary_.contains("reference_value")) headline["reference"] = {{"label", summary_["reference_label"]}, {"value", summary_["reference_value"]}};
    summary_["headline"] = {headline};
  }
  write_file_atomically(folder_ / "summary.json", summary_.dump(2) + "\n");
  events_.emit({status == "finished" ? "run_finished" : "run_stopped", task.position(), {}});
  events_.flush();
  if (request_.write_report) request_.write_report(folder_);
  if (status == "finished") say_last_line();
}

void Runner::say_last_line() const {
  std::string line;
  for (const json& headline : summary_.value("headline", json::array())) {
    line += fmt::format("{} {:.4f}; ", headline["label"].get<std::string>(), headline["value"].get<double>());
    if (headline.contains("reference")) line += fmt::format("{} {:.4f}; ", headline["reference"]["label"].get<std::string>(), headline["reference"]["value"].get<double>());
  }
  std::printf("%s%s\n", line.c_str(), ("report " + (folder_ / "report.html").string()).c_str());
  std::fflush(stdout);
}

}  // namespace

Outcome run_task(comm::World& world, const RunRequest& request) { return Runner(world, request).run(); }

}  // namespace ocoee::run
