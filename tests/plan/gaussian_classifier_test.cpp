// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/gaussian_classifier.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"

namespace ocoee::plan {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

// Two knobs fail beyond a sum of both, and a word costs as much as one of them. Points that are
// worse in everything than one that failed are not likely to work, though they were never tried.
TEST(GaussianClassifier, AddsUpWhatMakesTrialsFail) {
  const std::vector<bool> categorical{false, false, true};
  const auto works = [](const VectorXd& x) { return x[0] + x[1] + (x[2] == 0 ? 0.5 : 0) < 1; };
  RandomStream random(5, Purpose::tuner, 0, 0);
  MatrixXd x(30, 3);
  VectorXd labels(30);
  for (int i = 0; i < 30; ++i) {
    x.row(i) << random.below(5) / 4.0, random.below(5) / 4.0, random.below(3);
    labels[i] = works(x.row(i)) ? 1 : -1;
  }
  GaussianClassifier model(categorical);
  model.fit(x, labels);
  int right = 0;
  for (int n = 0; n < 75; ++n) {
    const int word = n / 25;
    const VectorXd at = (VectorXd(3) << n % 5 / 4.0, n / 5 % 5 / 4.0, word).finished();
    right += (model.log_probability(at) > std::log(0.5)) == works(at);
  }
  EXPECT_GE(right, 65) << "of 75";
  // Never tried together, and far on the wrong side.
  GaussianClassifier corner(categorical);
  MatrixXd few(6, 3);
  few << 0, 0, 0, 0.25, 0, 0, 0, 0.25, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1;
  corner.fit(few, (VectorXd(6) << 1, 1, 1, -1, -1, 1).finished());
  EXPECT_LT(corner.log_probability((VectorXd(3) << 1, 1, 0).finished()),
            corner.log_probability((VectorXd(3) << 1, 0, 0).finished()));
}

// Against the integral over the latent values of two trials on both sides of a sharp limit.
TEST(GaussianClassifier, ProbabilitiesAreThoseOfTheIntegral) {
  const auto k = [](double r) {  // of the scales it starts with
    const auto matern = [](double d) {
      const double s = std::sqrt(5.0) * d;
      return (1 + s + s * s / 3) * std::exp(-s);
    };
    return 1 + 9 * matern(r) + matern(r / 0.5);
  };
  const auto cdf = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); };
  MatrixXd x(2, 1);
  x << 0.2, 0.6;
  GaussianClassifier model({false});
  model.condition(x, (VectorXd(2) << 1.0, -1.0).finished());
  const double d = k(0), off = k(0.4), determinant = d * d - off * off;
  for (const double at : {0.0, 0.2, 0.35, 0.6, 0.9}) {
    const double to_first = k(std::abs(at - 0.2)), to_second = k(std::abs(at - 0.6));
    const double a = (d * to_first - off * to_second) / determinant,
                 b = (d * to_second - off * to_first) / determinant;
    const double rest = std::max(0.0, d - a * to_first - b * to_second);
    double all = 0, works = 0;
    for (double f = -14; f <= 14; f += 0.1) {
      for (double g = -14; g <= 14; g += 0.1) {
        const double weight =
            cdf(f) * cdf(-g) *
            std::exp(-0.5 * (d * f * f - 2 * off * f * g + d * g * g) / determinant);
        all += weight, works += weight * cdf((a * f + b * g) / std::sqrt(1 + rest));
      }
    }
    EXPECT_NEAR(std::exp(model.log_probability(VectorXd::Constant(1, at))), works / all, 0.02)
        << at;
  }
}

}  // namespace
}  // namespace ocoee::plan
