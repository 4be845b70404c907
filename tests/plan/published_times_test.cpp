// SPDX-License-Identifier: Apache-2.0
// The planner's seconds against published runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "plan/gpt_workload.h"

namespace ocoee::plan {
namespace {

// Korthikanti et al. (2205.05198), Table 5: seconds a step on A100, t = 8, full recompute without
// sharded norms, and selective recompute with them.
struct Published {
  const char* name;
  int64_t layers, width, heads, micro, pipeline, chunks, batch;
  double full, selective;
};
const Published kTable5[] = {{"22B", 48, 6144, 64, 4, 1, 1, 4, 1.42, 1.10},
                             {"175B", 96, 12288, 96, 1, 8, 3, 64, 18.13, 13.75},
                             {"530B", 105, 20480, 128, 1, 35, 3, 280, 49.05, 37.83},
                             {"1T", 128, 25600, 160, 1, 64, 1, 512, 94.42, 71.49}};

double error_of(const Published& run, bool selective) {
  System system = system_named("megatron");
  system.norms_sharded = selective;
  Predictor predictor(gpt(run.layers, run.width, run.heads, 51200, run.batch), system,
                      load_machine("a100"));
  Configuration c;
  c.tensor = 8;
  c.pipeline = run.pipeline;
  c.chunks = run.chunks;
  c.micro = run.micro;
  c.schedule = run.chunks > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  c.recompute = selective ? Recompute::selective : Recompute::full;
  EXPECT_EQ(predictor.problem(c), "");
  const double seconds = predictor.simulate(c).seconds;
  const double observed = selective ? run.selective : run.full;
  std::printf("  %-5s %-22s predicted %6.2f s, measured %6.2f s, %+.1f %%\n", run.name,
              selective ? "selective, norms split" : "full", seconds, observed,
              100 * (seconds / observed - 1));
  return std::abs(seconds / observed - 1);
}

TEST(Predict, TimesOfPublishedRunsOnA100) {
  double sum = 0, most = 0, sum_of_others = 0;
  for (const Published& run : kTable5) {
    for (const bool selective : {false, true}) {
      const double error = error_of(run, selective);
      const bool is_oracle = run.width <= 12288;
      (is_oracle ? sum : sum_of_others) += error;
      if (is_oracle) most = std::max(most, error);
    }
  }
  std::printf(
      "  22B and 175B: mean %.2f %%, largest %.2f %%\n  all eight: mean %.2f %%; Calculon: "
      "mean 3.65 %%, largest 8.87 %%\n",
      25 * sum, 100 * most, 12.5 * (sum + sum_of_others));
  EXPECT_LE(sum / 4, 0.03);
  EXPECT_LE(most, 0.06);
  EXPECT_LE(sum_of_others / 4, 0.03);
}

// Korthikanti et al., Table 4: forward and backward milliseconds of one layer of the 22B model.
// The A100 profile's curves were set on these.
TEST(Predict, TimesOfOneLayerOnA100) {
  struct Row {
    bool norms_sharded;
    Recompute recompute;
    double milliseconds;
  };
  for (const Row& row : {Row{false, Recompute::none, 19.6},
                         {true, Recompute::none, 19.0},
                         {false, Recompute::full, 27.2},
                         {false, Recompute::selective, 20.9},
                         {true, Recompute::selective, 20.3}}) {
    System system = system_named("megatron");
    system.norms_sharded = row.norms_sharded;
    const Workload workload = gpt(48, 6144, 64, 51200, 4);
    BlockCosts costs(workload, system, load_machine("a100"));
    const BlockCost& layer = costs.at({8, 1, 4})[1];
    const double seconds = layer.forward.total() + layer.input.total() + layer.weight.total() +
                           layer.again[static_cast<size_t>(row.recompute)].total();
    EXPECT_NEAR(1e3 * seconds / row.milliseconds, 1, 0.05) << row.milliseconds;
  }
}

struct FrontierRun {
  const char* shape;
  int64_t tensor, pipeline, data, micro_batches;
};

double frontier_hfu(const FrontierRun& run) {
  const models::NamedShape& shape = models::named_shape(run.shape);
  Workload w;
  w.name = run.shape;
  w.model = models::build_gpt(shape.config, shape.vocabulary);
  w.sequence = 2048;
  w.global_batch = run.micro_batches * run.data;
  w.compute = "float16";
  Predictor predictor(w, system_named("megatron_deepspeed"), load_machine("frontier"));
  Configuration c;
  c.tensor = run.tensor;
  c.pipeline = run.pipeline;
  c.data = run.data;
  c.recompute = Recompute::full;
  c.shard = Shard::states;
  EXPECT_EQ(predictor.problem(c), "");
  const Prediction p = predictor.simulate(c);
  EXPECT_TRUE(p.fits);
  return predictor.executed_flops(c) / p.seconds /
         (static_cast<double>(c.devices()) * predictor.peak_flops());
}

// Dash et al. (2312.12705), abstract: shares of the peak with recompute counted.
TEST(Predict, ShareOfPeakOnFrontier) {
  struct Row {
    FrontierRun run;
    double measured;
  };
  for (const Row& row : {Row{{"22b", 1, 8, 2, 320}, 0.3838},
                         {{"175b", 4, 16, 16, 640}, 0.3614},
                         {{"1t", 8, 64, 6, 1600}, 0.3196}}) {
    const double hfu = frontier_hfu(row.run);
    std::printf("  %-5s HFU predicted %.1f %%, measured %.1f %%\n", row.run.shape, 100 * hfu,
                100 * row.measured);
    EXPECT_NEAR(hfu / row.measured, 1, 0.15) << row.run.shape;
  }
}

TEST(Predict, ScalingOnFrontier) {
  const double weak = frontier_hfu({"1t", 8, 64, 6, 1600}) / frontier_hfu({"1t", 8, 64, 2, 1600});
  const double weak175 =
      frontier_hfu({"175b", 4, 16, 16, 640}) / frontier_hfu({"175b", 4, 16, 2, 640});
  const double strong175 =
      frontier_hfu({"175b", 4, 16, 16, 500}) / frontier_hfu({"175b", 4, 16, 2, 4000});
  const double strong1t =
      frontier_hfu({"1t", 8, 64, 6, 1336}) / frontier_hfu({"1t", 8, 64, 2, 4008});
  std::printf("  weak %.1f and %.1f %% (100); strong %.1f %% (89.9), %.1f %% (87.1)\n",
              100 * weak175, 100 * weak, 100 * strong175, 100 * strong1t);
  EXPECT_NEAR(weak175, 1, 0.05);
  EXPECT_NEAR(weak, 1, 0.05);
  EXPECT_NEAR(strong175, 0.89, 0.05);
  EXPECT_NEAR(strong1t, 0.87, 0.05);
}

}  // namespace
}  // namespace ocoee::plan
