// SPDX-License-Identifier: Apache-2.0
#include "kernels/float8.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

constexpr Float8 kFormats[] = {Float8::e4m3, Float8::e5m2};

// The number that a byte stands for, by its definition; NaN for what is none.
double value_of(int byte, Float8 format) {
  const int digits = format == Float8::e4m3 ? 3 : 2, bias = format == Float8::e4m3 ? 7 : 15;
  const int low = byte & ((1 << digits) - 1), exponent = (byte & 0x7f) >> digits;
  if (format == Float8::e4m3 ? (byte & 0x7f) == 0x7f : exponent == 31) return std::nan("");
  const double size = exponent == 0 ? std::ldexp(low, 1 - bias - digits)
                                    : std::ldexp((1 << digits) + low, exponent - bias - digits);
  return byte & 0x80 ? -size : size;
}

TEST(Float8, RoundsToTheNearestAndTiesToEven) {
  for (const Float8 format : kFormats) {
    const int last = format == Float8::e4m3 ? 0x7e : 0x7b;
    EXPECT_EQ(value_of(last, format), largest_of(format));
    for (int byte = 0; byte <= last; ++byte) {
      const auto exact = static_cast<float>(value_of(byte, format));
      EXPECT_EQ(float8_from(exact, format), byte);
      EXPECT_EQ(float8_from(-exact, format), byte | 0x80);
      if (byte == last) break;
      const float middle = (exact + static_cast<float>(value_of(byte + 1, format))) / 2;
      EXPECT_EQ(float8_from(middle, format), byte % 2 == 0 ? byte : byte + 1);
      EXPECT_EQ(float8_from(std::nextafter(middle, 0.0F), format), byte);
      EXPECT_EQ(float8_from(std::nextafter(middle, 1e9F), format), byte + 1);
    }
    EXPECT_EQ(float8_from(1e9F, format), last);
    EXPECT_EQ(float8_from(-INFINITY, format), last | 0x80);
    EXPECT_EQ(float8_from(std::nanf(""), format) & 0x7f, 0x7f);
  }
}

TEST(ToFloat8, EveryTypeShapeAndDirection) {
  for (const DType dtype : kFloatTypes) {
    for (const auto& [rows, width] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 5}, {128, 64}, {256, 192}, {130, 67}, {16, 2049}}) {
      for (const Float8 format : kFormats) {
        for (const bool transposed : {false, true}) {
          for (const int64_t shift : {0, 1}) {
            auto values = rounded(dtype, normal_values(rows * width, 1));
            values[0] = 30;
            const Array x(dtype, values, shift), out(DType::u8, rows * width, shift),
                scale(DType::f32, std::vector<double>{32}),
                seen(DType::f32, std::vector<double>{0.5});
            to_float8({dtype, format, rows, width, x.data(), scale.as<float>(), out.as<uint8_t>(),
                       transposed, seen.as<float>()},
                      test_stream());
            const auto got = out.read();
            for (int64_t r = 0; r < rows; ++r) {
              for (int64_t c = 0; c < width; ++c) {
                const auto value = static_cast<float>(values[static_cast<size_t>(r * width + c)]);
                ASSERT_EQ(got[static_cast<size_t>(transposed ? c * rows + r : r * width + c)],
                          float8_from(value * 32, format))
                    << label(dtype) << rows << " x " << width << " at " << r << ", " << c;
              }
            }
            double largest = 0.5;
            for (const double v : values) largest = std::max(largest, std::fabs(v));
            EXPECT_EQ(seen.read()[0], static_cast<float>(largest));
          }
        }
      }
    }
  }
}

TEST(ToFloat8, LooksWithoutRounding) {
  const Array x(DType::f32, {1, -7, std::nan(""), 3}), seen(DType::f32, std::vector<double>{0});
  to_float8({DType::f32, Float8::e4m3, 2, 2, x.data(), nullptr, nullptr, false, seen.as<float>()},
            test_stream());
  EXPECT_EQ(seen.read()[0], 7);
}

TEST(Float8Scales, FollowWhatWasSeen) {
  const Array formats(DType::u8, {0, 1, 0, 0, 0}), seen(DType::f32, {7, 1e-3, 0, 0, INFINITY}),
      largest(DType::f32, {1, 1, 0, 10, 5}), scale(DType::f32, {9, 9, 9, 9, 9}),
      inverse(DType::f32, std::vector<double>(5 * kInverseStride, 9));
  float8_scales({5, formats.as<Float8>(), seen.as<float>(), largest.as<float>(), 0.5F,
                 scale.as<float>(), inverse.as<float>()},
                test_stream());
  // Seen now; half of before; nothing ever; nothing now; nothing finite.
  EXPECT_EQ(largest.read(), (std::vector<double>{7, 0.5, 0, 10, 5}));
  EXPECT_EQ(seen.read(), (std::vector<double>(5, 0)));
  // The next power of two would bring it to half of 448, of 57344, or beyond.
  EXPECT_EQ(scale.read(), (std::vector<double>{32, 32768, 9, 16, 32}));
  const double wanted[] = {1.0 / 32, 1.0 / 32768, 9, 1.0 / 16, 1.0 / 32};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(inverse.read()[kInverseStride * i], wanted[i]);
}

}  // namespace
}  // namespace ocoee::kernels::test
