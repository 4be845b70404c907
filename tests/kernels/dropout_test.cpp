// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

constexpr uint64_t kSeed = 77;

// Straight from the definition, one element at a time, on the host: CPU and GPU masks both equal it
// bit for bit.
bool kept(int64_t id, double probability, int64_t step) {
  const PhiloxKey key = random_key(kSeed, Purpose::dropout, static_cast<uint64_t>(step));
  const uint32_t word = random_bits(key, static_cast<uint64_t>(id / 4), 0).v[id % 4];
  return word >= static_cast<uint32_t>(probability * 4294967296.0);
}

std::vector<double> run(Dropout a, const std::vector<double>& x, int64_t step,
                        const std::vector<double>* residual = nullptr) {
  const Array x_array(a.dtype, x), y(a.dtype, a.rows * a.width),
      state(DType::i64, std::vector<double>{static_cast<double>(step), 0});
  const Array residual_array(a.dtype, residual ? *residual : x);
  a.seed = kSeed, a.state = state.as<int64_t>(), a.x = x_array.data(), a.y = y.data();
  if (residual) a.residual = residual_array.data();
  dropout(a, test_stream());
  return y.read();
}

TEST(Dropout, EveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    for (const auto& [rows, width] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 7}, {17, 128}, {5, 333}, {64, 66}}) {
      for (const double probability : {0.1, 0.5}) {
        const auto x = rounded(dtype, normal_values(rows * width, 1)),
                   residual = rounded(dtype, normal_values(rows * width, 2));
        Dropout a{dtype, rows, width};
        a.probability = probability;
        const auto y = run(a, x, 5), added = run(a, x, 5, &residual);
        std::vector<double> want, want_added;
        for (size_t i = 0; i < x.size(); ++i) {
          const bool keep = kept(static_cast<int64_t>(i), probability, 5);
          want.push_back(keep ? x[i] / (1 - probability) : 0);
          want_added.push_back(residual[i] + want.back());
          ASSERT_EQ(keep && x[i] != 0, y[i] != 0) << "the mask at " << i;
        }
        EXPECT_NEAR_ARRAY(y, want, tolerance(dtype));
        EXPECT_NEAR_ARRAY(added, want_added, tolerance(dtype));
      }
    }
  }
}

TEST(Dropout, EdgesOfProbability) {
  const std::vector<double> ones(1000, 1.0);
  Dropout a{DType::f32, 10, 100};
  EXPECT_EQ(run(a, ones, 1), ones);
  a.probability = 0.999999;
  EXPECT_LE(std::count_if(ones.begin(), ones.end(), [](double v) { return v == 0; }), 0);
  const auto y = run(a, ones, 1);
  EXPECT_GE(std::count(y.begin(), y.end(), 0.0), 990);
}

TEST(Dropout, KeepsTheRightShareAndChangesWithTheStep) {
  const int64_t count = 100000;
  const std::vector<double> ones(static_cast<size_t>(count), 1.0);
  Dropout a{DType::f32, 100, 1000};
  a.probability = 0.3;
  const auto first = run(a, ones, 1), again = run(a, ones, 1), second = run(a, ones, 2);
  EXPECT_EQ(first, again);
  const auto dropped = static_cast<double>(std::count(first.begin(), first.end(), 0.0));
  EXPECT_NEAR(0.3, dropped / static_cast<double>(count),
              5 * std::sqrt(0.21 / static_cast<double>(count)));
  int64_t both = 0;
  for (size_t i = 0; i < first.size(); ++i) both += first[i] == 0 && second[i] == 0;
  EXPECT_NEAR(0.09, static_cast<double>(both) / static_cast<double>(count), 0.005)
      << "steps are independent";
}

// Each way of cutting the whole activation gives the whole's mask: samples, sequence slices, column
// slices.
TEST(Dropout, PartsEqualTheWhole) {
  const int64_t samples = 6, length = 8, width = 24;
  const auto x = normal_values(samples * length * width, 1);
  Dropout whole{DType::f64, samples * length, width};
  whole.probability = 0.4;
  const auto want = run(whole, x, 3);
  const auto check = [&](Dropout a, const std::function<int64_t(int64_t row)>& whole_row) {
    a.probability = 0.4;
    std::vector<double> part, expected;
    for (int64_t row = 0; row < a.rows; ++row) {
      for (int64_t i = 0; i < a.width; ++i) {
        const auto at = static_cast<size_t>(whole_row(row) * width + a.first_column + i);
        part.push_back(x[at]), expected.push_back(want[at]);
      }
    }
    EXPECT_EQ(run(a, part, 3), expected);
  };
  Dropout micro{DType::f64, 2 * length, width};
  micro.first_row = 4 * length;
  check(micro, [&](int64_t row) { return row + 4 * length; });
  Dropout slices{DType::f64, samples * 3, width};  // positions 5, 6, 7 of every sample
  std::vector<double> places;
  for (int64_t row = 0; row < samples * 3; ++row)
    places.push_back(static_cast<double>(row / 3 * length + row % 3));
  const Array index(DType::i64, places);
  slices.first_row = 5, slices.row_index = index.as<int64_t>();
  check(slices, [&](int64_t row) { return row / 3 * length + 5 + row % 3; });
  for (const int64_t first : {4, 5}) {  // on and off a Philox block
    Dropout columns{DType::f64, samples * length, 7};
    columns.first_column = first, columns.whole_width = width;
    check(columns, [&](int64_t row) { return row; });
  }
}

TEST(Dropout, SameBitsEveryTime) {
  const auto x = normal_values(301 * 33, 1);
  Dropout a{DType::f32, 301, 33};
  a.probability = 0.2;
  expect_same_bits([&] {
    const auto y = run(a, x, 9);
    const auto* bytes = reinterpret_cast<const unsigned char*>(y.data());
    return std::vector<unsigned char>(bytes, bytes + y.size() * sizeof(double));
  });
}

}  // namespace
}  // namespace ocoee::kernels::test
