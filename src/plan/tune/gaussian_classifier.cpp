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

// Density over distribution.
double hazard(double z) {
  return std::exp(-z * z / 2 - 0.5 * std::log(2 * M_PI) - log_normal_cdf(z));
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

// Each trial's likelihood becomes a Gaussian site of precision tau and shift nu, fitted in turn
// with the others in place, until the evidence (equation 3.65) settles.
double GaussianClassifier::settle() {
  const Index n = x_.rows();
  MatrixXd k(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) k(i, j) = k(j, i) = covariance(x_.row(i), x_.row(j));
  }
  constexpr int kMostSweeps = 12;
  constexpr double kSettled = 1e-3, kLeast = 1e-12;  // the evidence; precisions
  MatrixXd sigma = k;
  VectorXd mean = VectorXd::Zero(n), nu = mean, tau = mean;
  double before = -std::numeric_limits<double>::infinity(), value = before;
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    for (Index i = 0; i < n; ++i) {
      const double precision = 1 / sigma(i, i) - tau[i];  // of the cavity: without this trial
      if (precision <= kLeast) continue;
      const double shift = mean[i] / sigma(i, i) - nu[i], variance = 1 / precision;
      const double width = std::sqrt(1 + variance), z = labels_[i] * shift * variance / width;
      const double ratio = hazard(z);
      const double tilted_mean = variance * (shift + labels_[i] * ratio / width);
      const double tilted = variance * (1 - variance * ratio * (z + ratio) / (1 + variance));
      const double change = std::max(1 / tilted - precision, kLeast) - tau[i];
      tau[i] += change;
      nu[i] = tilted_mean / tilted - shift;
      const VectorXd column = sigma.col(i);
      sigma.noalias() -= change / (1 + change * column[i]) * column * column.transpose();
      mean = sigma * nu;
    }
    root_ = tau.cwiseSqrt();
    MatrixXd b = root_.asDiagonal() * k * root_.asDiagonal();
    b.diagonal().array() += 1;
    cholesky_.compute(b);
    const MatrixXd v = cholesky_.matrixL().solve(MatrixXd(root_.asDiagonal() * k));
    sigma = k - v.transpose() * v;
    mean = sigma * nu;
    value = 0.5 * nu.dot(mean) - MatrixXd(cholesky_.matrixL()).diagonal().array().log().sum();
    for (Index i = 0; i < n; ++i) {
      const double precision = 1 / sigma(i, i) - tau[i];
      const double shift = mean[i] / sigma(i, i) - nu[i], at = shift / precision;
      value += log_normal_cdf(labels_[i] * at / std::sqrt(1 + 1 / precision)) +
               0.5 * std::log1p(tau[i] / precision) +
               (0.5 * at * precision * (tau[i] * at - 2 * nu[i]) - 0.5 * nu[i] * nu[i]) /
                   (precision + tau[i]);
    }
    if (std::abs(value - before) < kSettled) break;
    before = value;
  }
  weights_ = nu - root_.cwiseProduct(cholesky_.solve(root_.cwiseProduct(k * nu)));
  return value;
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

double GaussianClassifier::log_probability(const VectorXd& x) const {
  const Index n = x_.rows();
  VectorXd k(n);
  for (Index i = 0; i < n; ++i) k[i] = covariance(x, x_.row(i));
  const double explained = cholesky_.matrixL().solve(root_.cwiseProduct(k)).squaredNorm();
  const double variance = std::max(0.0, covariance(x, x) - explained);
  return log_normal_cdf(k.dot(weights_) / std::sqrt(1 + variance));
}

}  // namespace ocoee::plan
