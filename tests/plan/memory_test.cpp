// SPDX-License-Identifier: Apache-2.0
#include "plan/memory.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/error.h"
#include "models/shapes.h"

namespace ocoee::plan {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024, kMiB = 1024.0 * 1024;

// Table of Korthikanti et al. (2205.05198): GiB a GPU of the first stage, s = 2048, t = 8.
struct Oracle {
  const char* name;
  int64_t layers, width, heads, micro;
  int stages, chunks;
  double none, selective, state;
};
const Oracle kOracles[] = {
    {"22B", 48, 6144, 64, 4, 1, 1, 59.25, 9.5625, 45.5625},
    {"175B", 96, 12288, 96, 1, 8, 3, 66.84375, 12.3515625, 45.5625},
    {"530B", 105, 20480, 128, 1, 35, 3, 114.0234375, 23.076171875, 31.640625},
    {"1T", 128, 25600, 160, 1, 64, 1, 131.25, 26.5625, 32.958984375},
};

double gib_of(const Oracle& o, bool norms_sharded, Recompute recompute) {
  ScheduleRequest schedule;
  schedule.kind = o.chunks > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  schedule.stages = o.stages;
  schedule.chunks = o.chunks;
  schedule.micro_batches = 8 * o.stages;
  return stage_activation_bytes({o.layers, o.width, o.heads, 2048}, o.micro, 8, norms_sharded,
                                recompute, schedule, 0) /
         kGiB;
}

TEST(Memory, TwelvePublishedOracles) {
  for (const Oracle& o : kOracles) {
    EXPECT_NEAR(gib_of(o, false, Recompute::none) / o.none, 1, 1e-9) << o.name;
    EXPECT_NEAR(gib_of(o, true, Recompute::selective) / o.selective, 1, 1e-9) << o.name;
    const double weights = 12.0 * static_cast<double>(o.layers * o.width * o.width) /
                           (8.0 * static_cast<double>(o.stages));
    const double state = weights * state_rules("megatron").bytes_per_parameter(1) / kGiB;
    EXPECT_NEAR(state / o.state, 1, 1e-9) << o.name;
  }
}

// One matrix a block, of so many elements.
ModelSpec blocks_of(const std::vector<int64_t>& elements) {
  ModelSpec model;
  for (const int64_t count : elements) {
    LayerSpec layer;
    layer.kind = "mlp", layer.name = "block" + std::to_string(model.blocks.size());
    ParameterSpec& matrix = layer.parameters.emplace_back();
    matrix.name = layer.name + ".weight", matrix.shape = {count};
    model.blocks.emplace_back().layers.push_back(layer);
  }
  return model;
}

// By hand, on two ranks in float32. tests/parallel holds the engine to the same form.
TEST(Memory, WhatFlowsThroughARankIsThatOfTheWorstBlock) {
  const ModelSpec model = blocks_of({10, 20, 30, 40});
  UnitFlow flow{4, 4, "gradients", 2};
  // The second block: its own gradient and those of the third and fourth, and slices of all three.
  EXPECT_EQ(live_unit_bytes(model, flow), 4 * (20 + 30 + 40) + 4 * (10 + 15 + 20));
  flow.shard =
      "parameters";  // any but the first: as it runs its values and the next ones are there
  EXPECT_EQ(live_unit_bytes(model, flow), 4 * (20 + 30 + 40) + 4 * (15 + 20) + 4 * (20 + 10));
  const ModelSpec ends = blocks_of({100, 2, 2, 2, 100});
  flow.shard = "gradients";
  // The last block of the next micro-batch, with the first one's sum under way.
  EXPECT_EQ(live_unit_bytes(ends, flow), 4 * (100 + 100 + 2) + 4 * (50 + 50 + 1));
  flow.goes_on = false;  // the first block, as its own sum begins
  EXPECT_EQ(live_unit_bytes(ends, flow), 4 * (100 + 2 + 2) + 4 * (50 + 1 + 1));
  flow.shard = "parameters";  // its values are there still
  EXPECT_EQ(live_unit_bytes(ends, flow), 4 * (100 + 2 + 2) + 4 * (50 + 1 + 1) + 4 * 100);
  flow.shard = "states";
  EXPECT_EQ(live_unit_bytes(ends, flow), 0);
  flow.compute_bytes = 2, flow.adds_products = false;
  EXPECT_EQ(live_unit_bytes(ends, flow), (2 + 4) * 100);
  flow.shard = "none";  // written, not added
  EXPECT_EQ(live_unit_bytes(ends, flow), 2 * 100);
}

ModelSpec slice(const ModelSpec& model, size_t first, size_t last) {
  ModelSpec part;
  part.family = model.family;
  part.blocks.assign(model.blocks.begin() + static_cast<std::ptrdiff_t>(first),
                     model.blocks.begin() + static_cast<std::ptrdiff_t>(last));
  return part;
}

// The log of a 175B run on Frontier: tensor 4, pipeline 16, data 2, ZeRO-1 with split gradients.
TEST(Memory, CountsAndStaticMemoryOfTheFrontierLog) {
  const models::NamedShape& shape = models::named_shape("175b");
  const ModelSpec model = models::build_gpt(shape.config, shape.vocabulary);
  const int64_t first = tensor_rank_parameters(slice(model, 0, 7), 4);
  const int64_t middle = tensor_rank_parameters(slice(model, 7, 13), 4);
  EXPECT_EQ(first, 2899359744);
  EXPECT_EQ(middle, 2718480384);
  const double bytes = state_rules("deepspeed_frontier").bytes_per_parameter(2);
  EXPECT_DOUBLE_EQ(bytes, 9);
  EXPECT_NEAR(static_cast<double>(middle) * bytes / kMiB / 23360.9, 1, 0.002);
}

TEST(Memory, PublishedPresets) {
  EXPECT_DOUBLE_EQ(state_rules("megatron").bytes_per_parameter(64), 18);
  EXPECT_DOUBLE_EQ(state_rules("megatron_distributed").bytes_per_parameter(4), 6 + 12.0 / 4);
  EXPECT_DOUBLE_EQ(state_rules("zero1").bytes_per_parameter(4), 4 + 12.0 / 4);
  EXPECT_DOUBLE_EQ(state_rules("zero2").bytes_per_parameter(4), 2 + 14.0 / 4);
  EXPECT_DOUBLE_EQ(state_rules("zero3").bytes_per_parameter(4), 16.0 / 4);
}

TEST(Memory, FallsWithEveryShardLevel) {
  for (const int64_t compute : {2, 4}) {
    for (const int64_t data : {2, 3, 8, 64}) {
      double before = engine_state_rules(compute, "none").bytes_per_parameter(data);
      EXPECT_DOUBLE_EQ(before, compute == 2 ? 18 : 16);
      for (const char* shard : {"states", "gradients", "parameters"}) {
        const double now = engine_state_rules(compute, shard).bytes_per_parameter(data);
        EXPECT_LT(now, before) << shard << " over " << data;
        before = now;
      }
      EXPECT_DOUBLE_EQ(before, (compute == 2 ? 18.0 : 16.0) / static_cast<double>(data));
    }
  }
}

TEST(Memory, GradientsInTwoBytesTakeTwoLess) {
  for (const int64_t data : {1, 2, 8}) {
    for (const char* shard : {"none", "states", "gradients", "parameters"}) {
      const double cut = std::string(shard) == "none" || std::string(shard) == "states"
                             ? 2
                             : 2.0 / static_cast<double>(data);
      EXPECT_DOUBLE_EQ(engine_state_rules(2, shard).bytes_per_parameter(data) -
                           engine_state_rules(2, shard, 2).bytes_per_parameter(data),
                       cut);
    }
  }
}

TEST(Memory, RecomputeAndLaterStagesHoldLess) {
  const Oracle& o = kOracles[3];
  EXPECT_LT(gib_of(o, true, Recompute::full), gib_of(o, true, Recompute::selective));
  EXPECT_LT(gib_of(o, true, Recompute::selective), gib_of(o, true, Recompute::none));
  ScheduleRequest schedule;
  schedule.stages = 4;
  schedule.micro_batches = 8;
  const TransformerShape shape{8, 64, 4, 32};
  const auto at = [&](int stage) {
    return stage_activation_bytes(shape, 1, 1, false, Recompute::none, schedule, stage);
  };
  EXPECT_DOUBLE_EQ(at(0), 4 * at(3));
}

void expect_message(const std::function<void()>& call, const std::string& part) {
  try {
    call();
    FAIL() << "nothing thrown for " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Memory, MistakesSayWhereAndHow) {
  expect_message([] { state_rules("zero_1"); }, "did you mean 'zero1'");
  expect_message([] { engine_state_rules(2, "state"); }, "did you mean 'states'");
  expect_message([] { engine_state_rules(1, "none"); }, "precision.compute");
  expect_message([] { state_rules("zero1").bytes_per_parameter(0); }, "data axis");
  const models::NamedShape& shape = models::named_shape("gpt2-124m");
  const ModelSpec model = models::build_gpt(shape.config, shape.vocabulary);
  expect_message([&] { tensor_rank_parameters(model, 5); }, "wte.weight");
  ScheduleRequest schedule;
  schedule.stages = 5;
  schedule.micro_batches = 5;
  expect_message(
      [&] {
        stage_activation_bytes({12, 64, 4, 32}, 1, 1, false, Recompute::none, schedule, 0);
      },
      "multiple of 5");
}

}  // namespace
}  // namespace ocoee::plan
