// SPDX-License-Identifier: Apache-2.0
#include "core/trace.h"

#include <gtest/gtest.h>

namespace ocoee::trace {
namespace {

TEST(Trace, AFenceIsPassedAtBothEndsOfASpan) {
  int passed = 0;
  set_fence([&] { ++passed; });
  { const Scope scope("fenced"); }
  EXPECT_EQ(passed, 2);
  set_fence({});
  { const Scope scope("fenced"); }
  EXPECT_EQ(passed, 2);
}

TEST(Trace, TotalsOutliveWhatIsTaken) {
  record({"counted", "compute", 1, 3, 0});
  take();
  record({"counted", "compute", 5, 6, 1});
  EXPECT_DOUBLE_EQ(total_seconds("counted"), 3);
}

TEST(Trace, TotalsLeaveOutTheSpansInside) {
  take();
  {
    const Scope outer("outer");
    const Scope inner("inner");
    const double begin = now_seconds();
    while (now_seconds() == begin) {
    }
  }
  const std::vector<Span> spans = take();
  ASSERT_EQ(spans.size(), 2u);  // the inner one ends first
  const auto seconds = [&](size_t i) { return spans[i].end_seconds - spans[i].begin_seconds; };
  EXPECT_DOUBLE_EQ(total_seconds("inner"), seconds(0));
  EXPECT_NEAR(total_seconds("outer"), seconds(1) - seconds(0), 1e-12);
}

TEST(Trace, ASpanMayCountWhatRunsWithinIt) {
  take();
  {
    const Scope whole("whole", "compute", Inside::counted);
    const Scope part("part");
    const Scope deeper("deeper");
    const double begin = now_seconds();
    while (now_seconds() == begin) {
    }
  }
  const std::vector<Span> spans = take();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_DOUBLE_EQ(total_seconds("whole"), spans[2].end_seconds - spans[2].begin_seconds);
  EXPECT_EQ(total_seconds("part") + total_seconds("deeper"), 0);
}

}  // namespace
}  // namespace ocoee::trace
