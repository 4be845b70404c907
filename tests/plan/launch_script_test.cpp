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
  EXPECT_EQ(run.recompute, Recompute::full);
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

LaunchedRun with(const std::string& options) {
  return read("{}",
              "python pretrain_gpt.py --num-layers 96 --hidden-size 12288 "
              "--num-attention-heads 96 --seq-length 2048 --micro-batch-size 1 "
              "--global-batch-size 1280 --pipeline-model-parallel-size 8 " +
                  options);
}

TEST(LaunchScript, RecomputeIsSelectiveOrFull) {
  EXPECT_EQ(with("").recompute, Recompute::none);
  EXPECT_EQ(with("--recompute-activations").recompute, Recompute::selective);
  EXPECT_EQ(with("--recompute-granularity selective").recompute, Recompute::selective);
  EXPECT_EQ(with("--recompute-granularity full").recompute, Recompute::full);
  EXPECT_EQ(with("--checkpoint-activations").recompute, Recompute::full);
  EXPECT_EQ(with("--recompute-granularity full").configuration().recompute, Recompute::full);
}

TEST(LaunchScript, ModelsAndChunksAreRead) {
  const LaunchedRun run = with(
      "--swiglu --num-query-groups 8 --group-query-attention --vocab-size 128256 "
      "--tensor-model-parallel-size 4 --normalization RMSNorm --position-embedding-type rope "
      "--untie-embeddings-and-output-weights --disable-bias-linear "
      "--num-layers-per-virtual-pipeline-stage 3 --hidden-dropout 0.0 --attention-dropout 0");
  EXPECT_TRUE(run.swiglu && run.rms_norm && run.rope && !run.tied && !run.bias);
  EXPECT_EQ(run.feed_forward, 32768);  // two thirds of 4 x 12288, as Megatron-LM has it
  EXPECT_EQ(run.kv_heads, 8);
  EXPECT_EQ(run.vocabulary, 128512);  // a multiple of 4 x 128
  EXPECT_EQ(run.configuration().chunks, 4);
  EXPECT_EQ(run.configuration().schedule, ScheduleKind::interleaved);
  EXPECT_FALSE(run.system().dropout);
  EXPECT_TRUE(run.not_read.empty()) << run.not_read.at(0);
  EXPECT_EQ(with("").configuration().schedule, ScheduleKind::one_f_one_b);
}

TEST(LaunchScript, WhatIsNotReadIsTold) {
  const LaunchedRun run = with(
      "--num-experts 8 --lr 1e-4 --save-interval 100 --position-embedding-type alibi "
      "--recompute-granularity full --recompute-method block --recompute-num-layers 2");
  EXPECT_EQ(run.not_read,
            (std::vector<std::string>{"--num-experts 8", "--position-embedding-type alibi",
                                      "--recompute-method block", "--recompute-num-layers 2"}));
}

TEST(LaunchScript, RanksAreCountedAsTheyAreStarted) {
  const auto devices = [](const std::string& head, const std::string& start, int64_t given = 0) {
    return read_launch(head + "\n" + start +
                           " \\\n python pretrain_gpt.py -n 3 --num-layers 96 --hidden-size 12288 "
                           "--num-attention-heads 96 --seq-length 2048 --micro-batch-size 1 "
                           "--global-batch-size 1280",
                       "run.sh", "{}", "ds.json", given)
        .devices;
  };
  EXPECT_EQ(devices("", "srun -n 128"), 128);
  EXPECT_EQ(devices("", "srun -n128 --cpu-bind none"), 128);
  EXPECT_EQ(devices("", "mpirun -np 128"), 128);
  EXPECT_EQ(devices("", "srun --ntasks=128"), 128);
  EXPECT_EQ(devices("", "srun -N 16 --ntasks-per-node 8"), 128);
  EXPECT_EQ(devices("#SBATCH --nodes=16\n#SBATCH --ntasks-per-node=8", "srun"), 128);
  EXPECT_EQ(devices("#SBATCH --nodes 16 --gpus-per-node=a100:8", "srun"), 128);
  EXPECT_EQ(devices("#SBATCH -N16\n#SBATCH --gres=gpu:8", "srun"), 128);
  EXPECT_EQ(devices("#SBATCH --ntasks=16", "srun torchrun --nproc_per_node 8"), 128);
  EXPECT_EQ(devices("", "srun --ntasks $SLURM_NTASKS"), 0);
  EXPECT_EQ(devices("", "srun --ntasks $SLURM_NTASKS", 64), 64);
  EXPECT_EQ(devices("", ""), 0);
}

TEST(LaunchScript, MegatronByItselfIsNoDeepSpeed) {
  EXPECT_EQ(with("").system().name, "megatron");
  EXPECT_EQ(with("--use-distributed-optimizer").shard(), Shard::states);
  EXPECT_EQ(with("--deepspeed").system().name, "megatron_deepspeed");
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
  expect_failure(
      std::string(kScript) + "--num-layers-per-virtual-pipeline-stage 5", "{}",
      "run.sh:12: --num-layers-per-virtual-pipeline-stage is 5: 96 layers do not divide");
  expect_failure(kScript, "{\"a\": ", "ds.json: not JSON");
}

}  // namespace
}  // namespace ocoee::plan
