// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/gaussian_process.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "core/random.h"

namespace ocoee::plan {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

MatrixXd random_points(int n, int d, uint64_t seed) {
  RandomStream random(seed, Purpose::tuner, 0, 0);
  MatrixXd x(n, d);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < d; ++j) x(i, j) = random.uniform();
  }
  return x;
}

TEST(GaussianProcess, LearnsASmoothFunctionAndKnowsWhereItDoesNot) {
  const auto f = [](const VectorXd& x) { return 30 + 7 * std::sin(5 * x[0]) + 2 * x[1] * x[1]; };
  const MatrixXd x = random_points(40, 3, 1);
  VectorXd y(40);
  for (int i = 0; i < 40; ++i) y[i] = f(x.row(i));
  GaussianProcess model(std::vector<bool>(3, false));
  model.fit(x, y);
  const MatrixXd fresh = random_points(200, 3, 2);
  double error = 0;
  int inside = 0;
  for (int i = 0; i < 200; ++i) {
    const auto p = model.predict(fresh.row(i));
    error = std::max(error, std::abs(p.mean - f(fresh.row(i))));
    inside += std::abs(p.mean - f(fresh.row(i))) < 3 * std::sqrt(p.variance);
  }
  EXPECT_LT(error, 0.7);  // of a range of 16
  EXPECT_GT(inside, 190);
  // The third coordinate does nothing: its length is the longest.
  EXPECT_GT(model.lengths()[2], 2 * model.lengths()[0]);
  const double at_data = model.predict(x.row(0)).variance;
  EXPECT_GT(model.predict(VectorXd::Constant(3, 4.0)).variance, 100 * at_data);
}

// Against the formulas written out for two points.
TEST(GaussianProcess, TwoPointsByHand) {
  GaussianProcess model({false});
  MatrixXd x(2, 1);
  x << 0.2, 0.6;
  const VectorXd y = (VectorXd(2) << 1.0, 3.0).finished();
  model.condition(x, y);
  // Prior lengths exp(-0.7), noise exp(-7), and of one coordinate two signals of exp(-1), alone and
  // of all together; y standardised is -1, 1.
  const double signal = 2 * std::exp(-1.0);
  const auto k = [&](double r) {
    const double s = std::sqrt(5.0) * r / std::exp(-0.7);
    return signal * (1 + s + s * s / 3) * std::exp(-s);
  };
  const double diagonal = signal + std::exp(-7.0) + 1e-9, off = k(0.4);
  const double alpha = 1 / (diagonal - off);  // of +-1
  const double at = 0.3, expected = 2 + (k(0.3) - k(0.1)) * alpha;
  const auto p = model.predict(VectorXd::Constant(1, at));
  EXPECT_NEAR(p.mean, expected, 1e-12);
  const double determinant = diagonal * diagonal - off * off;
  const double explained =
      (diagonal * (k(0.1) * k(0.1) + k(0.3) * k(0.3)) - 2 * off * k(0.1) * k(0.3)) / determinant;
  EXPECT_NEAR(p.variance, signal - explained, 1e-12);
}

TEST(GaussianProcess, WordsAreEqualOrApart) {
  GaussianProcess model({true});
  MatrixXd x(3, 1);
  x << 0, 1, 2;
  model.fit(x, (VectorXd(3) << 5.0, 5.0, 50.0).finished());
  // Word 1 is as far from word 0 as word 2 is: no word lies "between".
  const double unseen = model.predict(VectorXd::Constant(1, 3)).mean;
  EXPECT_NEAR(unseen, model.predict(VectorXd::Constant(1, 7)).mean, 1e-9);
}

// Words whose effects add up: pairs that were never seen together are known from the others.
TEST(GaussianProcess, WhatOneKnobDoesIsLearntWhateverTheOther) {
  const auto f = [](int a, int b) {
    return std::array{0, 7, 2, 9}[a] + std::array{0, 5, 11, 3}[b];
  };
  MatrixXd x(12, 2);
  VectorXd y(12);
  for (int a = 0, i = 0; a < 4; ++a) {
    for (int b = 0; b < 4; ++b) {
      if (a == b) continue;
      x.row(i) << a, b;
      y[i++] = f(a, b);
    }
  }
  GaussianProcess model({true, true});
  model.fit(x, y);
  for (int a = 0; a < 4; ++a)
    EXPECT_NEAR(model.predict((VectorXd(2) << a, a).finished()).mean, f(a, a), 1.5) << a;
}

// Few points leave the lengths open: models drawn from the posterior disagree, and the likeliest
// one alone is too sure. Many points settle them.
TEST(GaussianProcess, FollowsAStraightLineBeyondWhatWasTried) {
  MatrixXd x(6, 2);
  VectorXd y(6);
  for (Index i = 0; i < 6; ++i) {
    x(i, 0) = 0.08 * static_cast<double>(i), x(i, 1) = i % 2 == 0 ? 0 : 1;
    y[i] = 2 * x(i, 0) + (i % 2 == 0 ? 0.0 : 0.5);
  }
  GaussianProcess plain({false, true}), line({false, true}, /*slope=*/3);
  plain.fit(x, y), line.fit(x, y);
  VectorXd far(2);
  far << 1, 1;
  EXPECT_NEAR(line.predict(far).mean, 2.5, 0.25);
  EXPECT_LT(plain.predict(far).mean, 2);  // it keeps to its mean
  EXPECT_LT(std::abs(line.predict(x.row(3)).mean - y[3]), 0.02);
}

TEST(GaussianProcess, DrawnModelsDisagreeWhereLittleIsKnown) {
  const auto spread = [](int points) {
    const MatrixXd x = random_points(points, 2, 3);
    VectorXd y(points);
    for (int i = 0; i < points; ++i) y[i] = std::sin(4 * x(i, 0)) + x(i, 1);
    GaussianProcess model(std::vector<bool>(2, false));
    model.fit(x, y);
    RandomStream random(1, Purpose::tuner, 0, 0);
    double sum = 0, squares = 0;
    const std::vector<GaussianProcess> drawn = model.draw(16, random);
    for (const GaussianProcess& one : drawn) {
      const double length = std::log(one.lengths()[0]);
      sum += length / 16, squares += length * length / 16;
      EXPECT_GT(one.predict(VectorXd::Constant(2, 0.5)).variance, 0);
    }
    return std::sqrt(squares - sum * sum);
  };
  const double of_few = spread(4), of_many = spread(60);
  EXPECT_GT(of_few, 0.3);
  EXPECT_LT(of_many, of_few / 2);
}

}  // namespace
}  // namespace ocoee::plan
