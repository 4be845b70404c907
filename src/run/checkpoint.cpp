// SPDX-License-Identifier: Apache-2.0
#include "run/checkpoint.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/trace.h"
#include "run/agreement.h"
#include "run/checkpoint_parts.h"
#include "run/checkpoint_plan.h"
#include "run/elsewhere.h"
#include "run/safetensors.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

std::filesystem::path partial_path(const std::filesystem::path& folder, int64_t step) {
  return checkpoint_path(folder, step).string() + kPartial;
}

// Out of sight first, so that a kill in the middle leaves no half-removed checkpoint.
void remove_checkpoint(const std::filesystem::path& path) {
  const std::filesystem::path removing = path.string() + kRemoving;
  std::error_code error;
  std::filesystem::remove_all(removing, error);
  std::filesystem::rename(path, removing, error);
  if (!error) std::filesystem::remove_all(removing, error);
  if (error) log::warn("{}: cannot remove an old checkpoint: {}", path.string(), error.message());
}

}  // namespace

// The host copy of what this rank writes, and the thread that writes it. Destroying it waits.
struct CheckpointWriter::Shard {
  std::filesystem::path path;
  std::vector<std::vector<char>> buffers;
  std::vector<TensorToWrite> tensors;
  std::atomic<bool> done{false};
  std::string failure;  // read after done
  double end = 0;       // when it was written
  uint64_t checksum = 0, bytes = 0;
  int64_t host_bytes = 0;
  std::thread thread;

  ~Shard() {
    if (thread.joinable()) thread.join();
  }
  void write() {
    const trace::Scope scope("checkpoint_write", "io");
    try {
      checksum = write_safetensors(path, tensors);
      bytes = std::filesystem::file_size(path);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    buffers = {};
    end = trace::now_seconds();
    done = true;
  }
};

CheckpointWriter::CheckpointWriter(std::filesystem::path folder, comm::Communicator& world,
                                   int64_t keep, Labels labels)
    : folder_(std::move(folder)), world_(world), keep_(keep), labels_(std::move(labels)) {}

// The run failed with a save under way: nothing half-written stays. The last rank removes the
// folder.
CheckpointWriter::~CheckpointWriter() {
  if (!shard_) return;
  const std::filesystem::path path = shard_->path;
  shard_.reset();
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  std::filesystem::remove(path.parent_path(), ignored);
}

bool CheckpointWriter::shard_done() const {
  return !shard_ || shard_->done;
}

// The plan holds as long as no rank's boxes change: usually for the whole run.
void CheckpointWriter::make_plan(const State& state) {
  const std::string mine = holdings_text(state);
  if (world_.all_reduce_value(mine != plan_of_, comm::Reduce::max) == 0) return;
  plan_of_ = mine;
  const std::vector<std::string> all = world_.gather_text(mine, 0);
  json assignment = json::array();
  on_first_rank(world_, [&] {
    WritePlan plan = make_write_plan(all);
    arrays_ = std::move(plan.arrays);
    for (const auto& pieces : plan.of_rank) {
      json& list = assignment.emplace_back(json::array());
      for (const WritePlan::Piece& piece : pieces) list.push_back({piece.array, piece.piece});
    }
  });
  const json everyone = json::parse(world_.broadcast_text(assignment.dump(), 0));
  owned_.clear();
  for (const json& entry : everyone[static_cast<size_t>(world_.rank())]) {
    const StateArray& array = state.arrays[entry[0].get<size_t>()];
    const Box& box = array.pieces[entry[1].get<size_t>()].box;
    owned_.push_back({entry[0], entry[1], key_of(array.name, array.shape, box)});
  }
}

void CheckpointWriter::begin(int64_t step, const State& state, double metric, double seconds) {
  OCOEE_CHECK(!busy(), "a checkpoint begins while another is under way");
  const trace::Scope scope("checkpoint");
  begun_ = trace::now_seconds();
  make_plan(state);
  const auto folder = partial_path(folder_, step);
  on_first_rank(world_, [&] {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    std::filesystem::create_directories(folder, error);
    if (error)
      fail(ErrorKind::file, "the checkpoint of step {} cannot be written: {}: cannot create: {}{}",
           step, folder.string(), error.message(), fix_of(error.value(), kElsewhere));
  });
  step_ = step;
  values_ = state.values;
  metric_ = metric;
  seconds_ = seconds;
  shard_ = std::make_unique<Shard>();
  shard_->path = folder / shard_name(world_.rank());
  if (owned_.empty()) {  // others hold all that this rank holds
    shard_->end = begun_;
    shard_->done = true;
    return;
  }
  for (const Owned& owned : owned_) {
    const StateArray& array = state.arrays[owned.array];
    const Piece& piece = array.pieces[owned.piece];
    auto& buffer = shard_->buffers.emplace_back(static_cast<size_t>(piece.box.elements()) *
                                                size_of(array.dtype));
    shard_->host_bytes += static_cast<int64_t>(buffer.size());
    piece.save(buffer.data());
    shard_->tensors.push_back({owned.key, array.dtype, piece.box.size, buffer.data()});
  }
  shard_->thread = std::thread([shard = shard_.get()] { shard->write(); });
}

CheckpointWriter::Saved CheckpointWriter::finish() {
  OCOEE_CHECK(busy(), "no checkpoint is under way");
  const trace::Scope scope("checkpoint");
  if (shard_->thread.joinable()) shard_->thread.join();
  const int64_t step = *step_, host_bytes = shard_->host_bytes;
  step_.reset();
  json report = {{"failure", shard_->failure}, {"seconds", shard_->end - begun_}};
  if (shard_->bytes > 0) {
    report["file"] = shard_->path.filename().string();
    report["checksum"] = shard_->checksum;
    report["bytes"] = shard_->bytes;
  }
  shard_.reset();
  const std::vector<std::string> reports = world_.gather_text(report.dump(), 0);
  double seconds = 0;
  for (const std::string& text : reports)
    seconds = std::max(seconds, json::parse(text)["seconds"].get<double>());
  const double begin = trace::now_seconds();
  on_first_rank(world_, [&] {
    try {
      put_in_place(step, reports);
    } catch (const std::exception& error) {
      std::error_code ignored;
      std::filesystem::remove_all(partial_path(folder_, step), ignored);
      const auto before = checkpoint_steps(folder_);
      fail(ErrorKind::file, "the checkpoint of step {} could not be written: {}\n    {}", step,
           error.what(),
           before.empty() ? "there is no checkpoint yet"
                          : fmt::format("the checkpoint of step {} is whole: running again goes "
                                        "on from there",
                                        before.back()));
    }
  });
  seconds += trace::now_seconds() - begin;
  return {step, seconds, host_bytes, checkpoint_path(folder_, step)};
}

void CheckpointWriter::put_in_place(int64_t step, const std::vector<std::string>& reports) {
  Manifest manifest;
  manifest.step = step;
  manifest.values = values_;
  manifest.metric = metric_;
  manifest.seconds = seconds_;
  manifest.program = labels_.program;
  manifest.recipe = labels_.recipe;
  manifest.arrays = arrays_;
  for (const std::string& text : reports) {
    const json report = json::parse(text);
    if (const auto failure = report["failure"].get<std::string>(); !failure.empty())
      fail(ErrorKind::file, "{}", failure);
    if (report.contains("file"))
      manifest.files.push_back({report["file"], report["bytes"], report["checksum"]});
  }
  commit_checkpoint(partial_path(folder_, step), checkpoint_path(folder_, step), manifest);
  metrics_[step] = metric_;
  prune(step);
}

void commit_checkpoint(const std::filesystem::path& partial, const std::filesystem::path& whole,
                       const Manifest& manifest) {
  write_file_atomically(partial / "manifest.json", to_text(manifest),
                        kElsewhere);  // syncs the folder, too
  std::error_code error;
  const bool replaces =
      std::filesystem::exists(whole, error);  // of an earlier attempt at this step
  if (replaces) std::filesystem::rename(whole, whole.string() + kRemoving);
  std::filesystem::rename(partial, whole, error);
  if (error)
    fail(ErrorKind::file, "{}: cannot rename into place: {}", partial.string(), error.message());
  sync_path(whole.parent_path());
  if (replaces) std::filesystem::remove_all(whole.string() + kRemoving, error);
}

// Keeps the newest `keep_` and the one with the lowest metric. Later ones than the one just written
// were passed over when the run was resumed: they do not count, and no whole one goes for them.
void CheckpointWriter::prune(int64_t just_written) {
  std::vector<int64_t> steps = checkpoint_steps(folder_);
  std::erase_if(steps, [&](int64_t step) { return step > just_written; });
  int64_t best = just_written;
  double lowest = std::numeric_limits<double>::infinity();
  for (const int64_t step : steps) {
    if (!metrics_.contains(step)) {
      double& metric = metrics_[step] = std::numeric_limits<double>::quiet_NaN();
      try {
        metric = read_manifest(checkpoint_path(folder_, step)).metric;
      } catch (const Error&) {  // damaged: the loader warns about it, and it cannot be the best
      }
    }
    if (metrics_[step] < lowest) lowest = metrics_[step], best = step;
  }
  const auto newest = static_cast<size_t>(std::max<int64_t>(1, keep_));
  for (size_t i = 0; i + newest < steps.size(); ++i) {
    if (steps[i] == best) continue;
    remove_checkpoint(checkpoint_path(folder_, steps[i]));
    metrics_.erase(steps[i]);
  }
}

}  // namespace ocoee::run
