// SPDX-License-Identifier: Apache-2.0
// Gaussian process regression (Rasmussen, Williams 2006, algorithm 2.1) with a Matern 5/2 kernel,
// one length a coordinate, and observation noise. Lengths, signal and noise maximise the marginal
// likelihood times weak log-normal priors (section 5.4.1).
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <vector>

namespace ocoee::plan {

class GaussianProcess {
 public:
  // `categorical` coordinates are words: two are equal, or at distance 1.
  explicit GaussianProcess(std::vector<bool> categorical);

  // x [n, d], y [n]; any scale of y. Starts its search from the last fit's lengths, and from two
  // fixed places.
  void fit(const Eigen::MatrixXd& x, const Eigen::VectorXd& y);
  // The same lengths, signal and noise with other points: pending trials take their predicted
  // values.
  void condition(const Eigen::MatrixXd& x, const Eigen::VectorXd& y);

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
  double squared_distance(Eigen::Index k, double a, double b) const;

  std::vector<bool> categorical_;
  Eigen::MatrixXd x_;
  Eigen::VectorXd y_;  // standardised
  double mean_ = 0, scale_ = 1;
  std::vector<Eigen::MatrixXd> distances_;  // squared, a coordinate
  Eigen::VectorXd theta_;                   // logs of lengths, signal variance, noise variance
  Eigen::LLT<Eigen::MatrixXd> cholesky_;
  Eigen::VectorXd alpha_;  // K^-1 y
  double log_posterior_ = 0;
};

}  // namespace ocoee::plan
