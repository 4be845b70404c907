// SPDX-License-Identifier: Apache-2.0
// When each action of the last pipelined step ran here; weight work that was not put off is part of
// its backward. On a GPU the times are the device's, from events on the compute stream; a step that
// is captured into a graph leaves the log of the one before.
#pragma once

#include <vector>

#include "device/device.h"
#include "plan/schedule.h"

namespace ocoee::parallel {

struct Executed {
  plan::Step step;
  double begin, end;  // seconds since tracing began
  // Of these in messages of the action itself: what the host waited, on a GPU what the compute
  // stream did (events around each wait; the host waits for none).
  double waited = 0;
};

class ActionLog {
 public:
  explicit ActionLog(device::Device device) : device_(device) {}
  ~ActionLog();
  ActionLog(const ActionLog&) = delete;
  void start(const device::Stream& stream);  // of a step; forgets the one before
  void begin(const plan::Step& step);
  void end();
  std::vector<Executed> read() const;  // GPU: the host waits

 private:
  struct Marks {
    device::Event begin, end;
  };
  struct Waiting {
    size_t action;
    Marks marks;
  };
  void mark_wait(const device::Stream& stream, bool begins);
  device::Device device_;
  device::Stream stream_;
  bool off_ = false, observing_ = false;
  std::vector<Executed> executed_;
  std::vector<Marks> marks_;    // GPU; the first is the start of the step
  std::vector<Waiting> waits_;  // GPU
  double host_start_ = 0, waited_before_ = 0;
};

}  // namespace ocoee::parallel
