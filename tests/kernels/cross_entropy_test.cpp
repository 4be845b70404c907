// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

struct Case {
  DType dtype;
  int64_t rows, columns, stride;
  bool weighted = true;
  double scale = 0.25;
};

struct Values {
  std::vector<double> logits, targets, weights;
  explicit Values(const Case& c)
      : logits(rounded(c.dtype, normal_values(c.rows * c.stride, 1, 4))),
        weights(rounded(DType::f32, normal_values(c.rows, 2))) {
    RandomStream random(3, Purpose::noise, 0, 0);
    for (int64_t row = 0; row < c.rows; ++row)
      targets.push_back(
          row % 5 == 3 ? -1 : static_cast<double>(random.below(static_cast<uint64_t>(c.columns))));
  }
};

struct Result {
  std::vector<double> losses, gradient;
  std::vector<unsigned char> bits;
};

Result reference(const Case& c, const Values& v) {
  Result r;
  r.gradient.assign(v.logits.size(), 0);
  for (int64_t row = 0; row < c.rows; ++row) {
    const double* z = v.logits.data() + row * c.stride;
    const auto target = static_cast<int64_t>(v.targets[static_cast<size_t>(row)]);
    if (target < 0) {
      r.losses.push_back(0);
      continue;
    }
    const double weight = c.weighted ? v.weights[static_cast<size_t>(row)] : 1;
    const double maximum = *std::max_element(z, z + c.columns);
    double sum = 0;
    for (int64_t i = 0; i < c.columns; ++i) sum += std::exp(z[i] - maximum);
    r.losses.push_back(weight * (std::log(sum) + maximum - z[target]));
    for (int64_t i = 0; i < c.columns; ++i)
      r.gradient[static_cast<size_t>(row * c.stride + i)] =
          c.scale * weight * (std::exp(z[i] - maximum) / sum - (i == target));
  }
  return r;
}

Result run(const Case& c, const Values& v, bool gradient = true) {
  const Array logits(c.dtype, v.logits), targets(DType::i64, v.targets),
      weights(DType::f32, v.weights);
  const Array losses(wide_dtype(c.dtype), c.rows), scale(DType::f64, std::vector<double>{c.scale});
  cross_entropy(
      {c.dtype, c.rows, c.columns, c.stride, logits.data(), targets.as<int64_t>(),
       c.weighted ? weights.as<float>() : nullptr, losses.data(), gradient, scale.as<double>()},
      test_stream());
  Result r{losses.read(), logits.read(), logits.bits()};
  const auto bits = losses.bits();
  r.bits.insert(r.bits.end(), bits.begin(), bits.end());
  return r;
}

void check(const Case& c) {
  SCOPED_TRACE(label(c.dtype) + " " + std::to_string(c.rows) + " x " + std::to_string(c.columns));
  const Values values(c);
  const Result want = reference(c, values), got = run(c, values);
  EXPECT_NEAR_ARRAY(got.losses, want.losses, c.dtype == DType::f64 ? 1e-12 : 3e-6);
  EXPECT_NEAR_ARRAY(got.gradient, want.gradient, tolerance(c.dtype));
  const Result scored = run(c, values, /*gradient=*/false);
  EXPECT_EQ(scored.losses, got.losses);
  EXPECT_EQ(scored.gradient, values.logits) << "without gradient the logits stay";
}

TEST(CrossEntropy, EveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    check({dtype, 1, 1, 1});
    check({dtype, 7, 5, 5});
    check({dtype, 33, 67, 72});
    check({dtype, 20, 67, 67, false});
    check({dtype, 9, 1024, 1024});
    check({dtype, 6, 1031, 1040});
    check({dtype, 5, 5003, 5008});
  }
  check({DType::bf16, 5, 50257, 50304});
  // Rows that wait in a GPU's shared memory, of many packs a thread, and of one or two.
  check({DType::bf16, 5, 50304, 50312});
  check({DType::bf16, 5, 4104, 4104});
  check({DType::f16, 3, 8192, 8192});
  check({DType::f32, 3, 32000, 32000});
}

TEST(CrossEntropy, GradientByFiniteDifferences) {
  const Case c{DType::f64, 6, 23, 23, true, 1};
  const Values values(c);
  check_gradient(
      [&](const std::vector<double>& moved) {
        Values other = values;
        other.logits = moved;
        double sum = 0;
        for (const double loss : run(c, other, false).losses) sum += loss;
        return sum;
      },
      values.logits, run(c, values).gradient);
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
  const Case c{DType::f32, 2, 4, 4, false, 1};
  Values values(c);
  values.logits = {1e4, 1e4 - 1, -1e4, 0, -3e38, -3e38, 3e38, 0};
  values.targets = {0, 2};
  const Result got = run(c, values), want = reference(c, values);
  EXPECT_NEAR(got.losses[0], want.losses[0], 1e-6);
  EXPECT_NEAR(got.losses[1], 0, 1e-6);
  for (const double g : got.gradient) EXPECT_TRUE(std::isfinite(g));
}

TEST(CrossEntropy, BadTargetAndNotANumberShow) {
  const Case c{DType::f32, 4, 40, 40, false, 1};
  Values values(c);
  values.targets = {3, 40, 5, 39};
  values.logits[2 * 40 + 11] = std::nan("");
  const auto losses = run(c, values).losses;
  EXPECT_TRUE(std::isfinite(losses[0]));
  EXPECT_TRUE(std::isnan(losses[1])) << "a target beyond the columns";
  EXPECT_TRUE(std::isnan(losses[2])) << "a NaN among the logits";
  EXPECT_TRUE(std::isfinite(losses[3]));
}

TEST(CrossEntropy, MaskedColumnsHaveNoShare) {
  const Case c{DType::f32, 1, 9, 9, false, 1};
  Values values(c);
  values.targets = {4};
  values.logits[0] = values.logits[7] = -INFINITY;
  const Result got = run(c, values), want = reference(c, values);
  EXPECT_NEAR(got.losses[0], want.losses[0], 1e-6);
  EXPECT_NEAR(got.gradient[0], 0, 1e-30);
  EXPECT_NEAR(got.gradient[7], 0, 1e-30);
  // A whole pack of them, and more, in a row that waits in a GPU's shared memory.
  const Case wide{DType::bf16, 1, 8192, 8192, false, 1};
  Values masked(wide);
  masked.targets = {40};
  std::fill_n(masked.logits.begin(), 16, -INFINITY);
  EXPECT_NEAR(run(wide, masked).losses[0], reference(wide, masked).losses[0], 1e-4);
}

// The vocabulary cut into three parts, reduced by hand, gives what the whole gives.
TEST(CrossEntropy, SplitVocabulary) {
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    const Case c{dtype, 21, 100, 100};
    const DType wide = wide_dtype(dtype);
    const Values values(c);
    const Result want = reference(c, values);
    const std::vector<int64_t> cuts = {0, 37, 40, 100};
    const Array targets(DType::i64, values.targets), weights(DType::f32, values.weights),
        scale(DType::f64, std::vector<double>{c.scale});
    std::vector<PartialCrossEntropy> parts;
    std::vector<Array> kept;
    kept.reserve(100);
    for (size_t p = 0; p + 1 < cuts.size(); ++p) {
      const int64_t columns = cuts[p + 1] - cuts[p];
      std::vector<double> logits;
      for (int64_t row = 0; row < c.rows; ++row)
        for (int64_t i = cuts[p]; i < cuts[p + 1]; ++i)
          logits.push_back(values.logits[static_cast<size_t>(row * c.stride + i)]);
      kept.emplace_back(dtype, logits);
      PartialCrossEntropy a{dtype,
                            c.rows,
                            columns,
                            columns,
                            cuts[p],
                            c.columns,
                            kept.back().data(),
                            targets.as<int64_t>(),
                            weights.as<float>()};
      for (void** place : {&a.maximum, &a.sum, &a.target_logit, &a.losses}) {
        kept.emplace_back(wide, c.rows);
        *place = kept.back().data();
      }
      a.scale = scale.as<double>();
      cross_entropy_statistics(a, test_stream());
      parts.push_back(a);
    }
    const auto array_of = [&](const void* data) -> const Array& {
      return *std::find_if(kept.begin(), kept.end(),
                           [&](const Array& array) { return array.data() == data; });
    };
    std::vector<double> maximum(static_cast<size_t>(c.rows), -INFINITY),
        sum(static_cast<size_t>(c.rows)), target_logit(static_cast<size_t>(c.rows));
    for (const auto& part : parts) {
      const auto own = array_of(part.maximum).read();
      for (size_t r = 0; r < own.size(); ++r) maximum[r] = std::max(maximum[r], own[r]);
    }
    const Array common(wide, maximum);
    for (const auto& part : parts) {
      cross_entropy_rebase(part, common.data(), test_stream());
      const auto own = array_of(part.sum).read(), logit = array_of(part.target_logit).read();
      for (size_t r = 0; r < own.size(); ++r) sum[r] += own[r], target_logit[r] += logit[r];
    }
    const Array sum_array(wide, sum), logit_array(wide, target_logit);
    for (size_t p = 0; p < parts.size(); ++p) {
      parts[p].maximum = common.data(), parts[p].sum = sum_array.data(),
      parts[p].target_logit = logit_array.data();
      cross_entropy_gradient(parts[p], test_stream());
      EXPECT_NEAR_ARRAY(array_of(parts[p].losses).read(), want.losses,
                        wide == DType::f64 ? 1e-12 : 3e-6);
      std::vector<double> expected;
      for (int64_t row = 0; row < c.rows; ++row)
        for (int64_t i = cuts[p]; i < cuts[p + 1]; ++i)
          expected.push_back(want.gradient[static_cast<size_t>(row * c.stride + i)]);
      EXPECT_NEAR_ARRAY(array_of(parts[p].logits).read(), expected, tolerance(dtype));
    }
  }
}

TEST(CrossEntropy, SameBitsEveryTime) {
  const Case c{DType::f32, 333, 67, 67};
  const Values values(c);
  expect_same_bits([&] { return run(c, values).bits; });
}

}  // namespace
}  // namespace ocoee::kernels::test
