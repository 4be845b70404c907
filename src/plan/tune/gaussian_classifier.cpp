// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/gaussian_classifier.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "plan/tune/kernel.h"

namespace ocoee::plan {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kSignals[] = {1, 3, 10, 30}, kLengths[] = {0.5, 1, 2};
constexpr double kExceptionLength = 0.5;

double logistic(double z) {
  return 1 / (1 + std::exp(-z));
}

double log_logistic(double z) {
  return z > 0 ? -std::log1p(std::exp(-z)) : z - std::log1p(std::exp(z));
}

}  // namespace

GaussianClassifier::GaussianClassifier(std::vector<bool> categorical)
    : categorical_(std::move(categorical)) {}

double GaussianClassifier::covariance(const VectorXd& a, const VectorXd& b) const {
  double sum = 0, r2 = 0;
  for (Index k = 0; k < a.size(); ++k) {
    const bool words = categorical_[static_cast<size_t>(k)];
    const double gap = distance(words, a[k], b[k]);
    r2 += gap * gap;
    sum += words ? 1 - gap : matern(gap / scales_.length);
  }
  // 1: of how many trials work at all.
  return 1 + scales_.signal * scales_.signal * sum + matern(std::sqrt(r2) / kExceptionLength);
}

// Newton's method from zero (algorithm 3.1).
double GaussianClassifier::settle() {
  const Index n = x_.rows();
  MatrixXd k(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) k(i, j) = k(j, i) = covariance(x_.row(i), x_.row(j));
  }
  constexpr int kMostSteps = 50;
  constexpr double kLeastCurvature = 1e-12, kSettled = 1e-6;
  VectorXd f = VectorXd::Zero(n);
  double before = -std::numeric_limits<double>::infinity(), value = before;
  const auto slopes = [&] {
    return VectorXd(((labels_.array() + 1) / 2) - f.array().unaryExpr(&logistic));
  };
  for (int step = 0; step < kMostSteps; ++step) {
    slope_ = slopes();
    const Eigen::ArrayXd p = f.array().unaryExpr(&logistic);
    const VectorXd curvature = (p * (1 - p)).max(kLeastCurvature).matrix();
    root_ = curvature.cwiseSqrt();
    MatrixXd b = root_.asDiagonal() * k * root_.asDiagonal();
    b.diagonal().array() += 1;
    cholesky_.compute(b);
    const VectorXd target = curvature.cwiseProduct(f) + slope_;
    const VectorXd alpha =
        target - root_.cwiseProduct(cholesky_.solve(root_.cwiseProduct(k * target)));
    f = k * alpha;
    value = -0.5 * alpha.dot(f);
    for (Index i = 0; i < n; ++i) value += log_logistic(labels_[i] * f[i]);
    if (std::abs(value - before) < kSettled) break;
    before = value;
  }
  slope_ = slopes();
  return value - MatrixXd(cholesky_.matrixL()).diagonal().array().log().sum();
}

void GaussianClassifier::condition(const MatrixXd& x, const VectorXd& labels) {
  OCOEE_CHECK(x.rows() == labels.size() && x.rows() > 0 &&
                  x.cols() == static_cast<Index>(categorical_.size()),
              "a classifier over {} points of {} coordinates", x.rows(), x.cols());
  x_ = x, labels_ = labels;
  settle();
}

void GaussianClassifier::fit(const MatrixXd& x, const VectorXd& labels) {
  condition(x, labels);
  double best = -std::numeric_limits<double>::infinity();
  Scales chosen;
  for (const double signal : kSignals) {
    for (const double length : kLengths) {
      scales_ = {signal, length};
      if (const double evidence = settle(); evidence > best) best = evidence, chosen = scales_;
    }
  }
  scales_ = chosen;
  settle();
}

// The logistic averaged over the posterior, nearly (MacKay 1992).
double GaussianClassifier::log_probability(const VectorXd& x) const {
  const Index n = x_.rows();
  VectorXd k(n);
  for (Index i = 0; i < n; ++i) k[i] = covariance(x, x_.row(i));
  const double explained = cholesky_.matrixL().solve(root_.cwiseProduct(k)).squaredNorm();
  const double variance = std::max(0.0, covariance(x, x) - explained);
  return log_logistic(k.dot(slope_) / std::sqrt(1 + M_PI * variance / 8));
}

}  // namespace ocoee::plan
