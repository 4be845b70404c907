// SPDX-License-Identifier: Apache-2.0
#include "plan/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "core/error.h"
#include "plan/play.h"

namespace ocoee::plan {
namespace {

std::vector<ScheduleRequest> many_requests() {
  std::vector<ScheduleRequest> all;
  for (const int stages : {1, 2, 3, 4, 8}) {
    for (const int micro_batches : {1, 2, 3, 4, 7, 8, 16, 24}) {
      for (const auto kind :
           {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zero_bubble})
        all.push_back({kind, stages, micro_batches});
      for (const int chunks : {2, 3})
        all.push_back({ScheduleKind::interleaved, stages, micro_batches, chunks});
    }
  }
  std::erase_if(all, [](const ScheduleRequest& r) { return !schedule_problem(r).empty(); });
  return all;
}

std::string words(const ScheduleRequest& r) {
  return std::string(name_of(r.kind)) + " stages " + std::to_string(r.stages) + " micro-batches " +
         std::to_string(r.micro_batches) + " chunks " + std::to_string(r.chunks);
}

TEST(Schedule, EveryPieceOfWorkIsDoneOnceAndInOrder) {
  for (const ScheduleRequest& r : many_requests()) {
    SCOPED_TRACE(words(r));
    for (const auto& stage : make_schedule(r).stages) {
      std::map<std::pair<int, uint32_t>, std::string> done;
      for (const Step& step : stage) {
        std::string& text = done[{step.chunk, step.micro}];
        if (step.action == Action::forward) text += 'f';
        if (step.action == Action::backward) text += 'b';
        if (step.action == Action::weight) text += 'w';
      }
      EXPECT_EQ(done.size(), static_cast<size_t>(r.micro_batches * r.chunks));
      for (const auto& [piece, text] : done) EXPECT_EQ(text, "fbw");
    }
  }
}

TEST(Schedule, NoStageWaitsForever) {
  for (const ScheduleRequest& r : many_requests()) {
    SCOPED_TRACE(words(r));
    EXPECT_TRUE(play(make_schedule(r)).finished);
  }
}

// Point-to-point messages between two ranks match in the order they are posted.
TEST(Schedule, MessagesBetweenTwoStagesAreReceivedInTheOrderSent) {
  for (const ScheduleRequest& r : many_requests()) {
    SCOPED_TRACE(words(r));
    const Schedule schedule = make_schedule(r);
    std::map<std::tuple<size_t, size_t, bool>, std::vector<uint32_t>> sent, received;
    for (size_t s = 0; s < schedule.stages.size(); ++s) {
      for (const Step& step : schedule.stages[s]) {
        if (sends(step.action))
          sent[{s, step.peer, step.action == Action::send_forward}].push_back(step.micro);
        if (receives(step.action))
          received[{step.peer, s, step.action == Action::receive_forward}].push_back(step.micro);
      }
    }
    EXPECT_EQ(sent, received);
  }
}

TEST(Schedule, ActivationsInFlightEqualTheClosedForm) {
  for (const ScheduleRequest& r : many_requests()) {
    SCOPED_TRACE(words(r));
    const Played played = play(make_schedule(r));
    for (int stage = 0; stage < r.stages; ++stage)
      EXPECT_EQ(played.peak[static_cast<size_t>(stage)], activations_in_flight(r, stage))
          << "stage " << stage;
  }
}

// Narayanan et al. 2021, section 2.2: (p - 1) / (v m); Qi et al. 2024, table 2: a third of it for
// ZB-H1 with equal times.
TEST(Schedule, BubbleEqualsTheClosedForm) {
  for (const ScheduleRequest& r : many_requests()) {
    if (r.micro_batches < r.stages) continue;  // the forms hold for a full pipeline
    SCOPED_TRACE(words(r));
    const int64_t ideal = int64_t{3} * r.micro_batches * r.chunks;
    const auto lost = static_cast<double>(play(make_schedule(r)).makespan - ideal);
    EXPECT_NEAR(lost / static_cast<double>(ideal), ideal_bubble_overhead(r), 1e-12);
  }
}

TEST(Schedule, ShardedParametersAreWholeExactlyWhenUsed) {
  for (ScheduleRequest r : many_requests()) {
    r.gather = true;
    SCOPED_TRACE(words(r));
    Schedule without = make_schedule(r);
    for (auto& stage : without.stages) {
      std::map<int, bool> whole;
      std::map<int, int> gathers;
      for (const Step& step : stage) {
        if (step.action == Action::gather) {
          EXPECT_FALSE(whole[step.chunk]);
          whole[step.chunk] = true;
          ++gathers[step.chunk];
        }
        if (step.action == Action::release) {
          EXPECT_TRUE(whole[step.chunk]);
          whole[step.chunk] = false;
        }
        const bool uses = step.action == Action::forward || step.action == Action::backward;
        EXPECT_TRUE(!uses || whole[step.chunk]);
      }
      for (const auto& [chunk, is_whole] : whole) {
        EXPECT_FALSE(is_whole);
        EXPECT_EQ(gathers[chunk], 2 * r.micro_batches);
      }
      std::erase_if(stage, [](const Step& step) {
        return step.action == Action::gather || step.action == Action::release;
      });
    }
    r.gather = false;
    EXPECT_EQ(without.stages, make_schedule(r).stages);
  }
}

TEST(Schedule, WhatCannotWorkSaysTheNearestThatDoes) {
  const auto problem = [](ScheduleKind kind, int stages, int micro_batches, int chunks) {
    return schedule_problem({kind, stages, micro_batches, chunks});
  };
  EXPECT_EQ(problem(ScheduleKind::interleaved, 4, 10, 2), "");
  EXPECT_EQ(problem(ScheduleKind::interleaved, 4, 3, 2),
            "interleaving over 4 stages needs at least 4 micro-batches, not 3");
  EXPECT_EQ(problem(ScheduleKind::one_f_one_b, 4, 8, 2),
            "schedule 1f1b has one chunk a stage, not 2: use interleaved, or 1 chunk");
  EXPECT_EQ(problem(ScheduleKind::interleaved, 1, 8, 2),
            "interleaving needs at least 2 stages: use 1f1b");
  EXPECT_THROW(make_schedule({ScheduleKind::interleaved, 4, 3, 2}), Error);
  try {
    schedule_from_name("1f1");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean '1f1b'?"), std::string::npos);
  }
}

}  // namespace
}  // namespace ocoee::plan
