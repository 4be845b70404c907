// SPDX-License-Identifier: Apache-2.0
// When each action of the last pipelined step ran here; weight work that was not put off is part of
// its backward. On a GPU the times are the device's, from events on the compute stream, and only of
// actions that compute; a captured graph records them each time it is replayed.
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
  // `of_graphs`: actions hold no messages of their own. Where they do, a captured graph, which
  // events around each wait would slow, leaves the log of the step before it was captured.
  explicit ActionLog(device::Device device, bool of_graphs = false)
      : device_(device), of_graphs_(of_graphs) {}
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
  bool of_graphs_;
  device::Stream stream_;
  bool captured_ = false, off_ = false, open_ = false;
  std::vector<Executed> executed_;
  std::vector<Marks> marks_;              // GPU, of each executed
  std::vector<Waiting> waits_;            // GPU
  std::vector<std::vector<Marks>> kept_;  // of earlier captures, whose graphs record them
  double waited_before_ = 0;
};

}  // namespace ocoee::parallel
