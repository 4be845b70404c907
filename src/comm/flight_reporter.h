// SPDX-License-Identifier: Apache-2.0
// What the watchdog sends of the flight record: only what is new, and what is under way.
#pragma once

#include <cstddef>
#include <vector>

#include "comm/control_message.h"
#include "comm/flight_recorder.h"

namespace ocoee::comm {

class FlightReporter {
 public:
  // The more ranks, the fewer calls of each stream are sent at a time: the newest is always among
  // them.
  FlightReporter(int rank, int ranks);
  std::vector<ControlMessage> next();  // group reports, if any, and then one state report

 private:
  StateReport state();
  int rank_;
  size_t calls_per_stream_;
  size_t groups_seen_ = 0;
  FlightEntryId seen_ = 0;
};

OperationReport report_of(const FlightEntry& entry, double now);

}  // namespace ocoee::comm
