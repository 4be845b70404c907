// SPDX-License-Identifier: Apache-2.0
// Verdicts from reports, without sockets or clocks.
#include "comm/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ocoee::comm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Four ranks on the axis 'data' (key 7), each with a record of calls.
class JudgeTest : public testing::Test {
 protected:
  JudgeTest() : judge_({"host a", "host a", "host b", "host b"}, {6, 3, 100}, 0) {
    judge_.hear(0, GroupReport{7, "data", {0, 1, 2, 3}}, 0);
    judge_.hear(0, GroupReport{8, "loss", {0, 1, 2, 3}}, 0);
  }

  static OperationReport call(uint64_t sequence, int64_t count = 100) {
    OperationReport o;
    o.id = sequence;
    o.group = o.stream = 7;
    o.sequence = sequence;
    o.rolling = 1000 + sequence;
    o.kind = Kind::all_reduce;
    o.dtype = DType::f32;
    o.count = count;
    o.site = "src/parallel/engine.cpp:" + std::to_string(sequence);
    return o;
  }
  static OperationReport waiting(OperationReport o, float age) {
    o.under_way = o.blocked = true;
    o.age = age;
    return o;
  }
  void report(int rank, std::vector<OperationReport> operations, double now) {
    judge_.hear(rank, StateReport{std::move(operations)}, now);
  }
  void all_report(const OperationReport& o, double now) {
    for (int r = 0; r < 4; ++r) report(r, {o}, now);
  }
  std::string verdict(double now) {
    EXPECT_TRUE(judge_.suspicious(now));
    const auto found = judge_.verdict(now);
    return found ? found->message : "";
  }

  Judge judge_;
};

TEST_F(JudgeTest, NothingIsWrongWithAJobAtWork) {
  for (int i = 1; i < 500; ++i) {
    all_report(call(static_cast<uint64_t>(i)), i * 0.5);
    ASSERT_FALSE(judge_.suspicious(i * 0.5));
  }
  EXPECT_FALSE(judge_.verdict(250).has_value());
}

TEST_F(JudgeTest, RanksMayBeFarApart) {
  std::vector<OperationReport> all;
  for (uint64_t i = 1; i <= 200; ++i) all.push_back(call(i));
  report(0, all, 1);
  report(1, {all.back()}, 1);
  report(2, {all.front()}, 1);
  report(3, {}, 1);
  EXPECT_FALSE(judge_.suspicious(1));
}

TEST_F(JudgeTest, TheFewThatDifferAreNamed) {
  for (const int r : {0, 2, 3}) report(r, {call(1), waiting(call(2), 1)}, 1);
  OperationReport other = call(2, 50);
  other.site = "src/nn/loss.cpp:9";
  report(1, {call(1), waiting(other, 1)}, 1);
  EXPECT_THAT(verdict(1), AllOf(HasSubstr("rank 1 differs on 'data' in operation 2"),
                                HasSubstr("of 50 x F32, called at src/nn/loss.cpp:9"),
                                HasSubstr("ranks 0, 2, 3: all_reduce (sum) of 100 x F32")));
}

TEST_F(JudgeTest, OneAgainstOneIsUndecidedUntilTheOthersCome) {
  report(0, {call(1, 90)}, 1);
  report(1, {call(1)}, 1);
  EXPECT_TRUE(judge_.undecided());
  report(2, {call(1)}, 1);
  EXPECT_FALSE(judge_.undecided());
  EXPECT_THAT(verdict(1), HasSubstr("rank 0 differs on 'data' in operation 1"));
}

TEST_F(JudgeTest, EveryPartOfACallIsCompared) {
  for (int part = 0; part < 5; ++part) {
    Judge judge({"a", "b"}, {}, 0);
    judge.hear(0, GroupReport{7, "data", {0, 1}}, 0);
    OperationReport o = call(1);
    judge.hear(0, StateReport{{o}}, 0);
    if (part == 0) o.kind = Kind::broadcast;
    if (part == 1) o.count = 99;
    if (part == 2) o.dtype = DType::i32;
    if (part == 3) o.op = Reduce::max;
    if (part == 4) o.peer = 1;
    judge.hear(1, StateReport{{o}}, 0);
    EXPECT_TRUE(judge.suspicious(0)) << part;
  }
}

TEST_F(JudgeTest, ADifferenceThatWasNotReportedShowsInTheHash) {
  report(0, {call(9)}, 1);
  OperationReport same = call(9);
  same.rolling ^= 1;
  report(1, {same}, 1);
  EXPECT_THAT(verdict(1), HasSubstr("but not in one before it"));
}

TEST_F(JudgeTest, ASendEqualsItsReceive) {
  OperationReport sent = call(1), received = call(1);
  sent.stream = received.stream = 70;
  sent.kind = Kind::send;
  sent.peer = 1;
  received.kind = Kind::receive;
  received.peer = 0;
  report(0, {sent}, 1);
  report(1, {received}, 1);
  EXPECT_FALSE(judge_.suspicious(1));
  sent.sequence = received.sequence = 2;
  received.count = 3;
  report(0, {sent}, 2);
  report(1, {received}, 2);
  EXPECT_THAT(verdict(2), HasSubstr("on 'data' in operation 2"));
}

TEST_F(JudgeTest, DeathIsAConnectionThatEndsWithoutGoodbye) {
  report(2, {waiting(call(5), 0.25F)}, 1);
  judge_.hear(1, Goodbye{}, 1);
  judge_.closed(1);
  EXPECT_FALSE(judge_.suspicious(1));
  judge_.closed(2);
  EXPECT_THAT(verdict(1.5),
              AllOf(HasSubstr("rank 2 of 4 (host b) died"),
                    HasSubstr("operation 5 on 'data', called at src/parallel/engine.cpp:5"),
                    Not(HasSubstr("rank 1"))));
}

TEST_F(JudgeTest, SilenceIsNoticedButNotAfterOurOwnSleep) {
  for (int r = 0; r < 4; ++r) judge_.hear(r, Alive{}, 5);
  for (const int r : {0, 1, 2}) judge_.hear(r, Alive{}, 10);
  EXPECT_FALSE(judge_.suspicious(10.5));
  judge_.slept(10.5);
  EXPECT_FALSE(judge_.suspicious(16));
  for (const int r : {0, 1, 2}) judge_.hear(r, Alive{}, 16.6);
  EXPECT_THAT(verdict(16.6), HasSubstr("rank 3 of 4 (host b) gives no sign of life"));
}

TEST_F(JudgeTest, FailuresCarryTheirReasonAndCode) {
  judge_.hear(3, FailureReport{3, "the file is broken"}, 1);
  judge_.closed(3);
  ASSERT_TRUE(judge_.suspicious(1));
  const auto found = judge_.verdict(1);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->code, 3);
  EXPECT_EQ(found->message, "rank 3 of 4 (host b) failed: the file is broken");
}

TEST_F(JudgeTest, ADifferenceExplainsTheFailureItCaused) {
  report(0, {call(1)}, 1);
  report(1, {call(1, 90)}, 1);
  judge_.hear(1, FailureReport{5, "MPI: message truncated"}, 1);
  EXPECT_THAT(verdict(1), AllOf(HasSubstr("the ranks differ on 'data'"),
                                HasSubstr("rank 1 reported: MPI: message truncated")));
}

TEST_F(JudgeTest, RanksThatWaitForEachOtherOnTwoAxes) {
  OperationReport on_loss = call(1);
  on_loss.group = on_loss.stream = 8;
  on_loss.id = 2;
  for (const int r : {0, 2, 3}) report(r, {waiting(call(1), 4)}, 4);
  EXPECT_FALSE(judge_.suspicious(4));  // rank 1 may only be slow
  report(1, {waiting(on_loss, 2)}, 4);
  EXPECT_FALSE(judge_.suspicious(4));  // nor has it waited for long
  report(1, {waiting(on_loss, 3.5F)}, 5.5);
  EXPECT_THAT(verdict(5.5), AllOf(HasSubstr("rank 1 is at another operation than ranks 0, 2, 3"),
                                  HasSubstr("on 'loss'")));
}

TEST_F(JudgeTest, AWaitForOneThatWorksOnIsNoDeadlock) {
  for (const int r : {0, 1}) report(r, {waiting(call(1), 50)}, 50);
  for (const int r : {2, 3}) judge_.hear(r, StateReport{}, 50);
  EXPECT_FALSE(judge_.suspicious(50));
}

TEST_F(JudgeTest, AWaitForOneThatHasLeftIsForEver) {
  for (const int r : {0, 1, 2}) report(r, {waiting(call(1), 4)}, 4);
  judge_.hear(3, Goodbye{}, 4);
  EXPECT_THAT(verdict(4), HasSubstr("rank 3 ended, but ranks 0, 1, 2 wait for it"));
}

TEST_F(JudgeTest, AHangNamesTheRankThatIsMissing) {
  report(3, {call(1)}, 1);
  for (const int r : {0, 1, 2}) report(r, {call(1), waiting(call(2), 101)}, 102);
  judge_.hear(3, StateReport{}, 102);
  EXPECT_THAT(
      verdict(102),
      AllOf(HasSubstr("rank 3 of 4 (host b) hangs"), HasSubstr("operation 2 on 'data'"),
            HasSubstr(
                "rank 3: its last known operation: all_reduce (sum) of 100 x F32, operation 1")));
}

TEST_F(JudgeTest, AHangIsFollowedToTheEndOfTheChain) {
  judge_.hear(0, GroupReport{9, "tensor", {1, 3}}, 0);
  OperationReport on_tensor = call(1);
  on_tensor.group = on_tensor.stream = 9;
  for (const int r : {0, 2}) report(r, {waiting(call(1), 102)}, 102);
  report(1, {waiting(on_tensor, 101)}, 102);
  report(3, {call(1)}, 102);
  EXPECT_THAT(verdict(102),
              AllOf(HasSubstr("rank 3 of 4 (host b) hangs"), HasSubstr("on 'tensor'")));
}

TEST_F(JudgeTest, AHangWithEverybodyThereIsTheNetworks) {
  OperationReport o = call(1);
  o.under_way = o.on_device = true;
  o.age = 101;
  all_report(o, 101);
  EXPECT_THAT(verdict(101), HasSubstr("all its ranks have called it"));
}

TEST_F(JudgeTest, WorkUnderWayThatNobodyWaitsForMayTakeItsTime) {
  OperationReport o = call(1);
  o.under_way = true;
  o.age = 1000;
  report(0, {o}, 1000);
  for (const int r : {1, 2, 3}) judge_.hear(r, StateReport{}, 1000);
  EXPECT_FALSE(judge_.suspicious(1000));
}

TEST_F(JudgeTest, StrangeNumbersDoNoHarm) {
  OperationReport o = call(1);
  o.peer = 1 << 30;
  o.kind = Kind::receive;
  report(0, {o}, 1);
  judge_.hear(1, GroupReport{7, "data", {-5, 1 << 30}}, 1);
  o.kind = Kind::all_reduce;
  report(0, {waiting(o, 4)}, 1);
  judge_.suspicious(1);
  judge_.verdict(1);
}

}  // namespace
}  // namespace ocoee::comm
