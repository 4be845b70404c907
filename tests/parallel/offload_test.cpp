// SPDX-License-Identifier: Apache-2.0
#include "parallel/offload.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace ocoee::parallel {
namespace {

TEST(Offload, ViewsOfOneStorageComeBackAsTheyWere) {
  const at::Tensor fused = at::randn({8, 3, 4, 16});
  at::Tensor q = fused.select(1, 0), k = fused.select(1, 1), again = fused.select(1, 0),
             turned = at::randn({64, 32}).t(), half = at::randn({600}).to(at::kHalf);
  const std::vector<at::Tensor> before{q.clone(), k.clone(), again.clone(), turned.clone(),
                                       half.clone()};
  const auto strides = turned.strides().vec();
  Offload offload({});
  const std::vector<at::Tensor*> places{&q, &k, &again, &turned, &half};
  auto parked = offload.park(places, {});
  for (const at::Tensor* place : places) EXPECT_FALSE(place->defined());
  EXPECT_GT(offload.counters().held, 0);
  // q, k and what lies between them travel once
  EXPECT_EQ(offload.counters().bytes_out, 4 * (7 * 192 + 128) + 4 * 64 * 32 + 2 * 600);
  offload.fetch(parked);
  offload.restore(parked, places);
  for (size_t i = 0; i < places.size(); ++i) EXPECT_TRUE(at::equal(*places[i], before[i])) << i;
  EXPECT_EQ(turned.strides().vec(), strides);
  EXPECT_EQ(q.storage().data(), k.storage().data());
  EXPECT_EQ(offload.counters().bytes_back, offload.counters().bytes_out);
  EXPECT_EQ(offload.counters().held, 0);
}

TEST(Offload, WhatLivesOnAnywayStays) {
  at::Tensor batch = at::randn({1000}), tokens = at::zeros({1000}, at::kLong),
             small = at::randn({10}), none;
  const at::Tensor large = at::randn({100000});
  at::Tensor corner = large.as_strided({100, 10}, {1000, 1});  // a hundredth of what it spans
  Offload offload({});
  auto parked = offload.park({&batch, &tokens, &small, &none, &corner}, {batch});
  EXPECT_TRUE(parked.empty());
  EXPECT_TRUE(batch.defined() && tokens.defined() && small.defined() && corner.defined());
  EXPECT_EQ(offload.counters().bytes_out, 0);
}

}  // namespace
}  // namespace ocoee::parallel
