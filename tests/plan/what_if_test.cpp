// SPDX-License-Identifier: Apache-2.0
// The six observations of the Frontier study (Dash et al. 2024), each as the curve that shows it.
#include "plan/what_if.h"

#include <gtest/gtest.h>

#include "models/shapes.h"

namespace ocoee::plan {
namespace {

class Frontier : public testing::Test {
 protected:
  Frontier() {
    const models::NamedShape& shape = models::named_shape("175b");
    workload_.name = "175b";
    workload_.model = models::build_gpt(shape.config, shape.vocabulary);
    workload_.sequence = 2048;
    workload_.global_batch = 10240;
    chosen_.tensor = 4;
    chosen_.pipeline = 16;
    chosen_.data = 16;
    chosen_.shard = Shard::states;
    chosen_.recompute = Recompute::full;
  }
  WhatIf curve(const std::string& id, const char* system = "ocoee") {
    for (WhatIf& c : what_if(workload_, system_named(system), load_machine("frontier"), chosen_)) {
      if (c.id == id) return c;
    }
    ADD_FAILURE() << "no curve " << id;
    return {};
  }
  static double rate_at(const WhatIfSeries& series, double x) {
    for (const WhatIfPoint& p : series.points) {
      if (p.x == x) return p.rate;
    }
    ADD_FAILURE() << "no point at " << x;
    return 0;
  }
  Workload workload_;
  Configuration chosen_;
};

TEST_F(Frontier, OneThroughputFallsWithTensorRanksAndMostAcrossNodes) {
  const WhatIfSeries s = curve("tensor").series.at(0);
  for (size_t i = 1; i < s.points.size(); ++i)
    EXPECT_LT(s.points[i].rate, s.points[i - 1].rate) << s.points[i].x;
  const double in_package = rate_at(s, 2) / rate_at(s, 1), in_node = rate_at(s, 8) / rate_at(s, 4);
  const double across = rate_at(s, 16) / rate_at(s, 8);
  EXPECT_GT(in_package, in_node);
  EXPECT_GT(in_node, across);
}

TEST_F(Frontier, TwoMoreMicroBatchesRaiseItUntilItSaturates) {
  const WhatIfSeries s = curve("batch").series.at(0);
  for (size_t i = 1; i < s.points.size(); ++i) EXPECT_GT(s.points[i].rate, s.points[i - 1].rate);
  const size_t last = s.points.size() - 1;
  EXPECT_GT(s.points[1].rate / s.points[0].rate, s.points[last].rate / s.points[last - 1].rate);
  EXPECT_LT(s.points[last].rate / s.points[last - 1].rate, 1.02);
}

TEST_F(Frontier, ThreeMoreStagesLowerItAndAGrownBatchDoesNot) {
  const WhatIf c = curve("pipeline");
  ASSERT_EQ(c.series.size(), 2u);
  const double fixed = rate_at(c.series[0], 32) / rate_at(c.series[0], 8);
  const double grown = rate_at(c.series[1], 32) / rate_at(c.series[1], 8);
  EXPECT_LT(fixed, 0.93);
  EXPECT_GT(grown, 0.93);  // 98 blocks do not divide over 32 stages
}

TEST_F(Frontier, FourMicroBatchSizeMovesMemoryAndMoreThanOneGainsNothing) {
  const WhatIfSeries s = curve("micro", "megatron_deepspeed").series.at(0);
  for (size_t i = 1; i < s.points.size(); ++i) {
    EXPECT_GT(s.points[i].bytes, s.points[i - 1].bytes);
    EXPECT_LT(s.points[i].rate, s.points[0].rate * 1.01);
    if (s.points[i].x >= 4) {
      EXPECT_LT(s.points[i].rate, s.points[0].rate);
    }
  }
}

TEST_F(Frontier, FiveFusedAttentionIsQuickerMoreSoForLongSamples) {
  chosen_.recompute = Recompute::none;
  const WhatIf c = curve("attention");
  ASSERT_EQ(c.series.size(), 2u);
  const double at2k = rate_at(c.series[0], 2048) / rate_at(c.series[1], 2048);
  const double at8k = rate_at(c.series[0], 8192) / rate_at(c.series[1], 8192);
  EXPECT_GT(at2k, 1);
  EXPECT_GT(at8k, at2k);
}

TEST_F(Frontier, SixSplitStatesCostNothingAndSplitParametersMuch) {
  const WhatIf c = curve("shard");
  ASSERT_EQ(c.series.size(), 4u);
  const double devices = 1024;
  const double whole = rate_at(c.series[0], devices);
  EXPECT_NEAR(rate_at(c.series[1], devices) / whole, 1, 0.005);
  EXPECT_LT(rate_at(c.series[3], devices) / whole, 0.97);
  // Averaging is hidden: it is below a percent of a step of 640 micro-batches.
  Predictor predictor(workload_, system_named("ocoee"), load_machine("frontier"));
  const Prediction p = predictor.simulate(chosen_);
  EXPECT_LT(p.of(Part::data) / p.seconds, 0.01);
}

TEST(WhatIfTest, LongerSamplesCostMoreATokenAndEffortAddsUp) {
  const models::NamedShape& shape = models::named_shape("gpt2-350m");
  Workload w;
  w.model = models::build_gpt(shape.config, shape.vocabulary);
  w.sequence = 1024;
  w.global_batch = 64;
  const double before = w.model.training_flops_per_token();
  EXPECT_GT(with_sequence(w, 4096).model.training_flops_per_token(), before);
  EXPECT_DOUBLE_EQ(with_sequence(w, 1024).model.training_flops_per_token(), before);
  const Effort e = effort(load_machine("h200"), 3.6e12, 1e6, 16);
  EXPECT_DOUBLE_EQ(e.hours, 1000);
  EXPECT_DOUBLE_EQ(e.device_hours, 16000);
  EXPECT_DOUBLE_EQ(e.node_hours, 2000);
  EXPECT_DOUBLE_EQ(e.megawatt_hours, 16000 * 700 / 1e6);
  // 2,000 checkpoints of a minute and a half.
  const Effort written =
      effort(load_machine("h200"), 3.6e12, 1e6, 16, {Seconds(90), Seconds(1800)});
  EXPECT_DOUBLE_EQ(written.checkpoint_hours, 50);
  EXPECT_DOUBLE_EQ(written.hours, 1050);
  EXPECT_DOUBLE_EQ(written.device_hours, 16 * 1050);
}

}  // namespace
}  // namespace ocoee::plan
