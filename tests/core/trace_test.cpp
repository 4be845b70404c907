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

}  // namespace
}  // namespace ocoee::trace
