// SPDX-License-Identifier: Apache-2.0
// Gaussian process regression (Rasmussen, Williams 2006, algorithm 2.1) with observation noise. The
// kernel adds what each coordinate does alone, what each pair does, and what all do together
// (Duvenaud, Nickisch, Rasmussen 2011): products of one Matern 5/2 a coordinate, with its own
// length. Lengths, signals and noise maximise the marginal likelihood times weak log-normal priors
// (section 5.4.1), or are drawn from it.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <vector>

#include "core/random.h"

namespace ocoee::plan {

class GaussianProcess {
 public:
  // `categorical` coordinates are words: two are equal, or at distance 1. `slope`: by how much the
  // function may rise along a straight line in each coordinate, or differ between two words, beside
  // all else; a standard deviation over the unit range, in those of y. 0: it keeps to its mean far
  // from what was tried.
  explicit GaussianProcess(std::vector<bool> categorical, double slope = 0);

  // x [n, d], y [n]; any scale of y. Starts its search from the last fit's lengths, and from two
  // fixed places.
  void fit(const Eigen::MatrixXd& x, const Eigen::VectorXd& y);
  // The same lengths, signal and noise with other points: pending trials take their predicted
  // values.
  void condition(const Eigen::MatrixXd& x, const Eigen::VectorXd& y);

  // `count` models of the same points, with lengths, signals and noise drawn from their posterior,
  // which few points leave wide: the likeliest ones alone are far too sure of what was never tried.
  std::vector<GaussianProcess> draw(int count, RandomStream& random) const;

  struct Prediction {
    double mean = 0, variance = 0;  // of the function, without noise
  };
  Prediction predict(const Eigen::VectorXd& x) const;

  double log_posterior() const { return log_posterior_; }  // of the standardised y
  Eigen::VectorXd lengths() const;
  double noise() const;  // standard deviation, in the scale of y

 private:
  double objective(const Eigen::VectorXd& theta, Eigen::VectorXd* gradient) const;
  Eigen::VectorXd maximise(Eigen::VectorXd theta, double& value) const;
  void factorise();
  double covariance(const Eigen::VectorXd& a, const Eigen::VectorXd& b) const;
  void slice(Eigen::Index k, double& value, RandomStream& random);

  double line(const Eigen::VectorXd& a, const Eigen::VectorXd& b) const;

  std::vector<bool> categorical_;
  double slope_ = 0;
  Eigen::MatrixXd x_;
  Eigen::VectorXd y_;  // standardised
  double mean_ = 0, scale_ = 1;
  std::vector<Eigen::MatrixXd> distances_;  // a coordinate
  Eigen::MatrixXd lines_;                   // line() of the points
  Eigen::VectorXd theta_;                   // logs of lengths, three signals, and noise (variances)
  Eigen::LLT<Eigen::MatrixXd> cholesky_;
  Eigen::VectorXd alpha_;  // K^-1 y
  double log_posterior_ = 0;
};

}  // namespace ocoee::plan
