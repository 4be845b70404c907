// SPDX-License-Identifier: Apache-2.0
#include "nn/arena.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "models/gpt.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

plan::ModelSpec small_model() {
  models::GptConfig config;
  config.layers = 1;
  config.width = 16;
  config.heads = 2;
  config.context = 8;
  return models::build_gpt(config, 11);
}

TEST(Arena, ALayersArraysLieInOnePieceWhereThePlanSays) {
  const plan::ModelSpec model = small_model();
  const auto& layers = model.blocks[1].layers;
  const plan::ArenaPlan plan = plan::plan_arena(layers[1], &layers[2], {16, 8, 4});
  const Arena arena(plan, at::kCPU);
  const at::Tensor weights = at::randn({4 * 16 * 16 + 4 * 16});
  const auto layer = make_layer(layers[1]);
  Weights lent;
  lent.value = weights;
  layer->bind(lent);
  Bundle in, out, plain;
  in["x"] = at::randn({2, 8, 16});
  in["h"] = at::randn({2, 8, 16});
  Context context;
  Saved saved, apart;
  layer->forward(in, plain, apart, context);
  context.arena = &arena;
  layer->forward(in, out, saved, context);
  EXPECT_TRUE(at::equal(out.at("x"), plain.at("x")));
  const auto* memory = static_cast<const char*>(out.at("x").storage().data());
  EXPECT_EQ(static_cast<int64_t>(out.at("x").storage().nbytes()), plan.total());
  const char* const names[] = {"h", "qkv", "mixed", "log_sum_exp"};
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(static_cast<const char*>(saved.tensors[i].data_ptr()) - memory,
              plan.find(names[i])->offset);
    EXPECT_TRUE(at::equal(saved.tensors[i], apart.tensors[i])) << names[i];
  }
  EXPECT_EQ(saved.tensors[0].data_ptr(), in.at("h").data_ptr());  // the norm's
}

TEST(Arena, ThrowsWhereALayerWantsAnotherSize) {
  const plan::ModelSpec model = small_model();
  const plan::ArenaPlan plan = plan::plan_arena(model.blocks[1].layers[1], nullptr, {16, 8, 4});
  const Arena arena(plan, at::kCPU);
  EXPECT_EQ(arena.take("mixed", {2, 8, 16}, at::kFloat).numel(), 256);
  EXPECT_THROW(arena.take("mixed", {2, 8, 16}, at::kDouble), Error);
  EXPECT_THROW(arena.take("mixed", {2, 8, 15}, at::kFloat), Error);
  EXPECT_THROW(arena.take("output", {2, 8, 16}, at::kFloat), Error);  // no layer keeps it
}

}  // namespace
}  // namespace ocoee::nn
