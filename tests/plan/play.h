// SPDX-License-Identifier: Apache-2.0
// Plays a schedule in discrete time.
#pragma once

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "plan/schedule.h"

namespace ocoee::plan {

inline bool sends(Action a) {
  return a == Action::send_forward || a == Action::send_backward;
}
inline bool receives(Action a) {
  return a == Action::receive_forward || a == Action::receive_backward;
}

struct Played {
  int64_t makespan = 0;
  std::vector<int64_t> peak;  // activations held, per stage
  bool finished = false;
};

// Plays the lists in discrete time: a forward takes one unit, a backward two, of which zero_bubble
// puts one off as weight work; messages take none. A receive waits for its very message.
inline Played play(const Schedule& schedule) {
  const size_t stages = schedule.stages.size();
  using Key = std::tuple<size_t, size_t, Action, int, uint32_t>;  // from, to, kind, chunk, micro
  std::map<Key, int64_t> mail;
  std::vector<size_t> next(stages, 0);
  std::vector<int64_t> clock(stages, 0), held(stages, 0);
  Played played;
  played.peak.assign(stages, 0);
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t s = 0; s < stages; ++s) {
      for (; next[s] < schedule.stages[s].size(); ++next[s], moved = true) {
        const Step& step = schedule.stages[s][next[s]];
        if (sends(step.action)) {
          mail[{s, step.peer, step.action, step.chunk, step.micro}] = clock[s];
        } else if (receives(step.action)) {
          const bool forward = step.action == Action::receive_forward;
          // A message changes its chunk where the chain of parts goes round from the last stage.
          int chunk = step.chunk;
          if (forward && s == 0) --chunk;
          if (!forward && s + 1 == stages) ++chunk;
          const auto found =
              mail.find({step.peer, s, forward ? Action::send_forward : Action::send_backward,
                         chunk, step.micro});
          if (found == mail.end()) break;
          clock[s] = std::max(clock[s], found->second);
          mail.erase(found);
        } else if (step.action == Action::forward || step.action == Action::backward ||
                   step.action == Action::weight) {
          const bool splits = schedule.request.kind == ScheduleKind::zero_bubble;
          const int64_t units = step.action == Action::forward    ? 1
                                : step.action == Action::backward ? (splits ? 1 : 2)
                                                                  : (splits ? 1 : 0);
          clock[s] += units;
          if (step.action == Action::forward) played.peak[s] = std::max(played.peak[s], ++held[s]);
          if (step.action == Action::weight) --held[s];
        }
      }
    }
  }
  played.finished = mail.empty();
  for (size_t s = 0; s < stages; ++s) {
    played.finished = played.finished && next[s] == schedule.stages[s].size() && held[s] == 0;
    played.makespan = std::max(played.makespan, clock[s]);
  }
  return played;
}

}  // namespace ocoee::plan
