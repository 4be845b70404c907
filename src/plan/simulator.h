// SPDX-License-Identifier: Apache-2.0
// Plays a schedule, the very lists that the engine executes, event by event: a stage works through
// its list and waits where a message has not arrived. Messages leave when they are posted and
// occupy no stage.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/schedule.h"

namespace ocoee::plan {

struct StageSeconds {  // of one chunk and micro-batch
  double forward = 0, backward = 0, weight = 0;
  double message = 0;  // to the next stage, and from it back
};

struct TimelineEvent {
  uint16_t stage;
  Action action;  // forward, backward or weight
  uint8_t chunk;
  uint32_t micro;
  double begin, end;
};
using Timeline = std::vector<TimelineEvent>;

struct Simulated {
  double seconds = 0;
  std::vector<double> busy, end;  // by stage: work done, and when it is finished
  double bubble_share() const;    // of stages x seconds
};

// By stage: the most (chunk, micro-batch) activations that its list holds at once.
std::vector<int64_t> most_in_flight(const Schedule& schedule);

// `stages`: one a stage. Throws Error(internal) when the lists wait for each other for ever.
Simulated simulate(const Schedule& schedule, const std::vector<StageSeconds>& stages,
                   Timeline* timeline = nullptr);

}  // namespace ocoee::plan
