// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

struct Case {
  DType dtype;
  bool rms, bias, add, passing;
  int64_t rows, width, shift = 0;
  bool bf16_gradients = false;
};

struct Values {
  std::vector<double> x, add, weight, bias, dy, passing;
  explicit Values(const Case& c)
      : x(rounded(c.dtype, normal_values(c.rows * c.width, 1, 2))),
        add(rounded(c.dtype, normal_values(c.rows * c.width, 2))),
        weight(rounded(c.dtype, normal_values(c.width, 3))),
        bias(rounded(c.dtype, normal_values(c.width, 4))),
        dy(rounded(c.dtype, normal_values(c.rows * c.width, 5))),
        passing(rounded(c.dtype, normal_values(c.rows * c.width, 6))) {}
};

struct Result {
  std::vector<double> sum, y, mean, rstd, dx, d_weight, d_bias;
  std::vector<unsigned char> bits;
  std::vector<double> other_d_weight, other_d_bias;  // where the forward's output is made again
};

constexpr double kEpsilon = 1e-5;

// Plain loops in double precision.
Result reference(const Case& c, const Values& v) {
  Result r;
  r.sum = v.x;
  if (c.add) {
    for (size_t i = 0; i < r.sum.size(); ++i) r.sum[i] += v.add[i];
    r.sum = rounded(c.dtype, r.sum);
  }
  r.y.resize(r.sum.size()), r.dx.resize(r.sum.size());
  r.d_weight.assign(v.weight.size(), 1.0), r.d_bias.assign(v.weight.size(), 1.0);  // added to
  for (int64_t row = 0; row < c.rows; ++row) {
    const auto at = [&](int64_t i) { return static_cast<size_t>(row * c.width + i); };
    double mean = 0, variance = 0;
    if (!c.rms)
      for (int64_t i = 0; i < c.width; ++i) mean += r.sum[at(i)] / static_cast<double>(c.width);
    for (int64_t i = 0; i < c.width; ++i)
      variance += std::pow(r.sum[at(i)] - mean, 2) / static_cast<double>(c.width);
    const double rstd = 1 / std::sqrt(variance + kEpsilon);
    double mean_g = 0, mean_gh = 0;
    for (int64_t i = 0; i < c.width; ++i) {
      const double h = (r.sum[at(i)] - mean) * rstd,
                   g = v.dy[at(i)] * v.weight[static_cast<size_t>(i)];
      r.y[at(i)] =
          h * v.weight[static_cast<size_t>(i)] + (c.bias ? v.bias[static_cast<size_t>(i)] : 0);
      r.d_weight[static_cast<size_t>(i)] += v.dy[at(i)] * h;
      r.d_bias[static_cast<size_t>(i)] += v.dy[at(i)];
      mean_g += g / static_cast<double>(c.width), mean_gh += g * h / static_cast<double>(c.width);
    }
    for (int64_t i = 0; i < c.width; ++i) {
      const double h = (r.sum[at(i)] - mean) * rstd,
                   g = v.dy[at(i)] * v.weight[static_cast<size_t>(i)];
      r.dx[at(i)] =
          rstd * (g - (c.rms ? 0 : mean_g) - h * mean_gh) + (c.passing ? v.passing[at(i)] : 0);
    }
    r.mean.push_back(mean), r.rstd.push_back(rstd);
  }
  return r;
}

Result run(const Case& c, const Values& v) {
  const DType wide = wide_dtype(c.dtype), of_gradient = c.bf16_gradients ? DType::bf16 : wide;
  const Array x(c.dtype, v.x, c.shift), add(c.dtype, v.add), weight(c.dtype, v.weight),
      bias(c.dtype, v.bias), dy(c.dtype, v.dy);
  const Array sum(c.dtype, c.rows * c.width), y(c.dtype, c.rows * c.width), mean(wide, c.rows),
      rstd(wide, c.rows);
  const Array dx(c.dtype,
                 v.passing);  // the passing gradient lies where dx goes: the two may be one array
  const Array d_weight(of_gradient, std::vector<double>(v.weight.size(), 1.0)),
      d_bias(of_gradient, std::vector<double>(v.weight.size(), 1.0));
  NormForward f{c.dtype, c.rms, c.rows, c.width, kEpsilon, x.data()};
  if (c.add) f.add = add.data(), f.sum = sum.data();
  f.weight = weight.data(), f.bias = c.bias ? bias.data() : nullptr, f.y = y.data();
  f.mean = c.rms ? nullptr : mean.data(), f.rstd = rstd.data();
  norm_forward(f, test_stream());
  const Array space = workspace(norm_backward_workspace(c.dtype, c.rows, c.width, test_device()));
  NormBackward b{c.dtype,      c.rms, c.rows, c.width, dy.data(), c.add ? sum.data() : x.data(),
                 weight.data()};
  b.mean = f.mean, b.rstd = rstd.data(), b.d_residual = c.passing ? dx.data() : nullptr,
  b.dx = dx.data();
  b.d_weight = d_weight.data(), b.d_bias = c.bias ? d_bias.data() : nullptr,
  b.workspace = space.data(), b.bf16_gradients = c.bf16_gradients;
  norm_backward(b, test_stream());
  // The same with the forward's output, which is made again to the bit.
  const Array again(c.dtype, c.rows * c.width), other_dx(c.dtype, v.passing);
  const Array other_d_weight(of_gradient, std::vector<double>(v.weight.size(), 1.0)),
      other_d_bias(of_gradient, std::vector<double>(v.weight.size(), 1.0));
  b.d_residual = c.passing ? other_dx.data() : nullptr, b.dx = other_dx.data();
  b.d_weight = other_d_weight.data(), b.d_bias = c.bias ? other_d_bias.data() : nullptr;
  b.y = again.data(), b.bias = f.bias;
  norm_backward(b, test_stream());
  EXPECT_EQ(again.bits(), y.bits());
  EXPECT_EQ(other_dx.bits(), dx.bits());
  Result r{c.add ? sum.read() : v.x,
           y.read(),
           mean.read(),
           rstd.read(),
           dx.read(),
           d_weight.read(),
           d_bias.read(),
           {},
           other_d_weight.read(),
           other_d_bias.read()};
  for (const Array* array : {&y, &dx, &d_weight, &d_bias}) {
    const auto bits = array->bits();
    r.bits.insert(r.bits.end(), bits.begin(), bits.end());
  }
  return r;
}

void check(const Case& c) {
  SCOPED_TRACE(label(c.dtype) + (c.rms ? " rms " : " layer ") + std::to_string(c.rows) + " x " +
               std::to_string(c.width));
  const Values values(c);
  const Result want = reference(c, values), got = run(c, values);
  const double limit = tolerance(c.dtype), exact = c.dtype == DType::f64 ? 1e-12 : 1e-5;
  EXPECT_EQ(got.sum, want.sum);
  EXPECT_NEAR_ARRAY(got.y, want.y, limit);
  if (!c.rms) {
    EXPECT_NEAR_ARRAY(got.mean, want.mean, exact);
  }
  EXPECT_NEAR_ARRAY(got.rstd, want.rstd, exact);
  // One column: dx is a difference of equal numbers, times rstd = 316.
  EXPECT_NEAR_ARRAY(got.dx, want.dx, c.width == 1 ? 20 * limit : limit);
  const std::vector<double> d_bias =
      c.bias ? want.d_bias : std::vector<double>(want.d_bias.size(), 1.0);
  EXPECT_NEAR_ARRAY(got.d_weight, want.d_weight, exact);
  EXPECT_NEAR_ARRAY(got.other_d_weight, want.d_weight, exact);
  EXPECT_NEAR_ARRAY(got.d_bias, d_bias, exact);
  EXPECT_NEAR_ARRAY(got.other_d_bias, d_bias, exact);
}

TEST(Norm, EveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    for (const bool rms : {false, true}) {
      check({dtype, rms, !rms, false, true, 5, 1});
      check({dtype, rms, !rms, true, false, 3, 7});
      check({dtype, rms, true, true, true, 130, 128});
      check({dtype, rms, false, false, false, 67, 333});  // no pack divides the width
      check({dtype, rms, !rms, true, true, 33, 768});
      check({dtype, rms, !rms, false, true, 9, 1600});
      check({dtype, rms, !rms, true, true, 5, 6144});
    }
  }
}
// The sums that lie in float32 otherwise, rounded once.
TEST(Norm, GradientsInBfloat16) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const int64_t width : {7, 768, 6144, 40960}) {
      SCOPED_TRACE(label(dtype) + " " + std::to_string(width));
      Case c{dtype, false, true, false, true, 67, width};
      const Values values(c);
      const Result wide = run(c, values);
      c.bf16_gradients = true;
      const Result narrow = run(c, values);
      EXPECT_EQ(narrow.dx, wide.dx);
      for (size_t i = 0; i < wide.d_weight.size(); ++i) {  // half a unit in the last place
        ASSERT_NEAR(narrow.d_bias[i], wide.d_bias[i], 0.00391 * std::abs(wide.d_bias[i]) + 1e-5);
        ASSERT_NEAR(narrow.d_weight[i], wide.d_weight[i],
                    0.00391 * std::abs(wide.d_weight[i]) + 1e-5);
      }
    }
  }
}
TEST(Norm, UnalignedPointers) {
  for (const DType dtype : kFloatTypes) check({dtype, false, true, false, true, 17, 64, 1});
}
// Each way a wide row is laid over a block, and beyond what registers hold.
TEST(Norm, WideRows) {
  for (const int64_t width : {1600, 2048, 3072, 4096, 8192, 12288, 16384, 32768, 40960}) {
    check({DType::bf16, false, true, true, true, 3, width});
    check({DType::f32, true, false, false, true, 2, width});
  }
}
// More rows than a GPU works on at once, where they are warps, a few warps and wide blocks.
TEST(Norm, ManyRows) {
  check({DType::f32, false, true, true, true, 5000, 48});
  const int64_t rows = on_gpu() ? 1700 : 70;
  for (const int64_t width : {768, 1024, 2048, 6144})
    check({DType::bf16, false, true, false, true, rows, width});
  check({DType::bf16, false, true, false, true, on_gpu() ? 2500 : 70, 512});
  check({DType::bf16, true, false, true, false, rows, 2112});
}
// What is not asked for changes nothing of the rest, nor where the passing gradient lies.
TEST(Norm, PartsOfTheBackwardPass) {
  for (const int64_t width : {63, 128, 1024, 1600}) {
    const int64_t rows = 37;
    const Values v({DType::bf16, false, true, false, true, rows, width});
    const Array x(DType::bf16, v.x), dy(DType::bf16, v.dy), passing(DType::bf16, v.passing),
        weight(DType::bf16, v.weight), mean(DType::f32, std::vector<double>(rows, 0.25)),
        rstd(DType::f32, std::vector<double>(rows, 0.5));
    const auto run_parts = [&](bool with_dx, bool with_weight, bool with_bias) {
      const Array dx(DType::bf16, rows * width);
      const std::vector<double> zeros(static_cast<size_t>(width));
      const Array d_weight(DType::f32, zeros), d_bias(DType::f32, zeros);
      const Array space =
          workspace(norm_backward_workspace(DType::bf16, rows, width, test_device()));
      NormBackward b{DType::bf16, false, rows, width, dy.data(), x.data(), weight.data()};
      b.mean = mean.data(), b.rstd = rstd.data(), b.d_residual = passing.data();
      b.workspace = space.data();
      if (with_dx) b.dx = dx.data();
      if (with_weight) b.d_weight = d_weight.data();
      if (with_bias) b.d_bias = d_bias.data();
      norm_backward(b, test_stream());
      return std::array{dx.bits(), d_weight.bits(), d_bias.bits()};
    };
    const auto whole = run_parts(true, true, true), none = run_parts(false, false, false);
    for (const int parts : {1, 2, 4, 6}) {
      const auto got = run_parts(parts & 1, parts & 2, parts & 4);
      for (size_t i = 0; i < 3; ++i)
        EXPECT_EQ(got[i], (parts >> i & 1 ? whole : none)[i]) << width << " " << parts << " " << i;
    }
    EXPECT_NE(whole[0], none[0]);
    EXPECT_NE(whole[1], none[1]);
  }
}
TEST(Norm, OneRow) {
  check({DType::bf16, false, true, false, false, 1, 128});
}

TEST(Norm, NoRowsIsNoWork) {
  const Array d_weight(DType::f32, std::vector<double>(8, 2.0));
  NormBackward b{DType::f32, true, 0, 8};
  b.d_weight = d_weight.data();
  norm_backward(b, test_stream());
  EXPECT_EQ(d_weight.read(), std::vector<double>(8, 2.0));
}

TEST(Norm, GradientsByFiniteDifferences) {
  for (const bool rms : {false, true}) {
    const Case c{DType::f64, rms, true, false, false, 6, 37};
    const Values values(c);
    const Result got = run(c, values);
    const auto loss_with = [&](std::vector<double> Values::*which) {
      return [&, which](const std::vector<double>& replaced) {
        Values moved = values;
        moved.*which = replaced;
        return weighted_sum(run(c, moved).y, values.dy);
      };
    };
    check_gradient(loss_with(&Values::x), values.x, got.dx);
    auto d_weight = got.d_weight, d_bias = got.d_bias;
    for (double& g : d_weight) g -= 1;
    for (double& g : d_bias) g -= 1;
    check_gradient(loss_with(&Values::weight), values.weight, d_weight);
    check_gradient(loss_with(&Values::bias), values.bias, d_bias);
  }
}

// A mean that is large beside the spread: a one-pass variance would have lost all digits.
TEST(Norm, SurvivesALargeMean) {
  Case c{DType::f32, false, true, false, false, 4, 256};
  Values values(c);
  for (double& x : values.x) x += 4096;
  values.x = rounded(DType::f32, values.x);
  EXPECT_NEAR_ARRAY(run(c, values).y, reference(c, values).y, 2e-4);
}

TEST(Norm, NotANumberStaysInItsRow) {
  const Case c{DType::f32, false, true, false, false, 3, 64};
  Values values(c);
  values.x[70] = std::nan("");
  const auto y = run(c, values).y;
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(i / 64 == 1, std::isnan(y[i])) << i;
}

TEST(Norm, SameBitsEveryTime) {
  const Case c{DType::f32, false, true, true, true, 1111, 96};
  const Values values(c);
  expect_same_bits([&] { return run(c, values).bits; });
}

}  // namespace
}  // namespace ocoee::kernels::test
