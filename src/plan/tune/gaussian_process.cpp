// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/gaussian_process.h"

#include <cmath>

#include "core/error.h"
#include "plan/tune/kernel.h"

namespace ocoee::plan {
namespace {

using Eigen::ArrayXXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

// Means and standard deviations of the priors, in logs: lengths of half the unit range, a third of
// the variance of the standardised y for each signal, noise of a few percent.
constexpr double kLengthMean = -0.7, kLengthWidth = 1.0;
constexpr double kSignalMean = -1.0, kSignalWidth = 1.0;
constexpr double kNoiseMean = -7.0, kNoiseWidth = 2.0;
const double kRoot5 = std::sqrt(5.0);
constexpr double kJitter = 1e-9;
constexpr double kLeastTheta = -18, kMostTheta = 6;

// Signals: of coordinates alone, of pairs, of all together; the sums have value 1 at no distance.
constexpr Index kSignals = 3;
double share_of_one(Index d) {
  return 1.0 / static_cast<double>(d);
}
double share_of_pair(Index d) {
  return d > 1 ? 2.0 / static_cast<double>(d * (d - 1)) : 0;
}

void add_prior(double theta, double mean, double width, double& value, double* gradient) {
  const double z = (theta - mean) / width;
  value -= z * z / 2;
  if (gradient) *gradient -= z / width;
}

}  // namespace

GaussianProcess::GaussianProcess(std::vector<bool> categorical, double slope)
    : categorical_(std::move(categorical)), slope_(slope) {
  const Index d = static_cast<Index>(categorical_.size());
  theta_ = VectorXd::Constant(d + kSignals + 1, kLengthMean);
  theta_.segment(d, kSignals).setConstant(kSignalMean);
  theta_[d + kSignals] = kNoiseMean;
}

// The log posterior of theta, and its gradient (equation 5.9).
double GaussianProcess::objective(const VectorXd& theta, VectorXd* gradient) const {
  const Index n = x_.rows(), d = x_.cols();
  const double one = std::exp(theta[d]) * share_of_one(d),
               pair = std::exp(theta[d + 1]) * share_of_pair(d), every = std::exp(theta[d + 2]),
               noise = std::exp(theta[d + kSignals]);
  std::vector<ArrayXXd> near(static_cast<size_t>(d));
  ArrayXXd sum = ArrayXXd::Zero(n, n), squares = sum, product = ArrayXXd::Ones(n, n);
  for (Index k = 0; k < d; ++k) {
    ArrayXXd& m = near[static_cast<size_t>(k)];
    const ArrayXXd s = distances_[static_cast<size_t>(k)].array() * (kRoot5 * std::exp(-theta[k]));
    m = (1 + s + s.square() / 3) * (-s).exp();
    sum += m, squares += m.square(), product *= m;
  }
  const ArrayXXd pairs = (sum.square() - squares) / 2;
  MatrixXd covariance = (one * sum + pair * pairs + every * product).matrix() + lines_;
  covariance.diagonal().array() += noise + kJitter;
  const Eigen::LLT<MatrixXd> cholesky(covariance);
  if (cholesky.info() != Eigen::Success) return -std::numeric_limits<double>::infinity();
  const VectorXd alpha = cholesky.solve(y_);
  double value = -0.5 * y_.dot(alpha) - MatrixXd(cholesky.matrixL()).diagonal().array().log().sum();
  if (gradient) {
    gradient->setZero(theta.size());
    // trace of (alpha alpha' - K^-1) dK / 2
    const ArrayXXd weight =
        ((alpha * alpha.transpose() - cholesky.solve(MatrixXd::Identity(n, n))) / 2).array();
    for (Index k = 0; k < d; ++k) {
      const ArrayXXd& m = near[static_cast<size_t>(k)];
      const ArrayXXd s =
          distances_[static_cast<size_t>(k)].array() * (kRoot5 * std::exp(-theta[k]));
      const ArrayXXd slope = s.square() / 3 * (1 + s) * (-s).exp();  // of m, by the log length
      const ArrayXXd others = product / m.max(std::numeric_limits<double>::min());
      (*gradient)[k] = (weight * slope * (one + pair * (sum - m) + every * others)).sum();
    }
    (*gradient)[d] = (weight * sum).sum() * one;
    (*gradient)[d + 1] = (weight * pairs).sum() * pair;
    (*gradient)[d + 2] = (weight * product).sum() * every;
    (*gradient)[d + kSignals] = weight.matrix().trace() * noise;
  }
  for (Index k = 0; k < theta.size(); ++k) {
    double* slope = gradient ? &(*gradient)[k] : nullptr;
    if (k < d)
      add_prior(theta[k], kLengthMean, kLengthWidth, value, slope);
    else if (k < d + kSignals)
      add_prior(theta[k], kSignalMean, kSignalWidth, value, slope);
    else
      add_prior(theta[k], kNoiseMean, kNoiseWidth, value, slope);
  }
  return value;
}

double GaussianProcess::covariance(const VectorXd& a, const VectorXd& b) const {
  const Index d = a.size();
  double sum = 0, squares = 0, product = 1;
  for (Index k = 0; k < d; ++k) {
    const double m =
        matern(distance(categorical_[static_cast<size_t>(k)], a[k], b[k]) * std::exp(-theta_[k]));
    sum += m, squares += m * m, product *= m;
  }
  return std::exp(theta_[d]) * share_of_one(d) * sum +
         std::exp(theta_[d + 1]) * share_of_pair(d) * (sum * sum - squares) / 2 +
         std::exp(theta_[d + 2]) * product + line(a, b);
}

// The covariance of straight lines through the middle of the range (section 2.7).
double GaussianProcess::line(const VectorXd& a, const VectorXd& b) const {
  if (slope_ == 0) return 0;
  double sum = 0;
  for (Index k = 0; k < a.size(); ++k)
    sum += categorical_[static_cast<size_t>(k)] ? (a[k] == b[k] ? 0.5 : 0)
                                                : (a[k] - 0.5) * (b[k] - 0.5);
  return slope_ * slope_ * sum;
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
      theta[j] = std::clamp(theta[j], kLeastTheta, kMostTheta);
    }
    before = gradient;
    if (step.maxCoeff() < 1e-3) break;
  }
  return best_theta;
}

void GaussianProcess::fit(const MatrixXd& x, const VectorXd& y) {
  condition(x, y);
  const Index d = x.cols();
  double best = -std::numeric_limits<double>::infinity();
  VectorXd chosen = theta_;
  for (const double length : {std::nan(""), kLengthMean, 0.5}) {
    VectorXd start = theta_;  // of the last fit
    if (!std::isnan(length)) {
      start.head(d).setConstant(length);
      start.segment(d, kSignals).setConstant(kSignalMean);
      start[d + kSignals] = kNoiseMean;
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
  const Index n = x.rows(), d = x.cols();
  distances_.assign(static_cast<size_t>(d), MatrixXd(n, n));
  for (Index k = 0; k < d; ++k) {
    const bool words = categorical_[static_cast<size_t>(k)];
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j)
        distances_[static_cast<size_t>(k)](i, j) = distance(words, x_(i, k), x_(j, k));
    }
  }
  lines_.resize(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) lines_(i, j) = line(x_.row(i), x_.row(j));
  }
  factorise();
}

// One step of slice sampling in theta k (Neal 2003); `value` is the objective, before and after.
void GaussianProcess::slice(Index k, double& value, RandomStream& random) {
  constexpr double kWidth = 1.5;
  constexpr int kMostOut = 4, kMostIn = 30;
  const auto at = [&](double theta) {
    VectorXd other = theta_;
    other[k] = theta;
    return objective(other, nullptr);
  };
  const double level = value + std::log(std::max(random.uniform(), 1e-300));
  const double here = theta_[k];
  double low = here - kWidth * random.uniform(), high = low + kWidth;
  for (int i = 0; i < kMostOut && at(low) > level; ++i) low -= kWidth;
  for (int i = 0; i < kMostOut && at(high) > level; ++i) high += kWidth;
  for (int i = 0; i < kMostIn; ++i) {
    const double theta = low + (high - low) * random.uniform();
    if (const double there = at(theta); there > level) {
      theta_[k] = theta, value = there;
      return;
    }
    (theta < here ? low : high) = theta;
  }
}

std::vector<GaussianProcess> GaussianProcess::draw(int count, RandomStream& random) const {
  std::vector<GaussianProcess> out;
  GaussianProcess chain = *this;
  double value = objective(theta_, nullptr);
  for (int i = 0; i < count; ++i) {
    for (Index k = 0; k < theta_.size(); ++k) chain.slice(k, value, random);
    chain.factorise();
    out.push_back(chain);
  }
  return out;
}

void GaussianProcess::factorise() {
  const Index n = x_.rows();
  MatrixXd k(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) k(i, j) = k(j, i) = covariance(x_.row(i), x_.row(j));
  }
  k.diagonal().array() += std::exp(theta_[x_.cols() + kSignals]) + kJitter;
  cholesky_.compute(k);
  alpha_ = cholesky_.solve(y_);
}

GaussianProcess::Prediction GaussianProcess::predict(const VectorXd& x) const {
  const Index n = x_.rows();
  VectorXd k(n);
  for (Index i = 0; i < n; ++i) k[i] = covariance(x, x_.row(i));
  const double explained = cholesky_.matrixL().solve(k).squaredNorm();
  const double variance = std::max(1e-12, covariance(x, x) - explained);
  return {mean_ + scale_ * k.dot(alpha_), scale_ * scale_ * variance};
}

VectorXd GaussianProcess::lengths() const {
  return theta_.head(x_.cols()).array().exp();
}

double GaussianProcess::noise() const {
  return scale_ * std::exp(theta_[x_.cols() + kSignals] / 2);
}

}  // namespace ocoee::plan
