// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/gaussian_process.h"

#include <cmath>

#include "core/error.h"

namespace ocoee::plan {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

// Means and standard deviations of the priors, in logs: lengths of half the unit range, variance of
// the standardised y, noise of a few percent.
constexpr double kLengthMean = -0.7, kLengthWidth = 1.0;
constexpr double kSignalMean = 0.0, kSignalWidth = 1.0;
constexpr double kNoiseMean = -7.0, kNoiseWidth = 2.0;
constexpr double kJitter = 1e-9;

double matern(double r) {
  const double s = std::sqrt(5.0) * r;
  return (1 + s + s * s / 3) * std::exp(-s);
}

void add_prior(double theta, double mean, double width, double& value, double* gradient) {
  const double z = (theta - mean) / width;
  value -= z * z / 2;
  if (gradient) *gradient -= z / width;
}

}  // namespace

GaussianProcess::GaussianProcess(std::vector<bool> categorical)
    : categorical_(std::move(categorical)) {
  const Index d = static_cast<Index>(categorical_.size());
  theta_ = VectorXd::Constant(d + 2, kLengthMean);
  theta_[d] = kSignalMean;
  theta_[d + 1] = kNoiseMean;
}

double GaussianProcess::squared_distance(Index k, double a, double b) const {
  if (categorical_[static_cast<size_t>(k)]) return a == b ? 0 : 1;
  return (a - b) * (a - b);
}

// The log posterior of theta, and its gradient (equation 5.9).
double GaussianProcess::objective(const VectorXd& theta, VectorXd* gradient) const {
  const Index n = x_.rows(), d = x_.cols();
  const double signal = std::exp(theta[d]), noise = std::exp(theta[d + 1]);
  MatrixXd r2 = MatrixXd::Zero(n, n);
  for (Index k = 0; k < d; ++k) r2 += distances_[static_cast<size_t>(k)] * std::exp(-2 * theta[k]);
  const MatrixXd s = (5 * r2).cwiseSqrt();
  const MatrixXd decay = (-s.array()).exp().matrix();
  const MatrixXd kernel =
      (signal * (1 + s.array() + s.array().square() / 3) * decay.array()).matrix();
  MatrixXd covariance = kernel;
  covariance.diagonal().array() += noise + kJitter;
  const Eigen::LLT<MatrixXd> cholesky(covariance);
  if (cholesky.info() != Eigen::Success) return -std::numeric_limits<double>::infinity();
  const VectorXd alpha = cholesky.solve(y_);
  double value =
      -0.5 * y_.dot(alpha) - cholesky.matrixL().toDenseMatrix().diagonal().array().log().sum();
  if (gradient) {
    gradient->setZero(d + 2);
    // trace of (alpha alpha' - K^-1) dK / 2
    const MatrixXd weight =
        (alpha * alpha.transpose() - cholesky.solve(MatrixXd::Identity(n, n))) / 2;
    const MatrixXd slope = (signal * 5.0 / 3 * (1 + s.array()) * decay.array()).matrix();
    for (Index k = 0; k < d; ++k) {
      (*gradient)[k] =
          (weight.array() * slope.array() * distances_[static_cast<size_t>(k)].array()).sum() *
          std::exp(-2 * theta[k]);
    }
    (*gradient)[d] = (weight.array() * kernel.array()).sum();
    (*gradient)[d + 1] = weight.trace() * noise;
  }
  for (Index k = 0; k < d; ++k)
    add_prior(theta[k], kLengthMean, kLengthWidth, value, gradient ? &(*gradient)[k] : nullptr);
  add_prior(theta[d], kSignalMean, kSignalWidth, value, gradient ? &(*gradient)[d] : nullptr);
  add_prior(theta[d + 1], kNoiseMean, kNoiseWidth, value, gradient ? &(*gradient)[d + 1] : nullptr);
  return value;
}

// Signs of the gradient with steps of their own (Rprop, Riedmiller and Braun 1993): no line search,
// and deaf to the scale of each parameter.
VectorXd GaussianProcess::maximise(VectorXd theta, double& best) const {
  constexpr int kSteps = 60;
  VectorXd gradient, before = VectorXd::Zero(theta.size()),
                     step = VectorXd::Constant(theta.size(), 0.3), best_theta = theta;
  best = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < kSteps; ++i) {
    const double value = objective(theta, &gradient);
    if (!std::isfinite(value)) break;
    if (value > best) best = value, best_theta = theta;
    for (Index j = 0; j < theta.size(); ++j) {
      const double turn = gradient[j] * before[j];
      step[j] = turn > 0 ? std::min(step[j] * 1.3, 1.0) : turn < 0 ? step[j] * 0.5 : step[j];
      if (gradient[j] != 0) theta[j] += gradient[j] > 0 ? step[j] : -step[j];
      theta[j] = std::clamp(theta[j], -18.0, 6.0);
    }
    before = gradient;
    if (step.maxCoeff() < 1e-3) break;
  }
  return best_theta;
}

void GaussianProcess::fit(const MatrixXd& x, const VectorXd& y) {
  condition(x, y);
  const Index n = x.rows(), d = x.cols();
  distances_.assign(static_cast<size_t>(d), MatrixXd(n, n));
  for (Index k = 0; k < d; ++k) {
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j)
        distances_[static_cast<size_t>(k)](i, j) = squared_distance(k, x_(i, k), x_(j, k));
    }
  }
  double best = -std::numeric_limits<double>::infinity();
  VectorXd chosen = theta_;
  for (const double length : {std::nan(""), kLengthMean, 0.5}) {
    VectorXd start = theta_;  // of the last fit
    if (!std::isnan(length)) {
      start.head(d).setConstant(length);
      start[d] = kSignalMean;
      start[d + 1] = kNoiseMean;
    }
    double value = 0;
    const VectorXd found = maximise(start, value);
    if (value > best) best = value, chosen = found;
  }
  theta_ = chosen;
  log_posterior_ = best;
  factorise();
}

void GaussianProcess::condition(const MatrixXd& x, const VectorXd& y) {
  OCOEE_CHECK(
      x.rows() == y.size() && x.rows() > 0 && x.cols() == static_cast<Index>(categorical_.size()),
      "a Gaussian process over {} points of {} coordinates", x.rows(), x.cols());
  x_ = x;
  mean_ = y.mean();
  const double variance = (y.array() - mean_).square().mean();
  scale_ = variance > 0 ? std::sqrt(variance) : 1;
  y_ = (y.array() - mean_) / scale_;
  factorise();
}

void GaussianProcess::factorise() {
  const Index n = x_.rows(), d = x_.cols();
  MatrixXd covariance(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) {
      double r2 = 0;
      for (Index k = 0; k < d; ++k)
        r2 += squared_distance(k, x_(i, k), x_(j, k)) * std::exp(-2 * theta_[k]);
      covariance(i, j) = covariance(j, i) = std::exp(theta_[d]) * matern(std::sqrt(r2));
    }
  }
  covariance.diagonal().array() += std::exp(theta_[d + 1]) + kJitter;
  cholesky_.compute(covariance);
  alpha_ = cholesky_.solve(y_);
}

GaussianProcess::Prediction GaussianProcess::predict(const VectorXd& x) const {
  const Index n = x_.rows(), d = x_.cols();
  const double signal = std::exp(theta_[d]);
  VectorXd k(n);
  for (Index i = 0; i < n; ++i) {
    double r2 = 0;
    for (Index j = 0; j < d; ++j)
      r2 += squared_distance(j, x_(i, j), x[j]) * std::exp(-2 * theta_[j]);
    k[i] = signal * matern(std::sqrt(r2));
  }
  const double explained = cholesky_.matrixL().solve(k).squaredNorm();
  return {mean_ + scale_ * k.dot(alpha_),
          scale_ * scale_ * std::max(signal - explained, 1e-12 * signal)};
}

VectorXd GaussianProcess::lengths() const {
  return theta_.head(static_cast<Index>(categorical_.size())).array().exp();
}

double GaussianProcess::noise() const {
  return scale_ * std::exp(theta_[theta_.size() - 1] / 2);
}

}  // namespace ocoee::plan
