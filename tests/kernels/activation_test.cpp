// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"
#include "kernels/reduce.h"

namespace ocoee::kernels::test {
namespace {

double gelu_of(double z) {
  return 0.5 * z * (1 + std::tanh(std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
}
double gelu_slope_of(double z) {
  const double u = std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z), t = std::tanh(u);
  return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * z * z);
}
double silu_of(double z) {
  return z / (1 + std::exp(-z));
}

TEST(Gelu, EveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    for (const auto& [rows, width] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 7}, {17, 512}, {5, 333}, {2, 4096}}) {
      for (const bool has_bias : {false, true}) {
        const auto x = rounded(dtype, normal_values(rows * width, 1, 3)),
                   dy = rounded(dtype, normal_values(rows * width, 2));
        const auto bias = rounded(dtype, normal_values(width, 3));
        const Array x_array(dtype, x), bias_array(dtype, bias), y(dtype, rows * width),
            dx(dtype, dy);
        Gelu a{dtype,   rows,    width, x_array.data(), has_bias ? bias_array.data() : nullptr,
               nullptr, y.data()};
        gelu_forward(a, test_stream());
        a.dy = dx.data(), a.out = dx.data();  // in place
        gelu_backward(a, test_stream());
        std::vector<double> want_y, want_dx;
        for (size_t i = 0; i < x.size(); ++i) {
          const double z = x[i] + (has_bias ? bias[i % static_cast<size_t>(width)] : 0);
          want_y.push_back(gelu_of(z)), want_dx.push_back(dy[i] * gelu_slope_of(z));
        }
        EXPECT_NEAR_ARRAY(y.read(), want_y, tolerance(dtype)) << label(dtype) << width;
        EXPECT_NEAR_ARRAY(dx.read(), want_dx, tolerance(dtype)) << label(dtype) << width;

        // With column sums in the same pass: the same dx, and its sums added to what was there.
        const std::vector<unsigned char> alone = dx.bits();
        const Array again(dtype, dy);
        const Array sums(wide_dtype(dtype), std::vector<double>(static_cast<size_t>(width), 1.0));
        const Array space =
            workspace(column_sum_workspace(dtype, rows, width, test_stream().device));
        a.dy = again.data(), a.out = again.data();
        a.d_bias = sums.data(), a.workspace = space.data();
        gelu_backward(a, test_stream());
        EXPECT_EQ(again.bits(), alone) << label(dtype) << width;
        std::vector<double> want_sums(static_cast<size_t>(width), 1.0);
        const auto rounded_dx = again.read();
        for (size_t i = 0; i < rounded_dx.size(); ++i)
          want_sums[i % static_cast<size_t>(width)] += rounded_dx[i];
        EXPECT_NEAR_ARRAY(sums.read(), want_sums, tolerance(wide_dtype(dtype)))
            << label(dtype) << width;

        // With y made again: the bits of the forward pass in the place of dy, those of dx in that
        // of x.
        for (const bool with_sums : {false, true}) {
          const Array x_then_dx(dtype, x), dy_then_y(dtype, dy);
          a.x = a.out = x_then_dx.data(), a.dy = a.y = dy_then_y.data();
          a.d_bias = with_sums ? sums.data() : nullptr;
          gelu_backward(a, test_stream());
          EXPECT_EQ(x_then_dx.bits(), alone) << label(dtype) << width;
          EXPECT_EQ(dy_then_y.bits(), y.bits()) << label(dtype) << width;
        }
      }
    }
  }
}

// Element by element: relative to each value, over the whole range, tails too.
TEST(Gelu, AccurateElementByElement) {
  std::vector<double> x;
  for (int i = -9000; i <= 9000; ++i) x.push_back(i / 1000.0);
  x = rounded(DType::f32, x);
  const auto n = static_cast<int64_t>(x.size());
  const Array in(DType::f32, x), out(DType::f32, n);
  gelu_forward({DType::f32, 1, n, in.data(), nullptr, nullptr, out.data()}, test_stream());
  const auto got = out.read();
  for (size_t i = 0; i < x.size(); ++i) {
    const double z = x[i], u = std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z);
    const double want = z / (1 + std::exp(-2 * u));  // no cancellation in the tail, unlike 1 + tanh
    if (want == 0 || std::abs(want) < 1e-36) continue;
    const double limit =
        (on_gpu() ? 4e-7 : 1.5e-7) * (4 + std::abs(2 * u));  // exp's argument is rounded
    ASSERT_NEAR(1, got[i] / want, limit) << z;
  }
}

TEST(Gelu, FarValues) {
  const std::vector<double> x = {1e30, -1e30, 1e19, 100, -100, 0, INFINITY, std::nan("")};
  const Array in(DType::f32, x), y(DType::f32, 8), dy(DType::f32, std::vector<double>(8, 1.0)),
      dx(DType::f32, 8);
  gelu_forward({DType::f32, 1, 8, in.data(), nullptr, nullptr, y.data()}, test_stream());
  gelu_backward({DType::f32, 1, 8, in.data(), nullptr, dy.data(), dx.data()}, test_stream());
  const auto v = y.read(), slope = dx.read();
  EXPECT_NEAR(1, v[0] / 1e30, 1e-6);
  EXPECT_NEAR(0, v[1], 1e-7);
  EXPECT_NEAR(1, slope[0], 1e-6);
  EXPECT_NEAR(0, slope[1], 1e-4);
  EXPECT_NEAR(1, slope[2], 1e-6);
  EXPECT_NEAR(100, v[3], 1e-5);
  EXPECT_NEAR(0, v[4], 1e-30);
  EXPECT_EQ(0, v[5]);
  EXPECT_EQ(0.5, slope[5]);
  EXPECT_EQ(INFINITY, v[6]);
  EXPECT_TRUE(std::isnan(v[7]));
  EXPECT_TRUE(std::isnan(slope[7]));
}

TEST(Gelu, GradientByFiniteDifferences) {
  const int64_t rows = 3, width = 29;
  const auto x = normal_values(rows * width, 1, 2), dy = normal_values(rows * width, 2);
  const Array x_array(DType::f64, x), dy_array(DType::f64, dy), dx(DType::f64, rows * width);
  gelu_backward({DType::f64, rows, width, x_array.data(), nullptr, dy_array.data(), dx.data()},
                test_stream());
  check_gradient(
      [&](const std::vector<double>& moved) {
        const Array in(DType::f64, moved), y(DType::f64, rows * width);
        gelu_forward({DType::f64, rows, width, in.data(), nullptr, nullptr, y.data()},
                     test_stream());
        return weighted_sum(y.read(), dy);
      },
      x, dx.read());
}

TEST(Swiglu, EveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    for (const auto& [rows, inner] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 7}, {17, 256}, {5, 333}}) {
      const auto x = rounded(dtype, normal_values(rows * 2 * inner, 1, 2)),
                 dy = rounded(dtype, normal_values(rows * inner, 2));
      const Array x_array(dtype, x), dy_array(dtype, dy), y(dtype, rows * inner);
      Swiglu a{dtype, rows, inner, x_array.data(), nullptr, y.data()};
      swiglu_forward(a, test_stream());
      a.dy = dy_array.data(), a.out = x_array.data();  // in place
      swiglu_backward(a, test_stream());
      // With y made again, in the place of dy.
      const Array x_then_dx(dtype, x), dy_then_y(dtype, dy);
      swiglu_backward({dtype, rows, inner, x_then_dx.data(), dy_then_y.data(), x_then_dx.data(),
                       dy_then_y.data()},
                      test_stream());
      EXPECT_EQ(x_then_dx.bits(), x_array.bits()) << label(dtype) << inner;
      EXPECT_EQ(dy_then_y.bits(), y.bits()) << label(dtype) << inner;
      std::vector<double> want_y(dy.size()), want_dx(x.size());
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t i = 0; i < inner; ++i) {
          const auto gate = static_cast<size_t>(row * 2 * inner + i),
                     up = gate + static_cast<size_t>(inner);
          const auto out = static_cast<size_t>(row * inner + i);
          const double s = 1 / (1 + std::exp(-x[gate]));
          want_y[out] = silu_of(x[gate]) * x[up];
          want_dx[gate] = dy[out] * x[up] * s * (1 + x[gate] * (1 - s));
          want_dx[up] = dy[out] * silu_of(x[gate]);
        }
      }
      EXPECT_NEAR_ARRAY(y.read(), want_y, tolerance(dtype)) << label(dtype) << inner;
      EXPECT_NEAR_ARRAY(x_array.read(), want_dx, tolerance(dtype)) << label(dtype) << inner;
    }
  }
}

TEST(Swiglu, GradientByFiniteDifferences) {
  const int64_t rows = 3, inner = 13;
  const auto x = normal_values(rows * 2 * inner, 1, 2), dy = normal_values(rows * inner, 2);
  const Array x_array(DType::f64, x), dy_array(DType::f64, dy), dx(DType::f64, rows * 2 * inner);
  swiglu_backward({DType::f64, rows, inner, x_array.data(), dy_array.data(), dx.data()},
                  test_stream());
  check_gradient(
      [&](const std::vector<double>& moved) {
        const Array in(DType::f64, moved), y(DType::f64, rows * inner);
        swiglu_forward({DType::f64, rows, inner, in.data(), nullptr, y.data()}, test_stream());
        return weighted_sum(y.read(), dy);
      },
      x, dx.read());
}

TEST(Gelu, SameBitsEveryTime) {
  const int64_t rows = 301, width = 130;
  const Array x(DType::f32, normal_values(rows * width, 1));
  expect_same_bits([&] {
    const Array y(DType::f32, rows * width);
    gelu_forward({DType::f32, rows, width, x.data(), nullptr, nullptr, y.data()}, test_stream());
    return y.bits();
  });
}

}  // namespace
}  // namespace ocoee::kernels::test
