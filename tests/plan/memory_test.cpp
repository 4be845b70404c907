// SPDX-License-Identifier: Apache-2.0
#include "plan/memory.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "core/error.h"
#include "models/shapes.h"
#include "plan/predict.h"

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

double gib(double bytes) {
  return bytes / kGiB;
}

double held(const StageMemory& stage, Held category) {
  return stage.bytes[static_cast<size_t>(category)];
}

// The published formulas count the matrices of transformer layers, and what these keep for their
// backward pass without statistics of norms.
Workload as_published(const Oracle& o) {
  models::GptConfig config;
  config.layers = o.layers, config.width = o.width, config.heads = o.heads, config.context = 2048;
  Workload w;
  w.model = models::build_gpt(config, 51200);
  for (size_t b = 0; b < w.model.blocks.size(); ++b) {
    const bool inner = b > 0 && b + 1 < w.model.blocks.size();
    std::vector<LayerSpec>& layers = w.model.blocks[b].layers;
    if (!inner) std::erase_if(layers, [](const LayerSpec& l) { return l.kind == "norm"; });
    for (LayerSpec& layer : layers) {
      std::erase_if(layer.parameters,
                    [&](const ParameterSpec& p) { return !inner || p.shape.size() < 2; });
      layer.cost.saved_bytes_fixed = 0;
    }
  }
  w.sequence = 2048;
  w.global_batch = 8 * o.micro * o.stages;
  return w;
}

// Of the first stage, where most micro-batches are in flight.
StageMemory first_stage(const Oracle& o, bool norms_sharded, Recompute recompute) {
  System system = system_named("megatron");
  system.norms_sharded = norms_sharded;
  Predictor predictor(as_published(o), system, load_machine("a100"));
  Configuration c;
  c.tensor = 8, c.pipeline = o.stages, c.chunks = o.chunks, c.micro = o.micro;
  c.schedule = o.chunks > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  c.recompute = recompute;
  EXPECT_EQ(predictor.problem(c), "") << o.name;
  return predictor.stage_memory(c).front();
}

double layers_keep(const StageMemory& stage) {  // all but the embedding, which they leave out
  double sum = 0;
  for (const char* kind : {"norm", "attention", "mlp"}) sum += stage.activations.at(kind);
  return sum;
}

TEST(Memory, TwelvePublishedOracles) {
  for (const Oracle& o : kOracles) {
    const StageMemory none = first_stage(o, false, Recompute::none),
                      selective = first_stage(o, true, Recompute::selective);
    EXPECT_NEAR(gib(layers_keep(none)) / o.none, 1, 1e-9) << o.name;
    EXPECT_NEAR(gib(layers_keep(selective)) / o.selective, 1, 1e-9) << o.name;
    double state = 0;
    for (const Held category : {Held::parameters, Held::gradients, Held::masters, Held::optimizer})
      state += held(none, category);
    EXPECT_NEAR(gib(state) / o.state, 1, 1e-9) << o.name;
  }
}

// One matrix a block, of so many elements; nothing is kept of a pass.
Workload blocks_of(const std::vector<int64_t>& elements) {
  Workload w;
  w.compute = "float32";
  for (const int64_t count : elements) {
    LayerSpec layer;
    layer.kind = "dense", layer.name = "block" + std::to_string(w.model.blocks.size());
    ParameterSpec& matrix = layer.parameters.emplace_back();
    matrix.name = layer.name + ".weight", matrix.shape = {count};
    w.model.blocks.emplace_back().layers.push_back(layer);
  }
  return w;
}

// Bytes of blocks that come and go on one of two ranks.
double flowing(Workload w, Shard shard, int64_t micro_batches) {
  Configuration c;
  c.data = 2, c.shard = shard;
  w.global_batch = 2 * micro_batches;
  return Predictor(w, system_named("ocoee"), unknown_machine()).predict(c).of(Held::communication);
}

// By hand, in float32. tests/parallel holds the engine to the same.
TEST(Memory, WhatFlowsThroughARankIsThatOfTheWorstBlock) {
  const Workload w = blocks_of({10, 20, 30, 40});
  // The second block: its own gradient and those of the third and fourth, and slices of all three.
  EXPECT_EQ(flowing(w, Shard::gradients, 2), 4 * (20 + 30 + 40) + 4 * (10 + 15 + 20));
  // Any but the first: as it runs, its values and the next ones are there.
  EXPECT_EQ(flowing(w, Shard::parameters, 2), 4 * (20 + 30 + 40) + 4 * (15 + 20) + 4 * (20 + 10));
  const Workload ends = blocks_of({100, 2, 2, 2, 100});
  // The last block of the next micro-batch, with the first one's sum under way.
  EXPECT_EQ(flowing(ends, Shard::gradients, 2), 4 * (100 + 100 + 2) + 4 * (50 + 50 + 1));
  // Of one micro-batch the first block, as its own sum begins; its values are there still.
  EXPECT_EQ(flowing(ends, Shard::gradients, 1), 4 * (100 + 2 + 2) + 4 * (50 + 1 + 1));
  EXPECT_EQ(flowing(ends, Shard::parameters, 1), 4 * (100 + 2 + 2) + 4 * (50 + 1 + 1) + 4 * 100);
  EXPECT_EQ(flowing(ends, Shard::states, 2), 0);
  // No sum of a block's own is under way when it runs again: one whole gradient, and its slice.
  EXPECT_EQ(flowing(blocks_of({100}), Shard::gradients, 2), 4 * 100 + 4 * 50);
}

// Most bytes of tensors on either of two ranks: bench/shard_memory on CPUs (commit cd2f53c) and on
// an H200 (2a0f8f0), in bench/engine.md, "Memory and scale of the engine".
TEST(Memory, PlansOfEveryLevelAreNotBelowWhatTheEngineHeld) {
  struct Measured {
    Machine machine;
    const char* compute;
    double mebibytes[4];  // none, states, gradients, parameters
    double most;          // planned over measured
  };
  const Machine cpu = unknown_machine(), gpu = load_machine("h200");
  models::GptConfig config;
  config.layers = 24, config.width = 1024, config.heads = 16, config.context = 32;
  config.tied = "no";
  Workload w;
  w.model = models::build_gpt(config, 512);
  w.sequence = 32;
  w.global_batch = 4;
  for (const Measured& run : {Measured{cpu, "float32", {4678.2, 4099.6, 3730.5, 2647.8}, 1.004},
                              {cpu, "bfloat16", {5256.5, 3520.5, 3132.0, 2890.7}, 1.004},
                              {gpu, "float32", {4713.8, 4101.5, 3732.4, 2649.1}, 1.03},
                              {gpu, "bfloat16", {5267.3, 3529.8, 3141.3, 2899.4}, 1.03}}) {
    w.compute = run.compute;
    Predictor predictor(w, system_named("ocoee"), run.machine);
    for (size_t level = 0; level < 4; ++level) {
      Configuration c;
      c.data = 2, c.shard = static_cast<Shard>(level);
      const double planned = predictor.predict(c).total_bytes / kMiB;
      SCOPED_TRACE(run.compute + std::string(" ") + name_of(c.shard));
      EXPECT_GE(planned, run.mebibytes[level]);
      EXPECT_LE(planned, run.most * run.mebibytes[level]);
    }
  }
}

// The 175B run on Frontier of which there is a log: tensor 4, pipeline 16, data 2, ZeRO-1 that
// splits gradients too.
Predictor frontier_run() {
  const models::NamedShape& shape = models::named_shape("175b");
  Workload w;
  w.model = models::build_gpt(shape.config, shape.vocabulary);
  w.sequence = 2048;
  w.global_batch = 640;
  w.compute = "float16";
  return Predictor(w, system_named("megatron_deepspeed"), load_machine("frontier"));
}
Configuration frontier_layout() {
  Configuration c;
  c.tensor = 4, c.pipeline = 16, c.data = 2;
  c.shard = Shard::states, c.recompute = Recompute::full;
  return c;
}

double states(const StageMemory& stage) {
  return held(stage, Held::parameters) + held(stage, Held::gradients) + held(stage, Held::masters) +
         held(stage, Held::optimizer);
}

TEST(Memory, CountsAndStaticMemoryOfTheFrontierLog) {
  Predictor predictor = frontier_run();
  const std::vector<StageMemory> stages = predictor.stage_memory(frontier_layout());
  const StageMemory &first = stages.front(), &middle = stages[7];
  EXPECT_EQ(held(first, Held::parameters), 2 * 2899359744.0);
  EXPECT_EQ(held(middle, Held::parameters), 2 * 2718480384.0);
  EXPECT_DOUBLE_EQ(states(first), 9 * 2899359744.0);
  EXPECT_DOUBLE_EQ(states(middle), 9 * 2718480384.0);
  EXPECT_NEAR(states(middle) / kMiB / 23360.9, 1, 0.002);
  const Prediction whole = predictor.predict(frontier_layout());
  EXPECT_EQ(whole.fullest, 0);
  EXPECT_LT(whole.total_bytes, 64 * kGiB);
}

TEST(Memory, FallsWithTheLevelOfZero) {
  Predictor predictor = frontier_run();
  Configuration c = frontier_layout();
  c.data = 4;
  std::vector<double> bytes;
  for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
    c.shard = shard;
    bytes.push_back(predictor.predict(c).total_bytes);
  }
  EXPECT_LT(bytes[1], bytes[0]);
  EXPECT_EQ(bytes[2], bytes[1]);
  EXPECT_LT(bytes[3], bytes[2]);
}

double a_parameter(const StateRules& rules, int64_t data) {
  return rules.weights.on_rank(data) + rules.gradients.on_rank(data) + rules.masters.on_rank(data) +
         rules.moments.on_rank(data);
}

TEST(Memory, PublishedPresets) {
  EXPECT_DOUBLE_EQ(a_parameter(state_rules("megatron"), 64), 18);
  EXPECT_DOUBLE_EQ(a_parameter(state_rules("megatron_distributed"), 4), 6 + 12.0 / 4);
  EXPECT_DOUBLE_EQ(a_parameter(state_rules("zero2"), 4), 2 + 14.0 / 4);
  EXPECT_DOUBLE_EQ(a_parameter(state_rules("zero3"), 4), 16.0 / 4);
}

TEST(Memory, FallsWithEveryShardLevel) {
  for (const int64_t compute : {2, 4}) {
    for (const int64_t data : {2, 3, 8, 64}) {
      double before = a_parameter(engine_state_rules(compute, "none"), data);
      EXPECT_DOUBLE_EQ(before, compute == 2 ? 18 : 16);
      for (const char* shard : {"states", "gradients", "parameters"}) {
        const double now = a_parameter(engine_state_rules(compute, shard), data);
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
      EXPECT_DOUBLE_EQ(a_parameter(engine_state_rules(2, shard), data) -
                           a_parameter(engine_state_rules(2, shard, 2), data),
                       cut);
    }
  }
}

TEST(Memory, RecomputeHoldsLess) {
  double before = 1e300;
  for (const Recompute mode : {Recompute::none, Recompute::selective, Recompute::full}) {
    const double now = held(first_stage(kOracles[3], true, mode), Held::activations);
    EXPECT_LT(now, before) << name_of(mode);
    before = now;
  }
}

TEST(Memory, StagesHoldAsManyMicroBatchesAsTheirScheduleHasInFlight) {
  Oracle o = kOracles[1];
  o.chunks = 1;
  Predictor predictor(as_published(o), system_named("megatron"), load_machine("a100"));
  Configuration c;
  c.tensor = 8, c.pipeline = 8;
  const std::vector<StageMemory> stages = predictor.stage_memory(c);
  for (size_t s = 0; s < 8; ++s) {
    EXPECT_EQ(stages[s].in_flight, static_cast<int64_t>(8 - s));
    EXPECT_NEAR(layers_keep(stages[s]) / layers_keep(stages[7]), static_cast<double>(8 - s), 1e-9);
  }
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
  expect_message([] { state_rules("zero_2"); }, "did you mean 'zero2'");
  expect_message([] { engine_state_rules(2, "state"); }, "did you mean 'states'");
  expect_message([] { engine_state_rules(1, "none"); }, "precision.compute");
}

}  // namespace
}  // namespace ocoee::plan
