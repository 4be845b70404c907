// SPDX-License-Identifier: Apache-2.0
// The design is reduced once, by a QR decomposition, to as many rows as columns; each lambda after
// that costs a decomposition of that small system with sqrt(lambda) below it. No normal equations:
// they would square the condition number.
#include <Eigen/Dense>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "science/alloy/fit.h"

namespace ocoee::alloy {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double kRoundOff = 1e-13;   // of the targets' size: below it, a residual is no noise
constexpr double kDependent = 1e-10;  // of the largest pivot: a column that others make up
constexpr double kUnknown = 10;       // eV a site, of what no structure tells

// The system in columns of unit spread, reduced.
class Reduced {
 public:
  explicit Reduced(const Design& design)
      : rows_(design.rows), columns_(design.columns), free_(design.free) {
    const Eigen::Map<const RowMatrix> x(design.features.data(), rows_, columns_);
    const Eigen::Map<const Vector> y(design.targets.data(), rows_);
    if (!x.allFinite() || !y.allFinite())
      fail(ErrorKind::numerics, "fit: a feature or an energy is not finite");
    scale_ = Vector::Ones(columns_);
    for (Eigen::Index j = free_; j < columns_; ++j) {
      const double spread = std::sqrt((x.col(j).array() - x.col(j).mean()).square().mean());
      if (spread > 1e-12 * x.col(j).cwiseAbs().maxCoeff()) scale_[j] = spread;
    }
    x_ = x * scale_.cwiseInverse().asDiagonal();
    y_ = y;
    const Eigen::HouseholderQR<Matrix> qr(x_);
    const Eigen::Index kept = std::min(rows_, columns_);
    r_ = Matrix::Zero(columns_, columns_);
    r_.topRows(kept) = qr.matrixQR().topRows(kept).triangularView<Eigen::Upper>();
    const Vector turned = qr.householderQ().adjoint() * y_;
    q_ = Vector::Zero(columns_);
    q_.head(kept) = turned.head(kept);
    rest_ = turned.tail(rows_ - kept).squaredNorm();
    size_ = y_.squaredNorm();
  }

  struct Solution {
    double lambda = 0;
    Vector w;       // scaled coefficients
    Matrix spread;  // (X^T X + lambda)^-1 in scaled columns
    double rss = 0;
    double log_det = 0;  // of X^T X + lambda
    double parameters = 0;
    Eigen::Index rank = 0;
    std::vector<bool> known;  // by column: not even in part beyond what the data tell
    Matrix unknown;           // projection onto what the data do not tell; empty: they tell all
  };

  Solution solve(double lambda) const {
    Matrix a = Matrix::Zero(2 * columns_ - free_, columns_);
    a.topRows(columns_) = r_;
    for (Eigen::Index j = free_; j < columns_; ++j) a(columns_ + j - free_, j) = std::sqrt(lambda);
    Vector b = Vector::Zero(a.rows());
    b.head(columns_) = q_;
    Eigen::CompleteOrthogonalDecomposition<Matrix> qr;
    qr.setThreshold(kDependent);
    qr.compute(a);
    Solution s;
    s.lambda = lambda;
    s.w = qr.solve(b);
    s.rank = qr.rank();
    const Matrix inverse = qr.pseudoInverse();
    s.spread = inverse * inverse.transpose();
    const Matrix told = inverse * a;
    for (Eigen::Index j = 0; j < columns_; ++j) s.known.push_back(told(j, j) > 1 - 1e-6);
    if (s.rank < columns_) {
      const Eigen::SelfAdjointEigenSolver<Matrix> parts(0.5 * (told + told.transpose()));
      const Matrix free = parts.eigenvectors().leftCols(columns_ - s.rank);  // of eigenvalue 0
      s.unknown = free * free.transpose();
    }
    s.rss = rest_ + (q_ - r_ * s.w).squaredNorm();
    s.log_det =
        2 * qr.matrixT().topLeftCorner(s.rank, s.rank).diagonal().cwiseAbs().array().log().sum();
    s.parameters = static_cast<double>(s.rank);
    for (Eigen::Index j = free_; j < columns_; ++j) s.parameters -= lambda * s.spread(j, j);
    return s;
  }

  // Below this, a sum of squared residuals is round-off.
  double smallest_rss() const { return size_ * kRoundOff * kRoundOff; }
  double rss(const Solution& s) const { return std::max(s.rss, smallest_rss()); }

  double loo_rmse(const Solution& s) const {
    const Vector residual = y_ - x_ * s.w;
    const Vector leverage = (x_ * s.spread).cwiseProduct(x_).rowwise().sum();
    double sum = 0;
    for (Eigen::Index i = 0; i < rows_; ++i) {
      const double left = 1 - leverage[i];  // a row that alone decides something is not predicted
      sum += left > 1e-9 ? std::pow(residual[i] / left, 2) : std::pow(y_[i], 2);
    }
    return std::sqrt(sum / static_cast<double>(rows_));
  }

  Fit finished(const Solution& s, double noise) const {
    Fit fit;
    const Vector w = s.w.cwiseQuotient(scale_);
    fit.coefficients.assign(w.data(), w.data() + columns_);
    Matrix covariance = noise * noise * s.spread;
    if (s.unknown.size() > 0) covariance += kUnknown * kUnknown * s.unknown;
    covariance =
        scale_.cwiseInverse().asDiagonal() * covariance * scale_.cwiseInverse().asDiagonal();
    fit.covariance.assign(covariance.data(), covariance.data() + covariance.size());
    for (Eigen::Index j = 0; j < columns_; ++j) {
      fit.errors.push_back(s.known[static_cast<size_t>(j)]
                               ? std::sqrt(std::max(covariance(j, j), 0.0))
                               : std::numeric_limits<double>::infinity());
    }
    fit.lambda = s.lambda;
    fit.noise = noise;
    fit.rmse = std::sqrt(s.rss / static_cast<double>(rows_));
    fit.loo_rmse = loo_rmse(s);
    fit.parameters = s.parameters;
    return fit;
  }

  double rows() const { return static_cast<double>(rows_); }
  Eigen::Index shrunk() const { return columns_ - free_; }
  double weight(const Solution& s) const { return s.w.tail(shrunk()).squaredNorm(); }
  double free() const { return static_cast<double>(free_); }

 private:
  Eigen::Index rows_, columns_, free_;
  Vector scale_, y_, q_;
  Matrix x_, r_;
  double rest_ = 0, size_ = 0;
};

double noise_of(const Reduced& system, const Reduced::Solution& s) {
  const double left = system.rows() - s.parameters;
  return left > 0.5 ? std::sqrt(s.rss / left) : 0;
}

// Smallest value of f over ln(lambda), by a grid and a golden section around its best point.
template <class F>
double smallest(const F& f) {
  double best = 0, best_value = std::numeric_limits<double>::infinity();
  constexpr double kFirst = -46, kLast = 12, kStep = 2;
  for (double at = kFirst; at <= kLast; at += kStep) {
    const double value = f(at);
    if (value < best_value) {
      best_value = value;
      best = at;
    }
  }
  double low = best - kStep, high = best + kStep;
  const double ratio = 0.5 * (std::sqrt(5.0) - 1);
  for (int i = 0; i < 25; ++i) {
    const double left = high - ratio * (high - low), right = low + ratio * (high - low);
    if (f(left) <= f(right)) {
      high = right;
    } else {
      low = left;
    }
  }
  return 0.5 * (low + high);
}

// The evidence with alpha = lambda beta, and beta at its best value for this lambda.
double log_evidence(const Reduced& system, const Reduced::Solution& s) {
  const double misfit = system.rss(s) + s.lambda * system.weight(s);
  const double n = system.rows() - system.free(), p = static_cast<double>(system.shrunk());
  const double beta = n / misfit;
  return 0.5 *
         (n * std::log(beta) - n - n * std::log(2 * M_PI) + p * std::log(s.lambda) - s.log_det);
}

}  // namespace

Fit fit(const Design& design, Shrinkage shrinkage, double lambda) {
  if (design.rows < 1) fail(ErrorKind::config, "fit: there are no energies to fit to");
  const Reduced system(design);
  if (system.shrunk() == 0) shrinkage = shrinkage == Shrinkage::given ? shrinkage : Shrinkage::none;
  switch (shrinkage) {
    case Shrinkage::none: {
      const Reduced::Solution s = system.solve(0);
      Fit out = system.finished(s, noise_of(system, s));
      out.bic = system.rows() * std::log(system.rss(s) / system.rows()) +
                static_cast<double>(s.rank) * std::log(system.rows());
      return out;
    }
    case Shrinkage::given: {
      const Reduced::Solution s = system.solve(lambda);
      return system.finished(s, noise_of(system, s));
    }
    case Shrinkage::leave_one_out: {
      const double at =
          smallest([&](double x) { return system.loo_rmse(system.solve(std::exp(x))); });
      const Reduced::Solution s = system.solve(std::exp(at));
      return system.finished(s, noise_of(system, s));
    }
    case Shrinkage::evidence:
      break;
  }
  if (system.rows() <= system.free())
    fail(ErrorKind::numerics, "fit: {} energies bear no evidence on {} free terms and more",
         design.rows, design.free);
  const double at =
      smallest([&](double x) { return -log_evidence(system, system.solve(std::exp(x))); });
  const Reduced::Solution s = system.solve(std::exp(at));
  const double misfit = system.rss(s) + s.lambda * system.weight(s);
  Fit out = system.finished(s, std::sqrt(misfit / (system.rows() - system.free())));
  out.log_evidence = log_evidence(system, s);
  return out;
}

}  // namespace ocoee::alloy
