// SPDX-License-Identifier: Apache-2.0
// Bytes cost what the caches say, by what lies between two uses of them.
#include "plan/reuse.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "plan/gpt_workload.h"
#include "plan/timer.h"

namespace ocoee::plan {
namespace {

// 1e11 bytes/s up to 1 MB, and 1e10 from `far` on; products and attention at one rate whatever
// their size.
Machine cached(double far = 1.0001e6) {
  return parse_machine(fmt::format(R"(
version = 1
[machine]
name = "cached"
[device]
name = "a processor"
memory = 1e12
bandwidth = 1e11
float32 = 1e12
reuse_at = [1e6, {}]
reuse_share = [1, 0.1]
[node]
devices = 1
bandwidth = 1e9
[network]
devices = 1
bandwidth = 1e9
)",
                                   far),
                       "cached");
}

Machine without_caches() {
  Machine machine = cached();
  machine.device.reuse = {};
  return machine;
}

Workload small_gpt() {
  models::GptConfig config;
  config.layers = 4, config.width = 128, config.heads = 4, config.context = 256;
  Workload w;
  w.model = models::build_gpt(config, 512);
  w.sequence = 256;
  w.global_batch = 8;
  w.compute = "float32";
  return w;
}

TEST(Reuse, AByteCostsTheMeanOverTheDistancesOfAWalkForwardAndBack) {
  const Device device = cached().device;
  EXPECT_DOUBLE_EQ(seconds_a_byte(device, 0).value, 1e-11);
  EXPECT_DOUBLE_EQ(seconds_a_byte(device, 1e6).value, 1e-11);
  EXPECT_NEAR(seconds_a_byte(device, 4e6).value, (1e-11 + 3 * 1e-10) / 4, 1e-16);
  EXPECT_NEAR(seconds_a_byte(device, 1e12).value, 1e-10, 1e-15);
}

TEST(Reuse, WithoutItsCurveNothingIsKnownOfIt) {
  EXPECT_EQ(seconds_a_byte(without_caches().device, 4e6).value, 0);
}

TEST(Reuse, WhatMovesComesOnTopOfArithmetic) {
  const Device device = cached().device;
  const Timer timer(device, FlopsPerSecond(1e12), 4, 256, Seconds(1e-10));
  const double flops = 2.0 * 256 * 512 * 128, bytes = 4.0 * (256 * 128 + 128 * 512 + 256 * 512);
  EXPECT_DOUBLE_EQ(timer.product(256, 512, 128), flops / 1e12 + bytes * 1e-10);
  EXPECT_DOUBLE_EQ(timer.stream(1e6, 3e-4), 3e-4 + 1e-4);
  const auto [forward, backward] = timer.attention(1e9, 64, 256, 1024, 1e6);
  EXPECT_NEAR(forward, 1e-3 + 1e-4, 1e-12);
  EXPECT_NEAR(backward, 2e-3 + 2e-4, 1e-12);
}

TEST(Reuse, FootprintIsWhatBlocksKeepTheirWeightsAndGradients) {
  BlockCost small, large;
  small.saved = {100, 80, 10}, small.parameters = 5;
  large.saved = {300, 200, 10}, large.parameters = 7;
  const std::vector<BlockCost> blocks{small, large};
  const std::vector<size_t> classes{0, 1, 1};
  EXPECT_EQ(footprint(blocks, classes, Recompute::none, 2, 4), 700 + 19 * 6);
  EXPECT_EQ(footprint(blocks, classes, Recompute::selective, 2, 4), 480 + 19 * 6);
  EXPECT_EQ(footprint(blocks, classes, Recompute::full, 2, 4), 30 + 300 + 19 * 6);
}

double seconds(const Machine& machine, int64_t micro, Recompute recompute = Recompute::none) {
  Configuration c;
  c.micro = micro;
  c.recompute = recompute;
  return Predictor(small_gpt(), system_named("ocoee"), machine).predict(c).seconds;
}

// A micro-batch of one sample touches some 16 MB of this model, one of eight 80.
TEST(Reuse, MicroBatchesThatCachesHoldAreTheQuickerOnes) {
  const Machine machine = cached(32e6);
  EXPECT_LT(seconds(machine, 1), 0.95 * seconds(machine, 8));
  EXPECT_LT(seconds(machine, 1), seconds(machine, 2));
  EXPECT_LT(seconds(machine, 2), seconds(machine, 4));
  EXPECT_NEAR(seconds(without_caches(), 1) / seconds(without_caches(), 8), 1, 1e-6);
}

// What is made again is near: it makes a step longer by less than it does where all bytes are far.
TEST(Reuse, FullRecomputeTouchesLess) {
  const auto longer = [](const Machine& machine) {
    return seconds(machine, 8, Recompute::full) / seconds(machine, 8);
  };
  Machine far = cached();
  far.device.reuse = {{1}, {0.1}};
  EXPECT_LT(longer(cached(64e6)), 0.98 * longer(far));
}

TEST(Reuse, StagesOfAPipelineTouchTheirShare) {
  const Workload workload = small_gpt();
  BlockCosts costs(workload, system_named("ocoee"), cached(64e6));
  const auto forward = [&](int64_t stages) {
    return costs.at({1, 1, 8, stages})[1].forward.total();
  };
  EXPECT_LT(forward(4), 0.95 * forward(1));
}

}  // namespace
}  // namespace ocoee::plan
