// SPDX-License-Identifier: Apache-2.0
#include "kernels/reduce.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

TEST(SumOfSquares, EveryTypeAndCount) {
  for (const DType dtype : kFloatTypes) {
    for (const int64_t count : {0, 1, 5, 8191, 8193, 100003}) {
      for (const int64_t shift : {0, 1}) {
        const auto values = rounded(dtype, normal_values(count, 1));
        const Array x(dtype, values, shift), out(DType::f64, std::vector<double>{10});
        const Array space = workspace(sum_of_squares_workspace(count, test_device()));
        sum_of_squares({dtype, x.data(), count, 0.5, out.as<double>(), space.data()},
                       test_stream());
        double want = 0;
        for (const double v : values) want += v * v;
        EXPECT_NEAR((10 + 0.5 * want) / (10 + want), out.read()[0] / (10 + want), 1e-12)
            << label(dtype) << count;
      }
    }
  }
}

TEST(SumOfSquares, KeepsFarRangesAndNotANumber) {
  const Array space = workspace(sum_of_squares_workspace(100, test_device()));
  const auto sum = [&](const std::vector<double>& values) {
    const Array x(DType::f32, values), out(DType::f64, std::vector<double>{0});
    sum_of_squares({DType::f32, x.data(), x.count(), 1, out.as<double>(), space.data()},
                   test_stream());
    return out.read()[0];
  };
  EXPECT_NEAR(2, sum({1e30, 1e30}) / 1e60, 1e-6);  // would overflow float32
  EXPECT_NEAR(2, sum({1e-30, 1e-30}) / 1e-60, 1e-6);
  std::vector<double> values(99, 1.0);
  EXPECT_EQ(99, sum(values));
  values[57] = std::nan("");
  EXPECT_TRUE(std::isnan(sum(values)));
  values[57] = -INFINITY;
  EXPECT_EQ(INFINITY, sum(values));
}

TEST(SumOfSquares, SameBitsEveryTime) {
  const int64_t count = 123457;
  const Array x(DType::f32, normal_values(count, 3));
  expect_same_bits([&] {
    const Array out(DType::f64, std::vector<double>{0}),
        space = workspace(sum_of_squares_workspace(count, test_device()));
    sum_of_squares({DType::f32, x.data(), count, 1, out.as<double>(), space.data()}, test_stream());
    return out.bits();
  });
}

std::vector<double> doubled(std::vector<double> values) {
  for (double& value : values) value *= 2;
  return values;
}

TEST(ColumnSum, EveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    for (const auto& [rows, width] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 7}, {100, 64}, {77, 333}, {2000, 40}, {65, 1600}}) {
      const auto values = rounded(dtype, normal_values(rows * width, 1));
      const DType wide = wide_dtype(dtype);
      const Array x(dtype, values), out(wide, std::vector<double>(static_cast<size_t>(width), 1.0));
      const Array space = workspace(column_sum_workspace(dtype, rows, width, test_device()));
      column_sum({dtype, rows, width, x.data(), out.data(), space.data()}, test_stream());
      std::vector<double> want(static_cast<size_t>(width), 1.0);
      for (int64_t i = 0; i < rows * width; ++i)
        want[static_cast<size_t>(i % width)] += values[static_cast<size_t>(i)];
      EXPECT_NEAR_ARRAY(out.read(), want, wide == DType::f64 ? 1e-13 : 2e-6);
      // In bf16 the very same sums, rounded once.
      const Array narrow(DType::bf16, std::vector<double>(static_cast<size_t>(width), 0.0)),
          sums(wide, std::vector<double>(static_cast<size_t>(width), 0.0));
      column_sum({dtype, rows, width, x.data(), sums.data(), space.data()}, test_stream());
      column_sum({dtype, rows, width, x.data(), narrow.data(), space.data(), true}, test_stream());
      EXPECT_EQ(narrow.read(), rounded(DType::bf16, sums.read()));
      column_sum({dtype, rows, width, x.data(), narrow.data(), space.data(), true}, test_stream());
      EXPECT_NEAR_ARRAY(narrow.read(), rounded(DType::bf16, doubled(sums.read())), 5e-3);
    }
  }
}

TEST(ColumnSum, SameBitsEveryTime) {
  const int64_t rows = 3001, width = 50;
  const Array x(DType::f32, normal_values(rows * width, 3));
  expect_same_bits([&] {
    const Array out(DType::f32, std::vector<double>(50, 0.0));
    const Array space = workspace(column_sum_workspace(DType::f32, rows, width, test_device()));
    column_sum({DType::f32, rows, width, x.data(), out.data(), space.data()}, test_stream());
    return out.bits();
  });
}

}  // namespace
}  // namespace ocoee::kernels::test
