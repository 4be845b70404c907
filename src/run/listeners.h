// SPDX-License-Identifier: Apache-2.0
// Who listens to events on rank 0: the console, metrics.jsonl, TensorBoard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "run/events.h"

namespace ocoee::run {

// Plain lines in a batch log; on a terminal a progress bar besides.
struct ConsoleOptions {
  int64_t first = 0, total = 0;  // quanta: this run goes on from `first`
  double wall_seconds = 0;       // until the limit; 0 = none
  std::string position_name = "step";
};
class ConsoleListener : public Listener {
 public:
  virtual void expect(
      const ConsoleOptions& options) = 0;  // once the length is known; time counts from here
  // After every quantum, logged or not; `total` may be another estimate each time.
  virtual void at(int64_t position, int64_t total) = 0;
};
std::unique_ptr<ConsoleListener> make_console();

// Appends one object an event; entries after `resume_step` of an earlier attempt are cut off first,
// so that a step appears once. -1 = from the start. flush() syncs.
std::unique_ptr<Listener> make_metrics_file(const std::filesystem::path& path, int64_t resume_step);

// TensorBoard event files (TFRecord framing with masked CRC-32C), written without protobuf. After a
// resume TensorBoard is told to forget the steps that follow `resume_step`.
std::unique_ptr<Listener> make_tensorboard(const std::filesystem::path& folder,
                                           int64_t resume_step = -1);

std::string tensorboard_record(const std::string& payload);
std::string tensorboard_version_event(double wall_time);
std::string tensorboard_restart_event(double wall_time, int64_t step);
std::string tensorboard_scalars_event(double wall_time, const Event& event);  // "" without numbers

}  // namespace ocoee::run
