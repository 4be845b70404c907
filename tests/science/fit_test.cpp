// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "core/error.h"
#include "core/random.h"

namespace ocoee::alloy {
namespace {

// Two free columns and `shrunk` more whose coefficients are 1, 1/2, 1/3, ...; noise on the targets.
Design planted(int64_t rows, int64_t shrunk, double noise, uint64_t seed) {
  Design d;
  d.rows = rows;
  d.columns = 2 + shrunk;
  d.free = 2;
  for (int64_t r = 0; r < rows; ++r) {
    RandomStream random(seed, Purpose::plugin_first, 0, static_cast<uint64_t>(r));
    const double c = random.uniform();
    double y = 3 * c - 2 * (1 - c);
    d.features.insert(d.features.end(), {c, 1 - c});
    for (int64_t j = 0; j < shrunk; ++j) {
      const double x = 5 + random.normal() * std::pow(2.0, static_cast<double>(j % 4));
      d.features.push_back(x);
      y += x / static_cast<double>(j + 1);
    }
    d.targets.push_back(y + noise * random.normal());
  }
  return d;
}

TEST(Fit, EachWayRecoversWhatWasPlanted) {
  const Design d = planted(60, 10, 0, 1);
  for (const Shrinkage shrinkage :
       {Shrinkage::none, Shrinkage::leave_one_out, Shrinkage::evidence}) {
    const Fit f = fit(d, shrinkage);
    EXPECT_NEAR(f.coefficients[0], 3, 1e-8);
    EXPECT_NEAR(f.coefficients[1], -2, 1e-8);
    for (size_t j = 0; j < 10; ++j)
      EXPECT_NEAR(f.coefficients[2 + j] * static_cast<double>(j + 1), 1, 1e-8);
    EXPECT_LT(f.rmse, 1e-9);
    EXPECT_LT(f.noise, 1e-8);
  }
}

// y = z + w x with lambda given: w = Sxy / (Sxx + lambda), in columns of unit spread.
TEST(Fit, RidgeOfOneColumnInClosedForm) {
  Design d;
  d.rows = 5;
  d.columns = 2;
  d.free = 1;
  const std::vector<double> x = {0, 1, 2, 4, 8}, y = {1, 0, 3, 2, 7};
  double mean_x = 0, mean_y = 0, sxx = 0, sxy = 0;
  for (size_t i = 0; i < 5; ++i) {
    d.features.insert(d.features.end(), {1, x[i]});
    d.targets.push_back(y[i]);
    mean_x += x[i] / 5;
    mean_y += y[i] / 5;
  }
  for (size_t i = 0; i < 5; ++i) {
    sxx += (x[i] - mean_x) * (x[i] - mean_x);
    sxy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  const double lambda = 0.7, spread2 = sxx / 5;
  const Fit f = fit(d, Shrinkage::given, lambda);
  EXPECT_NEAR(f.coefficients[1], sxy / (sxx + lambda * spread2), 1e-12);
  EXPECT_NEAR(f.coefficients[0], mean_y - f.coefficients[1] * mean_x, 1e-12);
  EXPECT_NEAR(f.parameters, 2 - lambda * spread2 / (sxx + lambda * spread2), 1e-12);
}

TEST(Fit, LeaveOneOutEqualsFittingAgain) {
  const Design d = planted(20, 5, 0.3, 2);
  const Fit whole = fit(d, Shrinkage::none);
  double sum = 0;
  for (int64_t out = 0; out < d.rows; ++out) {
    std::vector<int64_t> rows;
    for (int64_t r = 0; r < d.rows; ++r) {
      if (r != out) rows.push_back(r);
    }
    const Fit f = fit(d.only_rows(rows), Shrinkage::none);
    sum += std::pow(f.predict(d.row(out)) - d.targets[static_cast<size_t>(out)], 2);
  }
  EXPECT_NEAR(whole.loo_rmse, std::sqrt(sum / static_cast<double>(d.rows)), 1e-10);
}

// The evidence of a model with one free and one shrunk column, by summing over a fine grid.
TEST(Fit, EvidenceEqualsItsIntegral) {
  Design d;
  d.rows = 6;
  d.columns = 2;
  d.free = 1;
  const std::vector<double> x = {-1, 1, -1, 1, 1, -1}, y = {0.1, 1.2, -0.3, 0.9, 1.4, 0.2};
  for (size_t i = 0; i < 6; ++i) {
    d.features.insert(d.features.end(), {1, x[i]});  // of unit spread already
    d.targets.push_back(y[i]);
  }
  const Fit f = fit(d, Shrinkage::evidence);
  const double beta = 1 / (f.noise * f.noise), alpha = f.lambda * beta, step = 0.01;
  double integral = 0;
  for (double z = -4; z < 5; z += step) {
    for (double w = -4; w < 5; w += step) {
      double rss = 0;
      for (size_t i = 0; i < 6; ++i) rss += std::pow(y[i] - z - w * x[i], 2);
      integral += step * step * std::exp(-0.5 * (beta * rss + alpha * w * w));
    }
  }
  const double expected =
      std::log(integral) + 3 * std::log(beta / (2 * M_PI)) + 0.5 * std::log(alpha / (2 * M_PI));
  EXPECT_NEAR(f.log_evidence, expected, 1e-3);
}

// Of 200 data sets, the stated standard deviations must hold the planted values as often as they
// say.
TEST(Fit, ErrorsSayHowFarOffCoefficientsAre) {
  for (const Shrinkage shrinkage : {Shrinkage::none, Shrinkage::evidence}) {
    int inside = 0, all = 0;
    for (uint64_t seed = 0; seed < 200; ++seed) {
      const Fit f = fit(planted(40, 6, 0.5, 100 + seed), shrinkage);
      for (size_t j = 0; j < 6; ++j) {
        inside +=
            std::abs(f.coefficients[2 + j] - 1 / static_cast<double>(j + 1)) < f.errors[2 + j];
        ++all;
      }
    }
    EXPECT_NEAR(static_cast<double>(inside) / all, 0.68, 0.05);
  }
}

TEST(Fit, NoiseIsFound) {
  for (const Shrinkage shrinkage : {Shrinkage::none, Shrinkage::leave_one_out, Shrinkage::evidence})
    EXPECT_NEAR(fit(planted(2000, 8, 0.25, 3), shrinkage).noise, 0.25, 0.02);
}

TEST(Fit, WhatTheDataDoNotTellHasNoFiniteError) {
  Design d = planted(30, 3, 0.1, 4);
  Design wide = d;  // the last column twice, and one of zeros
  wide.columns = d.columns + 2;
  wide.features.clear();
  for (int64_t r = 0; r < d.rows; ++r) {
    const auto row = d.row(r);
    wide.features.insert(wide.features.end(), row.begin(), row.end());
    wide.features.insert(wide.features.end(), {row.back(), 0});
  }
  const Fit f = fit(wide, Shrinkage::none);
  EXPECT_TRUE(std::isfinite(f.errors[2]));
  for (const size_t j : {4U, 5U, 6U}) EXPECT_TRUE(std::isinf(f.errors[j])) << j;
  const Fit narrow = fit(d, Shrinkage::none);
  EXPECT_NEAR(f.coefficients[4] + f.coefficients[5], narrow.coefficients[4], 1e-9);
  EXPECT_EQ(f.coefficients[6], 0);
  EXPECT_NEAR(f.bic, narrow.bic, 1e-6);  // a column that tells nothing costs nothing
}

TEST(Fit, MoreColumnsThanRows) {
  const Design d = planted(8, 12, 0.1, 5);
  for (const Shrinkage shrinkage : {Shrinkage::leave_one_out, Shrinkage::evidence}) {
    const Fit f = fit(d, shrinkage);
    for (const double c : f.coefficients) EXPECT_TRUE(std::isfinite(c));
    EXPECT_LT(f.parameters, 8.0 + 1e-9);
  }
}

TEST(Fit, BicStopsWhereTheTermsEnd) {
  int right = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Design d = planted(80, 4, 0.2, 200 + seed);
    Design longer = d;  // four columns that play no part
    longer.columns += 4;
    longer.features.clear();
    for (int64_t r = 0; r < d.rows; ++r) {
      longer.features.insert(longer.features.end(), d.row(r).begin(), d.row(r).end());
      RandomStream random(seed, Purpose::plugin_first, 9, static_cast<uint64_t>(r));
      for (int j = 0; j < 4; ++j) longer.features.push_back(random.normal());
    }
    std::vector<std::vector<int64_t>> nested{{0, 1}};
    while (nested.size() < 9) {
      nested.push_back(nested.back());
      nested.back().push_back(static_cast<int64_t>(nested.size()));
    }
    right += choose_by_bic(longer, nested).best == 4;
  }
  EXPECT_GE(right, 16);
}

TEST(Fit, BrokenInputIsTold) {
  Design d = planted(8, 2, 0, 6);
  d.targets[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(fit(d, Shrinkage::none), Error);
  EXPECT_THROW(fit(Design{}, Shrinkage::none), Error);
}

TEST(Folds, EveryStratumIsSpreadEvenly) {
  std::vector<int64_t> strata;
  for (int64_t i = 0; i < 103; ++i) strata.push_back(i % 7);
  const std::vector<int> fold = stratified_folds(strata, 5, 1);
  std::map<int64_t, std::map<int, int>> counts;
  std::map<int, int> sizes;
  for (size_t i = 0; i < fold.size(); ++i) {
    ++counts[strata[i]][fold[i]];
    ++sizes[fold[i]];
  }
  for (const auto& [stratum, by_fold] : counts) {
    for (int f = 0; f < 5; ++f) EXPECT_NEAR(by_fold.at(f), 103.0 / 7 / 5, 1);
  }
  for (const auto& [f, size] : sizes) EXPECT_NEAR(size, 103.0 / 5, 1);
  EXPECT_EQ(stratified_folds(strata, 5, 1), fold);
  EXPECT_NE(stratified_folds(strata, 5, 2), fold);
}

TEST(LearningCurve, TestErrorFallsToTheNoise) {
  const Design d = planted(200, 10, 0.3, 7);
  std::vector<int64_t> strata(200);
  for (size_t i = 0; i < 200; ++i) strata[i] = static_cast<int64_t>(i % 4);
  const std::vector<LearningPoint> curve =
      learning_curve(d, strata, Shrinkage::evidence, 0, 8, 5, 1);
  ASSERT_EQ(curve.size(), 8U);
  EXPECT_EQ(curve.back().rows, 160);
  EXPECT_GT(curve.front().test_rmse, curve.back().test_rmse);
  EXPECT_GT(curve.front().test_rmse, curve.front().train_rmse);
  EXPECT_NEAR(curve.back().test_rmse, 0.3 * std::sqrt(1 + 12.0 / 160), 0.04);
}

// With all rows but a fold's, its last point is the mean over folds of fits by hand.
TEST(LearningCurve, OfRidgeHasItsLambda) {
  const Design d = planted(60, 6, 0.3, 8);
  const std::vector<int64_t> strata(60, 0);
  const std::vector<int> fold = stratified_folds(strata, 3, 1);
  for (const double lambda : {0.0, 40.0}) {
    double mean = 0;
    for (int held = 0; held < 3; ++held) {
      std::vector<int64_t> train, test;
      for (int64_t r = 0; r < 60; ++r)
        (fold[static_cast<size_t>(r)] == held ? test : train).push_back(r);
      mean += rmse(fit(d.only_rows(train), Shrinkage::given, lambda), d.only_rows(test)) / 3;
    }
    const auto curve = learning_curve(d, strata, Shrinkage::given, lambda, 2, 3, 1);
    EXPECT_NEAR(curve.back().test_rmse, mean, 1e-9) << lambda;
  }
}

}  // namespace
}  // namespace ocoee::alloy
