// SPDX-License-Identifier: Apache-2.0
#include "comm/half_reductions.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "core/random.h"

namespace ocoee::comm {
namespace {

float widen_bf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
float widen_f16(uint16_t bits) {
  return static_cast<float>(std::bit_cast<_Float16>(bits));
}

// The nearest bf16 by search among neighbours, in double: independent of the bit trick under test.
uint16_t nearest_bf16(float value) {
  const auto low = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
  const auto high = static_cast<uint16_t>(low + 1);
  const double below = std::fabs(double{value} - widen_bf16(low)),
               above = std::fabs(double{widen_bf16(high)} - value);
  if (below != above) return below < above ? low : high;
  return low % 2 == 0 ? low : high;
}

TEST(HalfReductions, SumsOfBf16AreFloatSumsRoundedToNearestEven) {
  RandomStream random(1, Purpose::noise, 0, 0);
  for (const int64_t count : {1, 7, 1024, 3001}) {
    std::vector<uint16_t> a(static_cast<size_t>(count)), b(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] =
          static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(random.normal())) >> 16);
      b[i] = static_cast<uint16_t>(
          std::bit_cast<uint32_t>(static_cast<float>(random.normal() * 30)) >> 16);
    }
    std::vector<uint16_t> sum = b;
    reduce_halves(DType::bf16, Reduce::sum, a.data(), sum.data(), count);
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(sum[i], nearest_bf16(widen_bf16(a[i]) + widen_bf16(b[i]))) << i;
  }
}

TEST(HalfReductions, EveryF16PlusOneAndItsExtremes) {
  std::vector<uint16_t> all(65536), ones(65536, 0x3c00), largest = ones;
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<uint16_t> sum = all;
  reduce_halves(DType::f16, Reduce::sum, ones.data(), sum.data(), 65536);
  reduce_halves(DType::f16, Reduce::max, all.data(), largest.data(), 65536);
  for (size_t i = 0; i < all.size(); ++i) {
    const float value = widen_f16(all[i]);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(widen_f16(sum[i])));
      continue;
    }
    ASSERT_EQ(sum[i], std::bit_cast<uint16_t>(static_cast<_Float16>(value + 1.0f))) << i;
    ASSERT_EQ(widen_f16(largest[i]), std::max(value, 1.0f));
  }
}

TEST(HalfReductions, NanAndInfinityOfBf16Survive) {
  const std::vector<uint16_t> a{0x7f80, 0x7fc0, 0x7f81, 0xff80, 0x7f7f};
  std::vector<uint16_t> b{0x3f80, 0x3f80, 0x3f80, 0x7f80, 0x7f7f};
  reduce_halves(DType::bf16, Reduce::sum, a.data(), b.data(), 5);
  EXPECT_EQ(b[0], 0x7f80);
  EXPECT_TRUE(std::isnan(widen_bf16(b[1])));
  EXPECT_TRUE(std::isnan(widen_bf16(b[2])));
  EXPECT_TRUE(std::isnan(widen_bf16(b[3])));  // infinity minus infinity
  EXPECT_EQ(b[4], 0x7f80);                    // overflow
}

TEST(HalfReductions, SmallestOfBf16) {
  const std::vector<uint16_t> a{0x3f80, 0xbf80};
  std::vector<uint16_t> b{0x4000, 0x0000};
  reduce_halves(DType::bf16, Reduce::min, a.data(), b.data(), 2);
  EXPECT_EQ(b[0], 0x3f80);
  EXPECT_EQ(b[1], 0xbf80);
}

}  // namespace
}  // namespace ocoee::comm
