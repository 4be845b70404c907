// SPDX-License-Identifier: Apache-2.0
// The last step of a pipeline as it is seen from outside the executor: the passes that the engine
// ran (trace spans) and the messages and collectives that left (flight recorder).
#pragma once

#include <string>
#include <vector>

#include "comm/flight_recorder.h"
#include "core/trace.h"
#include "parallel/engine.h"

namespace ocoee::parallel {

struct Observed {
  std::vector<Executed> log;
  std::vector<trace::Span> passes;         // forward and backward, in order
  std::vector<comm::FlightEntry> flights;  // in order of the calls
};

inline bool within(double time, const Executed& action) {
  return action.begin <= time && time <= action.end;
}

// The flight recorder holds the last 1,024 calls: not long after the step.
inline Observed observe(const Engine& engine) {
  Observed out;
  out.log = engine.executed();
  const double begin = out.log.front().begin, end = out.log.back().end;
  for (const trace::Span& span : trace::take()) {
    const std::string name = span.name;
    if ((name == "forward" || name == "backward") && span.begin_seconds >= begin &&
        span.end_seconds <= end)
      out.passes.push_back(span);
  }
  for (const comm::FlightEntry& entry : comm::flight_entries())
    if (entry.started >= begin && entry.started <= end) out.flights.push_back(entry);
  return out;
}

}  // namespace ocoee::parallel
