// SPDX-License-Identifier: Apache-2.0
#include "core/text.h"

#include <gtest/gtest.h>

namespace ocoee {
namespace {

TEST(Text, NumbersWithTheirUnits) {
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(999.6), "1 k");
  EXPECT_EQ(format_count(123'853'824), "124 M");
  EXPECT_EQ(format_flops(256), "256 FLOP");
  EXPECT_EQ(format_flops(26e9), "26 GFLOP");
  EXPECT_EQ(format_bytes(1.5 * 1024 * 1024 * 1024), "1.50 GiB");
  EXPECT_EQ(counted(1, "layer"), "1 layer");
  EXPECT_EQ(counted(2, "layer"), "2 layers");
}

TEST(Text, SecondsAsPeopleSayThem) {
  EXPECT_EQ(format_seconds(25e-6), "25.0 us");
  EXPECT_EQ(format_seconds(0.31), "310.0 ms");
  EXPECT_EQ(format_seconds(125), "2 min 05 s");
  EXPECT_EQ(format_seconds(3600 * 4 + 180), "4 h 03 min");
}

}  // namespace
}  // namespace ocoee
