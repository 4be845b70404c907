// SPDX-License-Identifier: Apache-2.0
#include "plan/launch_script.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ocoee::plan {
namespace {

// The shape of a 175B run on 16 Frontier nodes.
const char* const kScript = R"(#!/bin/bash
#SBATCH -N 16
MBS=1
GBS=${GLOBAL:-1280}
TP=4
srun --ntasks-per-node 8 python pretrain_gpt.py \
  --tensor-model-parallel-size ${TP} --pipeline-model-parallel-size 16 \
  --num-layers 96 --hidden-size 12288 --num-attention-heads 96 \
  --seq-length 2048 --micro-batch-size $MBS --global-batch-size $GBS \
  --checkpoint-activations --use-flash-attn --fp16 --zero-stage 1 \
  --deepspeed_config=ds.json
)";

LaunchedRun read(const std::string& json, const std::string& script = kScript) {
  return read_launch(script, "run.sh", json, "ds.json");
}

TEST(LaunchScript, IsReadWithItsVariables) {
  const LaunchedRun run = read(R"({"train_micro_batch_size_per_gpu": 1, "train_batch_size": 1280,
      "zero_optimization": {"stage": 1}, "fp16": {"enabled": true}})");
  EXPECT_EQ(run.layers, 96);
  EXPECT_EQ(run.width, 12288);
  EXPECT_EQ(run.tensor, 4);
  EXPECT_EQ(run.pipeline, 16);
  EXPECT_EQ(run.micro, 1);
  EXPECT_EQ(run.global_batch, 1280);
  EXPECT_EQ(run.devices, 128);
  EXPECT_EQ(run.data(), 2);
  EXPECT_EQ(run.shard(), Shard::states);
  EXPECT_EQ(run.compute, "float16");
  EXPECT_TRUE(run.recompute);
  EXPECT_TRUE(run.fused_attention);
  EXPECT_FALSE(run.norms_sharded);
  EXPECT_TRUE(run.contradictions.empty());
}

// The published mistake: 1280 / (4 x 2) = 160 passes of one sample are a quarter of 1280.
TEST(LaunchScript, TwoMicroBatchSizesAreTold) {
  const LaunchedRun run =
      read("{\n  \"train_batch_size\": 1280,\n  \"train_micro_batch_size_per_gpu\": 4\n}");
  ASSERT_EQ(run.contradictions.size(), 1u);
  EXPECT_EQ(run.contradictions[0],
            "run.sh:9: --micro-batch-size is 1, but ds.json:3: train_micro_batch_size_per_gpu is "
            "4: the engine will take 1280 / (4 x 2) = 160 passes of 1 sample a replica, 0.25 times "
            "the 1280 samples that are counted\n    fix: write the same number in both, or set the "
            "JSON's from the script's variable");
}

TEST(LaunchScript, EveryOtherContradictionIsTold) {
  const LaunchedRun run = read(R"({"train_batch_size": 640, "zero_optimization": {"stage": 2},
      "gradient_accumulation_steps": 320, "bf16": {"enabled": true}, "fp16": {"enabled": false}})");
  ASSERT_EQ(run.contradictions.size(), 5u);
  EXPECT_NE(run.contradictions[0].find("train_batch_size is 640"), std::string::npos);
  EXPECT_NE(run.contradictions[1].find("zero_optimization.stage is 2"), std::string::npos);
  EXPECT_NE(run.contradictions[2].find("gradient_accumulation_steps is 320"), std::string::npos);
  EXPECT_NE(run.contradictions[3].find("fp16.enabled is false"), std::string::npos);
  EXPECT_NE(run.contradictions[4].find("bf16.enabled is true"), std::string::npos);
}

TEST(LaunchScript, JsonThatTheScriptWritesIsRead) {
  const std::string script =
      std::string(kScript) +
      "cat <<EOT > ds.json\n{\"train_micro_batch_size_per_gpu\": ${TP}}\nEOT\n";
  const LaunchedRun run = read("", script);
  ASSERT_EQ(run.contradictions.size(), 1u);
  EXPECT_NE(run.contradictions[0].find("is 4"), std::string::npos);
}

void expect_failure(const std::string& script, const std::string& json, const std::string& part) {
  try {
    read_launch(script, "run.sh", json, "ds.json");
    FAIL() << "nothing thrown for " << part;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(LaunchScript, WhatCannotBeReadSaysWhere) {
  expect_failure("echo nothing", "{}", "run.sh: --num-layers is missing");
  expect_failure("python x --num-layers $LAYERS", "{}", "run.sh:1: --num-layers is '$LAYERS'");
  expect_failure(kScript, "{\"a\": ", "ds.json: not JSON");
}

}  // namespace
}  // namespace ocoee::plan
