// SPDX-License-Identifier: Apache-2.0
// What a plan counts: bytes of layers, ranks and runs, and what layers cost.
#include <gtest/gtest.h>

#include <cstdio>

#include "plan/gpt_workload.h"

namespace ocoee::plan {
namespace {

// Korthikanti et al., section 4: bytes that a layer of width 6,144 with 64 heads keeps of a
// micro-batch, 2,048 tokens a sample, at 16 bit.
double published_layer_bytes(double micro, double tensor, bool norms_sharded, Recompute mode) {
  const double sbh = 2048 * micro * 6144, norms = norms_sharded ? tensor : 1;
  if (mode == Recompute::full) return 2 * sbh / norms;
  const double scores = mode == Recompute::none ? 5.0 * 64 * 2048 / 6144 : 0;
  return sbh * (10 / norms + (24 + scores) / tensor);
}

// What a stage's start was seen to take on one machine is no property of the software elsewhere.
TEST(Predict, StartsOfStagesAreLostWhereTheMachineSaysSo) {
  Machine machine = load_machine("dgx-h100");
  Configuration c;
  c.tensor = 8;
  c.pipeline = 16;
  c.data = 8;
  c.recompute = Recompute::full;
  c.shard = Shard::states;
  const auto seconds = [&](const char* system) {
    return Predictor(gpt(96, 12288, 96, 51200, 1024), system_named(system), machine)
        .predict(c)
        .seconds;
  };
  const double before = seconds("megatron_deepspeed"), engine = seconds("ocoee");
  machine.deepspeed_stage_start = Seconds(2.1);
  EXPECT_NEAR(seconds("megatron_deepspeed"), before + 15 * 2.1, 1e-6);
  EXPECT_EQ(seconds("ocoee"), engine);
  EXPECT_EQ(load_machine("dgx-h100").deepspeed_stage_start.value, 0);
}

// The pieces that the planner adds up are those of the published activation formulas.
TEST(Predict, ActivationsOfALayerEqualThePublishedFormulas) {
  for (const bool sharded : {false, true}) {
    for (const int64_t tensor : {1, 2, 8}) {
      System system = system_named("megatron");
      system.norms_sharded = sharded;
      const Workload w = gpt(4, 6144, 64, 51200, 8);
      BlockCosts costs(w, system, load_machine("a100"));
      const BlockCost& layer = costs.at({tensor, 1, 4})[1];
      for (const Recompute mode : {Recompute::none, Recompute::selective, Recompute::full}) {
        const double formula = published_layer_bytes(4, static_cast<double>(tensor), sharded, mode);
        // The formulas leave out what norms keep of their statistics: 16 bytes a token.
        const double statistics =
            mode == Recompute::full ? 0 : 2 * 8.0 * 4 * 2048 / (sharded ? double(tensor) : 1);
        EXPECT_NEAR((layer.saved[static_cast<size_t>(mode)] - statistics) / formula, 1, 1e-9);
      }
    }
  }
}

TEST(Predict, BytesOfOneRankEqualTheModelsSpec) {
  const Workload w = gpt(4, 512, 8, 1000, 8);
  BlockCosts costs(w, system_named("ocoee"), load_machine("h200"));
  double saved = 0, selective = 0, parameters = 0;
  for (const size_t k : costs.class_of_block()) {
    saved += costs.at({1, 1, 2})[k].saved[0];
    selective += costs.at({1, 1, 2})[k].saved[1];
    parameters += costs.at({1, 1, 2})[k].parameters;
  }
  EXPECT_DOUBLE_EQ(saved, w.model.saved_bytes_per_token(2) * 2 * 2048);
  EXPECT_DOUBLE_EQ(selective, w.model.saved_bytes_per_token(2, true) * 2 * 2048);
  EXPECT_DOUBLE_EQ(parameters, static_cast<double>(w.model.parameters()));
}

// An eighth of the logits, in hardly more time.
TEST(Predict, LogitsInChunksTakeLessMemoryAndHardlyMoreTime) {
  Configuration c;
  c.micro = 8;
  const auto predicted = [&](int64_t chunks) {
    return Predictor(gpt(12, 768, 12, 51200, 8, chunks), system_named("ocoee"),
                     load_machine("h200"))
        .predict(c);
  };
  const Prediction whole = predicted(1), parts = predicted(8);
  const double tokens = 8 * 2048, logits = 2 * tokens * 51200;
  EXPECT_NEAR(whole.total_bytes - parts.total_bytes, logits * 7 / 8, 0.1 * logits);
  // They are made once: eight additions to the weight gradient are less than a product more.
  const double product = 2 * tokens * 768 * 51200 / 989.5e12;
  EXPECT_GT(parts.seconds, whole.seconds - 0.1 * product);
  EXPECT_LT(parts.seconds, whole.seconds + 0.5 * product);
}

TEST(Predict, LayersCostWhatIsKnownOfTheirKindBesideTheirWork) {
  Machine endless = load_machine("h200");
  endless.device.bandwidth = BytesPerSecond(1e30);
  endless.device.bfloat16 = 1e30;
  for (double Device::*seconds : {&Device::activation, &Device::activation_gradient, &Device::norm,
                                  &Device::norm_gradient, &Device::loss})
    endless.device.*seconds = 0;
  endless.device.launch = Seconds(1);
  for (auto& [kind, seconds] : endless.device.fixed) seconds = {1e-3, 2e-3};
  endless.device.fixed["attention"] = {4e-3, 6e-3};
  const Workload w = gpt(3, 512, 8, 1000, 8);
  Configuration c;
  c.micro = 2;
  // 4 micro-batches; embedding, final norm, head, and in each block two norms, a feed-forward layer
  // and attention. With full recompute blocks run forward once more.
  const double forward = 3 * 1e-3 + 3 * (3 * 1e-3 + 4e-3), backward = 3 * 2e-3 + 3 * (6e-3 + 6e-3);
  EXPECT_NEAR(Predictor(w, system_named("ocoee"), endless).predict(c).seconds,
              4 * (forward + backward), 1e-9);
  c.recompute = Recompute::full;
  EXPECT_NEAR(Predictor(w, system_named("ocoee"), endless).predict(c).seconds,
              4 * (forward + backward + 3 * (3 * 1e-3 + 4e-3)), 1e-9);
  endless.device.fixed.clear();  // a launch for each of many operations
  EXPECT_GT(Predictor(w, system_named("ocoee"), endless).predict(c).seconds, 4 * 3 * 20);
}

// What LibTorch holds on a CPU grows with the threads of a rank, and tables of rotary positions
// with the layers.
TEST(Predict, ScratchOfThreadsAndTablesOfPositionsAreCounted) {
  models::GptConfig config;  // its fullest moment is in attention
  config.layers = 3;
  config.width = 512;
  config.heads = 8;
  config.context = 2048;
  config.feed_forward = 8;
  Workload w = gpt(3, 512, 8, 1000, 8);
  w.model = models::build_gpt(config, 100);
  w.compute = "float32";
  Configuration c;
  c.recompute = Recompute::full;
  const auto bytes = [&] {
    return Predictor(w, system_named("ocoee"), unknown_machine()).predict(c).of(Held::temporary);
  };
  const double one = bytes();
  w.threads = 3;
  const double attention = 2 * 256 * 512 + 256;
  const double product = 256 * (528 + 512) + 64 * 512 + 320;  // oneDNN's, of a weight gradient
  EXPECT_DOUBLE_EQ(bytes() - one, 2 * 4 * (attention + product));
  w.threads = 1;
  for (BlockSpec& block : w.model.blocks) {
    for (LayerSpec& layer : block.layers) {
      if (layer.kind == "attention") layer.choices["positions"] = "rope";
    }
  }
  EXPECT_DOUBLE_EQ(bytes() - one, 3 * 4.0 * 2048 * 64);
}

// Peaks of LibTorch's allocator in runs of this engine on one H200 (commit c525662, `ocoee run` of
// text_lm by bench/plan/against_reality.py --random 60): small models and offloading, where blocks
// of memory, workspaces and what is under way count.
struct Measured {
  int64_t layers, width, heads, kv_heads, context, vocabulary;
  const char* style;
  int64_t batch, micro;
  const char *compute, *recompute;
  double dropout;
  bool offload;
  double bytes;
};
const Measured kMeasured[] = {
    {12, 256, 4, 0, 1024, 8192, "gpt2", 1, 1, "bfloat16", "full", 0, false, 274828800.0},
    {12, 512, 8, 8, 512, 8192, "llama", 4, 4, "bfloat16", "full", 0, false, 951717376.0},
    {5, 1536, 12, 12, 512, 32000, "llama", 2, 2, "float16", "selective", 0.1, false, 4615889408.0},
    {10, 512, 8, 8, 512, 32000, "llama", 2, 1, "float16", "none", 0, false, 1325881856.0},
    {2, 1024, 8, 0, 2048, 32000, "gpt2", 12, 4, "float16", "full", 0, true, 1710158336.0},
    {12, 1536, 12, 0, 512, 32000, "gpt2", 6, 2, "bfloat16", "none", 0, true, 7180243456.0},
    {9, 256, 4, 4, 512, 50304, "llama", 12, 4, "bfloat16", "full", 0, false, 847910912.0},
    {5, 256, 4, 0, 2048, 32000, "gpt2", 3, 1, "bfloat16", "selective", 0, false, 449628160.0},
    {11, 256, 4, 0, 512, 50304, "gpt2", 24, 8, "float16", "selective", 0, false, 1076503040.0},
    {9, 256, 4, 2, 1024, 32000, "llama", 6, 2, "float16", "selective", 0, false, 687092224.0},
    {5, 1536, 12, 12, 1024, 8192, "llama", 8, 8, "float16", "full", 0, false, 3633755648.0},
    {12, 768, 12, 6, 2048, 50304, "llama", 4, 4, "float16", "full", 0, false, 3846410752.0},
    {6, 1024, 8, 4, 512, 50304, "llama", 16, 8, "bfloat16", "none", 0.1, false, 4347171328.0},
    {3, 768, 12, 0, 1024, 32000, "gpt2", 6, 2, "bfloat16", "selective", 0.1, false, 1109821440.0},
};

TEST(Predict, MemoryOfRunsOnAGpuIsNeverBelowAndAtMostATenthAbove) {
  for (const Measured& run : kMeasured) {
    models::GptConfig config;
    config.layers = run.layers;
    config.width = run.width;
    config.heads = run.heads;
    config.kv_heads = run.kv_heads;
    config.context = run.context;
    config.style = run.style;
    config.dropout = run.dropout;
    Workload w;
    w.model = models::build_gpt(config, run.vocabulary);
    w.sequence = run.context;
    w.global_batch = run.batch;
    w.compute = run.compute;
    Configuration c;
    c.micro = run.micro;
    c.recompute = recompute_from_name(run.recompute);
    c.offload = run.offload;
    const double planned =
        Predictor(w, system_named("ocoee"), load_machine("h200")).predict(c).total_bytes;
    std::printf("  %.0f MB, planned %+.2f %%\n", run.bytes / 1e6, 100 * (planned / run.bytes - 1));
    EXPECT_GE(planned, run.bytes);
    EXPECT_LE(planned, 1.1 * run.bytes);
  }
}

}  // namespace
}  // namespace ocoee::plan
