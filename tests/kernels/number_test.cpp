// SPDX-License-Identifier: Apache-2.0
// The 16-bit types, over all their 65,536 values, and casts.
#include <gtest/gtest.h>

#include "kernels/cast.h"
#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

// Sign, exponent and mantissa, read by hand.
double value_of(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const double sign = bits >> 15 ? -1 : 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

template <class T>
void check_every_value(int exponent_bits, int mantissa_bits) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const double want = value_of(static_cast<uint16_t>(bits), exponent_bits, mantissa_bits);
    const float got = widen(T{static_cast<uint16_t>(bits)});
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
      ASSERT_TRUE(std::isnan(widen(narrow<T>(got)))) << bits;
    } else {
      ASSERT_EQ(want, static_cast<double>(got)) << bits;
      ASSERT_EQ(bits, narrow<T>(got).bits) << "round trip";
    }
  }
}

// Between two neighbours: below the middle goes down, above goes up, the middle goes to the even
// one.
template <class T>
void check_rounding() {
  for (uint32_t bits = 1; bits < 0x7b00; bits += 7) {
    const double low = static_cast<double>(widen(T{static_cast<uint16_t>(bits)}));
    const double high = static_cast<double>(widen(T{static_cast<uint16_t>(bits + 1)}));
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(bits % 2 == 0 ? bits : bits + 1, narrow<T>(middle).bits);
    ASSERT_EQ(bits, narrow<T>(std::nextafter(middle, 0.0f)).bits);
    ASSERT_EQ(bits + 1, narrow<T>(std::nextafter(middle, INFINITY)).bits);
  }
}

TEST(Number, BFloat16) {
  check_every_value<BFloat16>(8, 7);
  check_rounding<BFloat16>();
}
TEST(Number, Float16) {
  check_every_value<Float16>(5, 10);
  check_rounding<Float16>();
  EXPECT_EQ(0x7c00, narrow<Float16>(65520.0f).bits);  // overflows to infinity
  EXPECT_EQ(0x7bff, narrow<Float16>(65519.0f).bits);
}

TEST(Cast, EveryPair) {
  for (const int64_t count : {1, 7, 8, 33, 1000}) {
    for (const DType from : kFloatTypes) {
      for (const DType to : kFloatTypes) {
        const auto values = rounded(from, normal_values(count, 1));
        const Array x(from, values);
        const Array y(to, count);
        cast(x.buffer(), y.buffer(), test_stream());
        EXPECT_EQ(y.read(), rounded(to, values)) << label(from) << " to " << label(to);
      }
    }
  }
}

TEST(Cast, AccumulatesInTheWiderType) {
  for (const int64_t shift : {0, 1}) {
    const int64_t count = 1003;
    for (const DType type : {DType::bf16, DType::f16, DType::f32}) {
      const auto x = rounded(type, normal_values(count, 2));
      auto sum = rounded(DType::f32, normal_values(count, 3));
      const Array x_array(type, x, shift), sum_array(DType::f32, sum);
      accumulate(x_array.buffer(), 0.5, sum_array.buffer(), test_stream());
      for (size_t i = 0; i < x.size(); ++i) sum[i] += 0.5 * x[i];
      EXPECT_NEAR_ARRAY(sum_array.read(), sum, 1e-7);
    }
  }
}

TEST(Cast, KeepsNotANumber) {
  const Array x(DType::f32, {1.0, std::nan(""), INFINITY, -INFINITY});
  const Array y(DType::bf16, 4);
  cast(x.buffer(), y.buffer(), test_stream());
  const auto got = y.read();
  EXPECT_TRUE(std::isnan(got[1]));
  EXPECT_EQ(INFINITY, got[2]);
  EXPECT_EQ(-INFINITY, got[3]);
}

}  // namespace
}  // namespace ocoee::kernels::test
