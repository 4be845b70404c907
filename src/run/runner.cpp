// SPDX-License-Identifier: Apache-2.0
#include "run/runner.h"

#include <algorithm>
#include <cstdio>

#include "comm/watchdog.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/stop_signals.h"
#include "core/text.h"
#include "core/trace.h"
#include "core/version.h"
#include "run/agreement.h"
#include "run/checkpoint.h"
#include "run/disk_room.h"
#include "run/elsewhere.h"
#include "run/listeners.h"
#include "run/run_directory.h"
#include "run/summary.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

class Runner {
 public:
  Runner(comm::World& world, const RunRequest& request)
      : world_(world),
        request_(request),
        host_(*world.host()),
        folder_(request.run.folder()),
        checkpoints_(folder_ / "checkpoints") {}
  Outcome run();

 private:
  Outcome run_in_directory();
  Outcome drive(Task& task, comm::Mesh& mesh);
  Outcome loop(Task& task);
  void read_earlier_summary();
  void find_resume_point();
  void open_console();
  void open_record();
  void require_length(const Task& task);
  bool stop_is_wished();
  void save_and_wait(Task& task);
  void begin_checkpoint(Task& task);
  void finish_checkpoint();
  Outcome stop(Task& task, bool by_signal);
  bool time_is_nearly_over() const;
  bool checkpoint_is_late() const;
  bool already_finished(const Task& task) const;
  DirectoryRequest directory_request() const {
    return {folder_,
            request_.recipe_toml,
            request_.stable_recipe,
            request_.input_files,
            environment(world_, request_.device),
            request_.fresh};
  }
  double own_seconds() const { return earlier_seconds_ + trace::now_seconds() - begin_; }
  void write_summary(const std::string& status, const Task& task);
  void tell_peers(const Error& error);
  void note_failure(const Error& why);
  void report(const std::string& headline, bool failed = false) const;

  comm::World& world_;
  const RunRequest& request_;
  comm::Communicator& host_;
  std::filesystem::path folder_, checkpoints_;
  std::unique_ptr<DirectoryLock> lock_;  // rank 0
  int64_t resume_step_ = -1;             // -1: from the start
  int64_t saved_step_ = -1;              // of the newest checkpoint, also while it is written
  Events events_;
  ConsoleListener* console_ = nullptr;
  json plan_;
  json summary_ = json::object();
  json earlier_summary_ = json::object();  // of the parts of this run before
  std::unique_ptr<CheckpointWriter> writer_;
  std::unique_ptr<comm::Watchdog> watchdog_;
  bool refused_ = false;  // nothing was begun: the record stays as it was
  bool told_ = false;     // peers know of this rank's failure, and its message was printed
  double begin_ = trace::now_seconds();
  double earlier_seconds_ = 0;
  double wall_seconds_ = 0;  // until the limit, from begin_; 0 = none
  double slowest_save_ = 0, slowest_quantum_ = 0;
  double saved_at_ = 0;  // when the newest checkpoint was begun, or the loop
};

Outcome Runner::run() {
  const StopSignals signals;  // a start may take minutes
  on_first_rank(host_, [&] {
    lock_ = prepare_directory(directory_request());
    remove_leftovers(checkpoints_);
    read_earlier_summary();
  });
  wall_seconds_ = request_.run.wall_time;
  if (const double left = slurm_seconds_left(); left >= 0)
    wall_seconds_ = wall_seconds_ > 0 ? std::min(wall_seconds_, left) : std::max(left, 1e-3);

  if (world_.size() > 1) {
    comm::WatchdogOptions options;
    options.collective_timeout_seconds = request_.run.collective_timeout;
    options.dump_folder = folder_.string();
    watchdog_ = std::make_unique<comm::Watchdog>(world_, options);
  }
  try {
    return run_in_directory();
  } catch (const AgreedError& error) {
    watchdog_.reset();  // all ranks leave together: nobody has to be told
    note_failure(error);
    throw;
  } catch (const std::exception& thrown) {
    const Error error = as_error(thrown);
    tell_peers(error);
    note_failure(error);
    if (told_) throw ReportedError(error.kind(), error.what());
    throw;
  }
}

// They may wait in a collective for this rank.
void Runner::tell_peers(const Error& error) {
  if (!watchdog_ || told_) return;
  told_ = watchdog_->report_failure(error.what(), exit_code(error.kind()));
}

Outcome Runner::run_in_directory() {
  find_resume_point();
  plan_ = request_.config->preview(request_.run, world_.size());
  on_first_rank(host_, [&] {
    open_console();
    if (resume_step_ < 0) open_record();  // else once it is known that the run goes on
  });
  const int64_t first = std::max<int64_t>(0, resume_step_);
  events_.emit({"run_started", first, {{"ranks", world_.size()}, {"command", request_.command}}});
  events_.emit({"plan", first, plan_});
  if (const double bytes = plan_.value("checkpoint_bytes", 0.0); bytes > 0 && world_.rank() == 0) {
    const DiskRoom room = disk_room(request_.run, bytes, plan_.value("steps", int64_t{0}));
    if (!room.is_enough())
      events_.emit({"warning", first, {{"text", "the disk may become full: " + room.words()}}});
  }
  if (stop_is_wished()) {
    events_.emit(
        {"run_stopped",
         first,
         {{"text", fmt::format("stopped by a signal before anything was computed; the same "
                               "command {}",
                               resume_step_ < 0 ? "begins again" : "goes on")}}});
    return Outcome::interrupted;
  }
  comm::Mesh mesh(world_, request_.config->mesh(world_.size()), request_.device);
  Context context{world_, mesh, events_, request_.run, folder_};
  std::unique_ptr<Task> task;
  try {
    task = request_.type->build(*request_.config, context);
    return drive(*task, mesh);
  } catch (const AgreedError&) {
    throw;
  } catch (const std::exception& error) {
    tell_peers(as_error(error));  // before task and mesh go: their end may wait for peers
    throw;
  }
}

Outcome Runner::drive(Task& task, comm::Mesh& mesh) {
  writer_ = std::make_unique<CheckpointWriter>(
      checkpoints_, host_, request_.run.keep_checkpoints,
      CheckpointWriter::Labels{kVersion, fmt::format("{:016x}", hash64(request_.stable_recipe))});
  if (resume_step_ >= 0) {
    task.loaded(load_checkpoint(checkpoint_path(checkpoints_, resume_step_), task.state(), host_));
    saved_step_ = resume_step_;
    if (already_finished(task)) {
      events_.emit({"note",
                    task.position(),
                    {{"text",
                      "this run is finished; raise its length to go on, or start over "
                      "with --fresh"}}});
      report(headline_text(earlier_summary_));
      return Outcome::finished;
    }
    require_length(task);
    on_first_rank(host_, [&] {
      write_request(directory_request());
      open_record();
    });
    events_.emit({"checkpoint_loaded",
                  resume_step_,
                  {{"path", checkpoint_path("checkpoints", resume_step_).string()}}});
  }
  if (console_)
    console_->expect({task.position(), task.total(),
                      wall_seconds_ > 0 ? wall_seconds_ - (trace::now_seconds() - begin_) : 0,
                      task.position_name()});
  if (saved_step_ < 0 && request_.run.save_at_start)
    save_and_wait(task);  // so that there is always a loadable one
  const Outcome outcome = loop(task);
  if (outcome == Outcome::finished) task.finish();
  const bool finished = outcome == Outcome::finished;
  if (json traffic = traffic_of(mesh); !traffic.empty()) summary_["traffic"] = std::move(traffic);
  on_first_rank(host_, [&] { write_summary(finished ? "finished" : "interrupted", task); });
  write_trace(folder_ / "trace.json", trace::take(), host_);
  events_.flush();
  report(headline_text(summary_));
  return outcome;
}

// One small reduction between steps: what one rank wishes, all do, at the same step.
Outcome Runner::loop(Task& task) {
  if (task.position() < task.total() && stop_is_wished()) return stop(task, /*by_signal=*/true);
  saved_at_ = trace::now_seconds();
  while (task.position() < task.total()) {
    const double begin = trace::now_seconds();
    trace::set_step(task.position());
    task.advance();
    if (console_) console_->at(task.position(), task.total());
    slowest_quantum_ = std::max(slowest_quantum_, trace::now_seconds() - begin);
    double wishes[4] = {StopSignals::received() != 0 ? 1.0 : 0.0, time_is_nearly_over() ? 1.0 : 0.0,
                        writer_->shard_done() ? 0.0 : 1.0, checkpoint_is_late() ? 1.0 : 0.0};
    if (world_.size() > 1) host_.all_reduce({wishes, 4, DType::f64, {}}, comm::Reduce::max);
    if (writer_->busy() && wishes[2] == 0) finish_checkpoint();
    if (task.position() >= task.total()) break;
    if (wishes[0] > 0 || wishes[1] > 0) return stop(task, wishes[0] > 0);
    const int64_t every = task.checkpoint_every();
    if (wishes[3] > 0 || (every > 0 && task.position() % every == 0)) begin_checkpoint(task);
  }
  if (saved_step_ != task.position()) begin_checkpoint(task);
  if (writer_->busy()) finish_checkpoint();
  return Outcome::finished;
}

bool Runner::stop_is_wished() {
  return host_.all_reduce_value(StopSignals::received() != 0, comm::Reduce::max) > 0;
}

Outcome Runner::stop(Task& task, bool by_signal) {
  task.before_stop();
  save_and_wait(task);
  events_.emit({"run_stopped",
                task.position(),
                {{"text", fmt::format("{}; a checkpoint is written, and the same command goes on "
                                      "from there",
                                      by_signal ? "stopped by a signal"
                                                : "the wall time is nearly over")}}});
  return Outcome::interrupted;
}

void Runner::find_resume_point() {
  if (const auto step = latest_loadable(checkpoints_, host_)) resume_step_ = *step;
  if (resume_step_ < 0 || world_.rank() != 0) return;
  earlier_seconds_ = read_manifest(checkpoint_path(checkpoints_, resume_step_)).seconds;
  events_.resumed_after(earlier_seconds_);
}

void Runner::read_earlier_summary() {
  std::error_code error;
  if (!std::filesystem::exists(folder_ / "summary.json", error)) return;
  const json read = json::parse(read_file(folder_ / "summary.json"), nullptr, false);
  if (read.is_object()) earlier_summary_ = read;
}

void Runner::open_console() {
  auto console = make_console();
  console_ = console.get();
  events_.add(std::move(console));
  events_.keep();
}

// Listeners that write get the events that the console has shown already.
void Runner::open_record() {
  write_file_atomically(folder_ / "plan.json", plan_.dump(2) + "\n", kElsewhere);
  events_.add(make_metrics_file(folder_ / "metrics.jsonl", resume_step_));
  events_.add(make_tensorboard(folder_ / "tensorboard", resume_step_));
  events_.add(std::make_unique<SummaryListener>(summary_));
  events_.forget();
}

void Runner::begin_checkpoint(Task& task) {
  task.before_save();
  if (writer_->busy()) finish_checkpoint();
  writer_->begin(task.position(), task.state(), task.best_metric(), own_seconds());
  saved_step_ = task.position();
  saved_at_ = trace::now_seconds();
}

void Runner::finish_checkpoint() {
  events_.flush();  // what was logged until a checkpoint is not lost when it is gone back to
  const CheckpointWriter::Saved saved = writer_->finish();
  events_.emit({"checkpoint_saved",
                saved.step,
                {{"path", (saved.path.parent_path().filename() / saved.path.filename()).string()},
                 {"seconds", saved.seconds}}});
}

void Runner::save_and_wait(Task& task) {
  const double begin = trace::now_seconds();
  if (writer_->busy()) finish_checkpoint();
  if (saved_step_ != task.position()) {
    begin_checkpoint(task);
    finish_checkpoint();
  }
  slowest_save_ = std::max(slowest_save_, trace::now_seconds() - begin);
}

// Time for one more step and a checkpoint, each as slow as the slowest so far, and for the end.
bool Runner::time_is_nearly_over() const {
  if (wall_seconds_ <= 0) return false;
  const double reserve = std::min(30.0, 0.05 * wall_seconds_);
  const double needed = 1.5 * slowest_quantum_ + 2 * slowest_save_ + reserve;
  return trace::now_seconds() - begin_ + needed > wall_seconds_;
}

bool Runner::checkpoint_is_late() const {
  const double interval = request_.run.checkpoint_interval;
  return interval > 0 && !writer_->busy() && trace::now_seconds() - saved_at_ > interval;
}

bool Runner::already_finished(const Task& task) const {
  const bool finished = task.position() >= task.total() &&
                        earlier_summary_.value("status", "") == "finished" &&
                        earlier_summary_.value("steps", int64_t{-1}) == task.position();
  return host_.all_reduce_value(world_.rank() == 0 && finished, comm::Reduce::max) > 0;
}

// There is no way back to an earlier step, and what stands there was not evaluated as an end.
void Runner::require_length(const Task& task) {
  if (task.position() <= task.total()) return;
  refused_ = true;
  on_first_rank(host_, [&] {
    require_not_beyond(folder_, task.position_name(), task.position(), task.total());
  });
}

void Runner::write_summary(const std::string& status, const Task& task) {
  summary_["task"] = request_.type->name;
  summary_["name"] = request_.run.name;
  summary_["status"] = status;
  summary_["steps"] = task.position();
  summary_["total_steps"] = task.total();
  summary_["seconds"] = own_seconds();
  // What is measured from the program's start (phases, traffic) is of what came after.
  if (resume_step_ >= 0)
    summary_["resumed"] = {{"step", resume_step_}, {"seconds", earlier_seconds_}};
  summary_["ranks"] = world_.size();
  summary_["device"] = device::name_of(request_.device);
  summary_["command"] = request_.command;
  complete_summary(summary_);
  write_file_atomically(folder_ / "summary.json", summary_.dump(2) + "\n", kElsewhere);
  if (status == "finished") events_.emit({"run_finished", task.position(), {}});
}

// Best effort: the reason may be that nothing can be written there.
void Runner::note_failure(const Error& why) {
  if (!lock_ || refused_ || why.kind() == ErrorKind::interrupted) return;  // nothing failed
  try {
    // What an earlier part of this run found stays: a start that fails takes nothing away.
    json known = earlier_summary_;
    known.update(summary_);
    summary_ = std::move(known);
    summary_["task"] = request_.type->name;
    summary_["name"] = request_.run.name;
    summary_["status"] = "failed";
    summary_["error"] = why.what();
    summary_["ranks"] = world_.size();
    summary_["seconds"] = own_seconds();
    summary_["command"] = request_.command;
    write_file_atomically(folder_ / "summary.json", summary_.dump(2) + "\n", kElsewhere);
    events_.flush();
    report("", /*failed=*/true);
  } catch (const std::exception& error) {
    log::debug("no summary or report of the failure: {}", error.what());
  }
}

void Runner::report(const std::string& headline, bool failed) const {
  if (world_.rank() != 0) return;
  std::string line = headline;
  if (request_.write_report) {
    try {
      request_.write_report(folder_);
      line += (line.empty() ? "" : "; ") + ("report " + (folder_ / "report.html").string());
    } catch (const std::exception& error) {
      if (failed) throw;  // the reason of the failure is told, and may be the same
      log::warn("no report: {}", error.what());
    }
  }
  if (line.empty()) return;
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace

Outcome run_task(comm::World& world, const RunRequest& request) {
  try {
    return Runner(world, request).run();
  } catch (const AgreedError& error) {
    if (world.rank() != 0) throw ReportedError(error.kind(), error.what());
    throw;
  }
}

}  // namespace ocoee::run
