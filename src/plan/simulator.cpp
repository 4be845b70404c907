// SPDX-License-Identifier: Apache-2.0
#include "plan/simulator.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/error.h"

namespace ocoee::plan {
namespace {

// Arrival times of messages from one stage to a neighbour, in the order sent. Schedules receive in
// that order (tests/plan/schedule_test.cpp).
struct Link {
  double* sent = nullptr;  // one past the last
  const double* received = nullptr;
};

constexpr size_t kActions = 9;

// A stage's place in its list, together in memory: this loop is the planner's hottest.
struct Place {
  const Step *next, *end;
  double clock = 0;
  std::array<double, kActions> seconds{};  // of each action; messages and gathers take none
  std::array<double, 2> message{};         // forward, backward
  std::array<Link, 2> arriving;            // forward, backward
};

bool receives(Action a) {
  return a == Action::receive_forward || a == Action::receive_backward;
}
bool sends(Action a) {
  return a == Action::send_forward || a == Action::send_backward;
}
size_t way(Action a) {  // of a message: 0 forward, 1 backward
  return a >= Action::receive_backward;
}

template <bool kNotes>
class Player {
 public:
  Player(const Schedule& schedule, const std::vector<StageSeconds>& stages, Timeline* timeline)
      : timeline_(timeline) {
    const size_t count = stages.size();
    OCOEE_CHECK(schedule.stages.size() == count, "{} stages, costs of {}", schedule.stages.size(),
                count);
    const auto messages = static_cast<size_t>(schedule.request.micro_batches) *
                          static_cast<size_t>(schedule.request.chunks);
    arrivals_.resize(2 * count * messages);
    for (size_t s = 0; s < count; ++s) {
      const std::vector<Step>& list = schedule.stages[s];
      double* const forward = arrivals_.data() + 2 * s * messages;
      double* const backward = forward + messages;
      Place place{list.data(), list.data() + list.size()};
      place.seconds[static_cast<size_t>(Action::forward)] = stages[s].forward;
      place.seconds[static_cast<size_t>(Action::backward)] = stages[s].backward;
      place.seconds[static_cast<size_t>(Action::weight)] = stages[s].weight;
      // Interleaved chunks go round from the first stage to the last.
      place.message = {stages[s].message, stages[s > 0 ? s - 1 : count - 1].message};
      place.arriving = {Link{forward, forward}, Link{backward, backward}};
      places_.push_back(place);
      work_.push_back(static_cast<double>(messages) *
                      (stages[s].forward + stages[s].backward + stages[s].weight));
    }
  }

  Simulated play() {
    // Work flows up the stages and back down, and so do these sweeps.
    const size_t count = places_.size();
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t s = 0; s < count; ++s) moved |= advance(s);
      for (size_t s = count; s-- > 0;) moved |= advance(s);
    }
    Simulated out;
    out.busy = work_;
    for (const Place& place : places_) {
      OCOEE_CHECK(place.next == place.end, "a schedule of {} stages waits for ever", count);
      out.seconds = std::max(out.seconds, place.clock);
      out.end.push_back(place.clock);
    }
    return out;
  }

 private:
  // Goes on with a stage until it waits or is done; says whether it moved.
  bool advance(size_t s) {
    Place& p = places_[s];
    const Step* const first = p.next;
    const Step* step = first;
    double clock = p.clock;
    for (; step != p.end; ++step) {
      const Action action = step->action;
      if (receives(action)) {
        Link& link = p.arriving[way(action)];
        if (link.received == link.sent) break;
        clock = std::max(clock, *link.received++);
      } else if (sends(action)) {
        *places_[step->peer].arriving[way(action)].sent++ = clock + p.message[way(action)];
      } else {
        const double seconds = p.seconds[static_cast<size_t>(action)];
        if constexpr (kNotes) {
          if (seconds > 0)
            timeline_->push_back({static_cast<uint16_t>(s), action, step->chunk, step->micro, clock,
                                  clock + seconds});
        }
        clock += seconds;
      }
    }
    p.next = step;
    p.clock = clock;
    return step != first;
  }

  Timeline* timeline_;
  std::vector<double> arrivals_;
  std::vector<Place> places_;
  std::vector<double> work_;
};

}  // namespace

double Simulated::bubble_share() const {
  const double work = std::accumulate(busy.begin(), busy.end(), 0.0);
  return 1 - work / (seconds * static_cast<double>(busy.size()));
}

std::vector<int64_t> most_in_flight(const Schedule& schedule) {
  std::vector<int64_t> most;
  for (const std::vector<Step>& stage : schedule.stages) {
    int64_t held = 0, peak = 0;
    for (const Step& step : stage) {
      if (step.action == Action::forward) peak = std::max(peak, ++held);
      if (step.action == Action::weight) --held;
    }
    most.push_back(peak);
  }
  return most;
}

Simulated simulate(const Schedule& schedule, const std::vector<StageSeconds>& stages,
                   Timeline* timeline) {
  return timeline ? Player<true>(schedule, stages, timeline).play()
                  : Player<false>(schedule, stages, nullptr).play();
}

}  // namespace ocoee::plan
