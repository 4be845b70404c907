// SPDX-License-Identifier: Apache-2.0
#include "parallel/shard.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/error.h"
#include "models/gpt.h"
#include "plan/placement.h"

namespace ocoee::parallel {
namespace {

// The boxes of a range, written out in order, are exactly its elements, and they are few.
TEST(Shard, BoxesOfARangeAreItsElementsInOrder) {
  const std::vector<std::vector<int64_t>> shapes{{7}, {3, 5}, {4, 1}, {1, 6}, {2, 3, 4}, {3, 1, 2}};
  for (const auto& shape : shapes) {
    const int64_t n = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    std::vector<int64_t> array(static_cast<size_t>(n));
    std::iota(array.begin(), array.end(), 0);
    const run::Box all{std::vector<int64_t>(shape.size(), 0), shape};
    for (int64_t a = 0; a <= n; ++a) {
      for (int64_t b = a; b <= n; ++b) {
        int64_t next = a;
        const auto boxes = boxes_of_range(shape, a, b);
        EXPECT_LE(boxes.size(), 2 * shape.size() - 1);
        for (const run::Box& box : boxes) {
          std::vector<int64_t> out(static_cast<size_t>(box.elements()));
          run::copy_overlap(all, array.data(), box, out.data(), sizeof(int64_t));
          for (const int64_t value : out) ASSERT_EQ(value, next++);
        }
        ASSERT_EQ(next, b);
      }
    }
  }
}

plan::ModelSpec gpt(int64_t layers) {
  models::GptConfig config;
  config.layers = layers;
  config.width = 64;
  config.context = 32;
  return models::build_gpt(config, 97);
}

TEST(Placement, PartsHoldEveryBlockOnceAndCostAlike) {
  const plan::ModelSpec model = gpt(8);
  for (const int64_t parts : {1, 2, 3, 4, 8, 10}) {
    const auto cuts = plan::pipeline_cuts(model, parts);
    ASSERT_EQ(cuts.size(), static_cast<size_t>(parts) + 1);
    EXPECT_EQ(cuts.front(), 0U);
    EXPECT_EQ(cuts.back(), model.blocks.size());
    for (size_t p = 0; p + 1 < cuts.size(); ++p) EXPECT_LT(cuts[p], cuts[p + 1]);
  }
  // Embedding and head are cheap beside a block here, so 2 parts hold 4 blocks each.
  EXPECT_EQ(plan::pipeline_cuts(model, 2), (std::vector<size_t>{0, 5, 10}));
  EXPECT_THROW(plan::pipeline_cuts(model, 11), Error);
}

TEST(Placement, ATiedHeadBorrowsFromTheFirstStage) {
  const auto borrowed = plan::borrowed_parameters(gpt(8), 4, 1);
  ASSERT_EQ(borrowed.size(), 1U);
  EXPECT_EQ(borrowed[0].parameter, "wte.weight");
  EXPECT_EQ(borrowed[0].from, 0);
  EXPECT_EQ(borrowed[0].to, 3);
  EXPECT_TRUE(plan::borrowed_parameters(gpt(8), 1, 1).empty());
}

TEST(Placement, WhatCannotWorkIsRefusedWithTheNearestThatWould) {
  plan::BatchConfig batch;
  batch.global = 3, batch.micro = 1;
  plan::LayoutConfig layout;
  layout.pipeline = 4, layout.chunks = 4, layout.schedule = "interleaved";
  config::Problems deep;
  plan::check_placement(deep, gpt(8), batch, layout, 4);
  ASSERT_EQ(deep.all().size(), 1U);
  EXPECT_NE(deep.text().find("layout.schedule = \"1f1b\", layout.chunks = 1"), std::string::npos)
      << deep.text();
  layout.chunks = 2;
  config::Problems few;
  plan::check_placement(few, gpt(8), batch, layout, 4);
  EXPECT_NE(few.text().find("at least 4 micro-batches, not 3"), std::string::npos) << few.text();
  batch.global = 6;  // no multiple of the stages
  config::Problems none;
  plan::check_placement(none, gpt(8), batch, layout, 4);
  EXPECT_TRUE(none.empty()) << none.text();
}

}  // namespace
}  // namespace ocoee::parallel
