// SPDX-License-Identifier: Apache-2.0
// Gaussian process classification with a probit likelihood, by expectation propagation (Rasmussen,
// Williams 2006, algorithms 3.5 and 3.6): Laplace's approximation is far too unsure of what lies
// deep on one side of a sharp limit (Kuss, Rasmussen 2005). Its kernel is a sum over coordinates,
// as what makes a trial fail (memory, mostly) adds up: what one knob does to a trial is learnt from
// all trials, whatever their other knobs; a weak product kernel is left for exceptions.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <vector>

namespace ocoee::plan {

class GaussianClassifier {
 public:
  // `categorical` coordinates are words: two are equal, or at distance 1.
  explicit GaussianClassifier(std::vector<bool> categorical);

  // x [n, d], labels [n]: +1 or -1. Chooses the scales of the kernel by the evidence.
  void fit(const Eigen::MatrixXd& x, const Eigen::VectorXd& labels);
  // The same scales with other points.
  void condition(const Eigen::MatrixXd& x, const Eigen::VectorXd& labels);

  double log_probability(const Eigen::VectorXd& x) const;  // of +1

 private:
  struct Scales {
    double signal = 3;  // standard deviation, of each coordinate's part
    double length = 1;
  };
  double covariance(const Eigen::VectorXd& a, const Eigen::VectorXd& b) const;
  double settle();  // fits the sites; returns the log evidence

  std::vector<bool> categorical_;
  Scales scales_;
  Eigen::MatrixXd x_;
  Eigen::VectorXd labels_;
  Eigen::VectorXd weights_, root_;        // of the mean's kernels; of the sites' precisions
  Eigen::LLT<Eigen::MatrixXd> cholesky_;  // of I + root K root
};

}  // namespace ocoee::plan
