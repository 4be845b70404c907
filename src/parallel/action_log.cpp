// SPDX-License-Identifier: Apache-2.0
#include "parallel/action_log.h"

#include "comm/wait_observer.h"
#include "core/trace.h"

namespace ocoee::parallel {

ActionLog::~ActionLog() {
  if (open_) comm::observe_waits({});  // an error ended the step within an action
}

void ActionLog::start(const device::Stream& stream) {
  const bool captures = device_.is_cuda() && device::capturing(stream);
  off_ = captures && !of_graphs_;
  if (open_) comm::observe_waits({});  // an error ended the step before within an action
  open_ = false;
  if (off_) return;
  stream_ = stream;
  executed_.clear();
  if (captured_) kept_.push_back(std::move(marks_));
  marks_.clear();
  waits_.clear();
  captured_ = captures;
}

void ActionLog::begin(const plan::Step& step) {
  if (off_ || (device_.is_cuda() && !plan::computes(step.action))) return;
  open_ = true;
  executed_.push_back({step, trace::now_seconds(), 0});
  waited_before_ = trace::total_seconds("communication");
  if (!device_.is_cuda()) return;
  marks_.push_back({device::Event(device_, true), device::Event(device_, true)});
  marks_.back().begin.record_by_replays(stream_);
  if (!captured_)
    comm::observe_waits(
        [this](const device::Stream& stream, bool begins) { mark_wait(stream, begins); });
}

void ActionLog::mark_wait(const device::Stream& stream, bool begins) {
  if (!stream.device.is_cuda() || stream.handle != stream_.handle) return;
  if (begins)
    waits_.push_back(
        {executed_.size() - 1, {device::Event(device_, true), device::Event(device_, true)}});
  Marks& marks = waits_.back().marks;
  (begins ? marks.begin : marks.end).record(stream_);
}

void ActionLog::end() {
  if (!open_) return;
  open_ = false;
  executed_.back().end = trace::now_seconds();
  if (!device_.is_cuda()) {
    executed_.back().waited = trace::total_seconds("communication") - waited_before_;
    return;
  }
  comm::observe_waits({});
  marks_.back().end.record_by_replays(stream_);
}

std::vector<Executed> ActionLog::read() const {
  std::vector<Executed> out = executed_;
  if (!device_.is_cuda() || out.empty()) return out;
  device::Event here(device_, true);  // what the device's times are told by
  here.record(stream_);
  here.synchronize();
  const double now = trace::now_seconds();
  const auto at = [&](const device::Event& event) {
    return now - 1e-3 * here.milliseconds_since(event);
  };
  for (size_t i = 0; i < out.size(); ++i)
    out[i].begin = at(marks_[i].begin), out[i].end = at(marks_[i].end);
  for (const Waiting& one : waits_)
    out[one.action].waited += 1e-3 * one.marks.end.milliseconds_since(one.marks.begin);
  return out;
}

}  // namespace ocoee::parallel
