// SPDX-License-Identifier: Apache-2.0
#include "plan/arena.h"

#include <gtest/gtest.h>

#include "models/gpt.h"
#include "plan/placement.h"

namespace ocoee::plan {
namespace {

models::GptConfig model_of(double attention_dropout = 0) {
  models::GptConfig config;
  config.layers = 1;
  config.width = 24;
  config.heads = 2;
  config.context = 8;
  config.attention_dropout = attention_dropout;
  return config;
}

// 16 tokens, bfloat16: by hand, from what the layers of a GPT-2 block keep.
TEST(ArenaPlan, ABlockByHand) {
  const ModelSpec model = models::build_gpt(model_of(), 100);
  const auto& layers = model.blocks[1].layers;
  ArenaShape shape{16, 8, 2};
  const ArenaPlan norm = plan_arena(layers[0], &layers[1], shape);
  EXPECT_EQ(norm.find("rstd")->bytes, 16 * 4);
  EXPECT_EQ(norm.find(ArenaPlan::kOutput)->bytes, 16 * 24 * 2);
  EXPECT_EQ(norm.find("x"), nullptr);  // a block's input lies by itself
  EXPECT_EQ(block_input_bytes(model.blocks[1], shape), 16 * 24 * 2);
  const ArenaPlan attention = plan_arena(layers[1], &layers[2], shape);
  EXPECT_EQ(attention.find("qkv")->bytes, 16 * 72 * 2);
  EXPECT_EQ(attention.find("log_sum_exp")->bytes, 16 * 2 * 4);
  EXPECT_EQ(attention.total(), 16 * (72 * 2 + 24 * 2 + 2 * 4 + 24 * 2));
  const ArenaPlan mlp = plan_arena(layers[3], nullptr, shape);
  EXPECT_EQ(mlp.total(), 16 * 2 * 96 * 2);
  EXPECT_EQ(arena_bytes(model.blocks[1], shape),
            2 * (2 * 16 * 4 + 16 * 24 * 2) + attention.total() + mlp.total());
  EXPECT_EQ(block_input_bytes(model.blocks[0], shape), 0);

  shape.selective = true;  // no output of a norm or of the activation
  EXPECT_EQ(plan_arena(layers[0], &layers[1], shape).total(), 2 * 16 * 4);
  EXPECT_EQ(plan_arena(layers[3], nullptr, shape).total(), 16 * 96 * 2);
  shape = {16, 8, 2, false, /*apart=*/true};
  EXPECT_EQ(plan_arena(layers[3], nullptr, shape).bytes[0], 16 * 96 * 2);  // what enters the GELU
  EXPECT_EQ(plan_arena(layers[3], nullptr, shape).bytes[1], 16 * 96 * 2);  // what weights need
}

TEST(ArenaPlan, ArraysBeginOnBoundariesAndDoNotMeet) {
  const ModelSpec model = models::build_gpt(model_of(0.1), 100);
  const auto& layers = model.blocks[1].layers;
  for (const bool apart : {false, true}) {
    const ArenaPlan plan = plan_arena(layers[1], &layers[2], {7, 7, 4, false, apart, 256});
    EXPECT_EQ(plan.find("probabilities")->bytes, 7 * 7 * 2 * 4);
    EXPECT_EQ(plan.find("log_sum_exp"), nullptr);
    std::array<int64_t, 2> end{};
    for (const ArenaPlan::Place& place : plan.places) {
      EXPECT_EQ(place.offset % 256, 0);
      EXPECT_GE(place.offset, end[place.part]);
      end[place.part] = place.offset + place.bytes;
    }
    for (const size_t part : {0, 1}) EXPECT_GE(plan.bytes[part], end[part]);
    EXPECT_EQ(plan.bytes[1] > 0, apart);
  }
}

TEST(ArenaPlan, TensorRanksShareIt) {
  const ModelSpec model = models::build_gpt(model_of(), 99), half = tensor_part(model, 2, 1);
  const ArenaShape shape{16, 8, 4};
  const auto& layers = half.blocks[1].layers;
  EXPECT_EQ(plan_arena(layers[1], &layers[2], shape).find("qkv")->bytes, 16 * 36 * 4);
  EXPECT_EQ(plan_arena(layers[0], &layers[1], shape).find(ArenaPlan::kOutput)->bytes, 8 * 24 * 4);
  EXPECT_EQ(plan_arena(half.blocks[2].layers[1], nullptr, shape).total(), 16 * 50 * 4);  // padded
}

}  // namespace
}  // namespace ocoee::plan
