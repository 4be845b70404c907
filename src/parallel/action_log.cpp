// SPDX-License-Identifier: Apache-2.0
#include "parallel/action_log.h"

#include "core/trace.h"

namespace ocoee::parallel {

void ActionLog::start(const device::Stream& stream) {
  stream_ = stream;
  off_ = device_.is_cuda() && device::capturing(stream);
  if (off_) return;
  executed_.clear();
  marks_.clear();
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
}

void ActionLog::end() {
  if (off_) return;
  executed_.back().end = trace::now_seconds();
  if (device_.is_cuda())
    marks_.back().end.record(stream_);
  else
    executed_.back().waited = trace::total_seconds("communication") - waited_before_;
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
  return out;
}

}  // namespace ocoee::parallel
