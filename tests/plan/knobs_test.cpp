// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/knobs.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ocoee::plan {
namespace {

TEST(Knobs, RangesListsAndWords) {
  EXPECT_EQ(parse_knob("layout.tensor=1,2,4").values, (std::vector<std::string>{"1", "2", "4"}));
  EXPECT_EQ(parse_knob("batch.micro=1..3").values, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(parse_knob("batch.micro=1..9*2").values,
            (std::vector<std::string>{"1", "2", "4", "8"}));
  EXPECT_EQ(parse_knob("optimizer.learning_rate=1e-4..1e-2:3").values,
            (std::vector<std::string>{"0.0001", "0.001", "0.01"}));
  const Knob words = parse_knob("layout.shard=none,states");
  EXPECT_FALSE(words.ordered);
  const Knob powers = parse_knob("layout.tensor=1,2,4,8");
  ASSERT_TRUE(powers.ordered);
  EXPECT_NEAR(powers.positions[1], 1.0 / 3, 1e-12);  // ratios, not differences
  EXPECT_NEAR(parse_knob("model.dropout=0,0.1,0.3").positions[1], 1.0 / 3, 1e-12);
}

TEST(Knobs, WhatIsNoKnobIsTold) {
  for (const std::string text : {"", "batch.micro", "batch.micro=", "=1,2", "a=1,,2", "a=1,1",
                                 "a=5..1", "a=x..3", "a=1..8*1", "a=1..8:1", "a=1..99999"}) {
    try {
      parse_knob(text);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
      EXPECT_NE(std::string(error.what()).find("fix:"), std::string::npos);
    }
  }
  EXPECT_THROW(KnobSpace({}), Error);
  EXPECT_THROW(KnobSpace({parse_knob("a=1,2"), parse_knob("a=3,4")}), Error);
}

TEST(Knobs, PointsAreNumberedOneToOne) {
  const KnobSpace space({parse_knob("a=1,2,4"), parse_knob("b=x,y"), parse_knob("c=1..5")});
  ASSERT_EQ(space.points(), 30);
  for (uint64_t n = 0; n < 30; ++n) EXPECT_EQ(space.number(space.point(n)), n);
  EXPECT_EQ(space.text({2, 1, 0}), "a=4 b=y c=1");
}

}  // namespace
}  // namespace ocoee::plan
