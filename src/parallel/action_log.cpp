// SPDX-License-Identifier: Apache-2.0
#include "parallel/action_log.h"

#include "comm/wait_observer.h"
#include "core/trace.h"

namespace ocoee::parallel {

ActionLog::~ActionLog() {
  if (observing_) comm::observe_waits({});  // an error ended the step within an action
}

void ActionLog::start(const device::Stream& stream) {
  stream_ = stream;
  off_ = device_.is_cuda() && device::capturing(stream);
  if (off_) return;
  executed_.clear();
  marks_.clear();
  waits_.clear();
  host_start_ = trace::now_seconds();
  if (!device_.is_cuda()) return;
  marks_.push_back({device::Event(device_, true), device::Event(device_, true)});
  marks_.back().begin.record(stream_);
}

void ActionLog::begin(const plan::Step& step) {
  if (off_) return;
  executed_.push_back({step, trace::now_seconds(), 0});
  waited_before_ = trace::total_seconds("communication");
  if (!device_.is_cuda()) return;
  marks_.push_back({device::Event(device_, true), device::Event(device_, true)});
  marks_.back().begin.record(stream_);
  comm::observe_waits(
      [this](const device::Stream& stream, bool begins) { mark_wait(stream, begins); });
  observing_ = true;
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
  if (off_) return;
  executed_.back().end = trace::now_seconds();
  if (!device_.is_cuda()) {
    executed_.back().waited = trace::total_seconds("communication") - waited_before_;
    return;
  }
  comm::observe_waits({});
  observing_ = false;
  marks_.back().end.record(stream_);
}

std::vector<Executed> ActionLog::read() const {
  std::vector<Executed> out = executed_;
  if (!device_.is_cuda() || out.empty()) return out;
  marks_.back().end.synchronize();
  const auto at = [&](const device::Event& event) {
    return host_start_ + 1e-3 * event.milliseconds_since(marks_[0].begin);
  };
  for (size_t i = 0; i < out.size(); ++i)
    out[i].begin = at(marks_[i + 1].begin), out[i].end = at(marks_[i + 1].end);
  for (const Waiting& one : waits_)
    out[one.action].waited += 1e-3 * one.marks.end.milliseconds_since(one.marks.begin);
  return out;
}

}  // namespace ocoee::parallel
