// SPDX-License-Identifier: Apache-2.0
#include "plan/simulator.h"

#include <gtest/gtest.h>

#include <numeric>

namespace ocoee::plan {
namespace {

std::vector<StageSeconds> equal_stages(int stages, bool splits) {
  const StageSeconds one = splits ? StageSeconds{1, 1, 1, 0} : StageSeconds{1, 2, 0, 0};
  return std::vector<StageSeconds>(static_cast<size_t>(stages), one);
}

TEST(Simulator, BubbleOfEqualStagesEqualsTheClosedForm) {
  for (const int stages : {1, 2, 4, 8}) {
    for (const int micro_batches : {8, 16, 24}) {
      for (const ScheduleRequest& r :
           {ScheduleRequest{ScheduleKind::gpipe, stages, micro_batches},
            ScheduleRequest{ScheduleKind::one_f_one_b, stages, micro_batches},
            ScheduleRequest{ScheduleKind::zero_bubble, stages, micro_batches},
            ScheduleRequest{ScheduleKind::interleaved, stages, micro_batches, 2},
            ScheduleRequest{ScheduleKind::interleaved, stages, micro_batches, 3}}) {
        if (!schedule_problem(r).empty()) continue;
        SCOPED_TRACE(std::string(name_of(r.kind)) + " " + std::to_string(stages) + " " +
                     std::to_string(micro_batches));
        const Schedule schedule = make_schedule(r);
        const Simulated s =
            simulate(schedule, equal_stages(stages, r.kind == ScheduleKind::zero_bubble));
        const double ideal = 3.0 * micro_batches * r.chunks;
        EXPECT_NEAR(s.seconds / ideal - 1, ideal_bubble_overhead(r), 1e-12);
        EXPECT_NEAR(s.bubble_share(), 1 - ideal / s.seconds, 1e-12);
        const std::vector<int64_t> held = most_in_flight(schedule);
        for (int stage = 0; stage < stages; ++stage)
          EXPECT_EQ(held[static_cast<size_t>(stage)], activations_in_flight(r, stage));
      }
    }
  }
}

// Shares of the whole step that published runs lose to the bubble.
TEST(Simulator, PublishedBubbleShares) {
  struct Case {
    int stages, micro_batches;
    double share;
  };
  for (const Case& c :
       {Case{16, 320, 15.0 / 335}, {64, 1600, 63.0 / 1663}, {128, 1024, 127.0 / 1151}}) {
    const Simulated s =
        simulate(make_schedule({ScheduleKind::one_f_one_b, c.stages, c.micro_batches}),
                 equal_stages(c.stages, false));
    EXPECT_NEAR(s.bubble_share(), c.share, 1e-12);
  }
}

TEST(Simulator, AnUnequalPipelineTakesWhatItsSlowestStageTakes) {
  std::vector<StageSeconds> stages = equal_stages(4, false);
  stages[2] = {2, 4, 0, 0};
  const Schedule schedule = make_schedule({ScheduleKind::one_f_one_b, 4, 64});
  const Simulated s = simulate(schedule, stages);
  EXPECT_GE(s.seconds, 64 * 6);
  EXPECT_LE(s.seconds, 64 * 6 + 3 * 3 + 6);
  EXPECT_DOUBLE_EQ(s.busy[2], 64 * 6);
  EXPECT_DOUBLE_EQ(s.busy[0], 64 * 3);
}

// From unequal stages, each part of each stage grows by itself.
TEST(Simulator, SlowerMessagesAndStagesNeverMakeAStepShorter) {
  for (const ScheduleRequest& r : {ScheduleRequest{ScheduleKind::gpipe, 4, 8},
                                   ScheduleRequest{ScheduleKind::one_f_one_b, 4, 8},
                                   ScheduleRequest{ScheduleKind::zero_bubble, 4, 8},
                                   ScheduleRequest{ScheduleKind::interleaved, 4, 8, 2}}) {
    const Schedule schedule = make_schedule(r);
    const double weight = r.kind == ScheduleKind::zero_bubble ? 1 : 0;
    const std::vector<StageSeconds> unequal{
        {1, 2, weight, 0.1}, {1.5, 2.5, weight, 0.3}, {0.7, 1.8, weight, 0}, {2, 3, weight, 0.2}};
    const double base = simulate(schedule, unequal).seconds;
    for (size_t slow = 0; slow < unequal.size(); ++slow) {
      for (double StageSeconds::*part : {&StageSeconds::forward, &StageSeconds::backward,
                                         &StageSeconds::weight, &StageSeconds::message}) {
        if (part == &StageSeconds::weight && weight == 0) continue;
        double before = base;
        for (const double more : {0.05, 0.4, 3.0}) {
          std::vector<StageSeconds> stages = unequal;
          stages[slow].*part += more;
          const double now = simulate(schedule, stages).seconds;
          EXPECT_GE(now, before) << name_of(r.kind) << ", stage " << slow;
          before = now;
        }
        // The last stage sends on only where chunks go round.
        if (part != &StageSeconds::message || slow + 1 < unequal.size() || r.chunks > 1) {
          EXPECT_GT(before, base) << name_of(r.kind) << ", stage " << slow;
        }
      }
    }
  }
}

TEST(Simulator, TheTimelineHoldsEveryPassInOrder) {
  Timeline timeline;
  const Schedule schedule = make_schedule({ScheduleKind::one_f_one_b, 3, 5});
  const Simulated s = simulate(schedule, equal_stages(3, false), &timeline);
  EXPECT_EQ(timeline.size(), 3u * 5 * 2);
  std::vector<double> until(3, 0);
  for (const TimelineEvent& event : timeline) {
    EXPECT_GE(event.begin, until[event.stage]);
    EXPECT_GT(event.end, event.begin);
    until[event.stage] = event.end;
  }
  EXPECT_EQ(s.end, until);
}

}  // namespace
}  // namespace ocoee::plan
