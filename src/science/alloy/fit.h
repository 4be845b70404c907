// SPDX-License-Identifier: Apache-2.0
// Linear fits of energies a site: what a term costs, how sure that is, how many terms the data
// bear.
//
// The first `free` columns of a design matrix (the concentrations, whose coefficients are the
// energies of the pure elements) are never shrunk. The others are, by lambda times the square of
// the coefficient times its column's spread, with lambda
//   - given, or 0 (least squares);
//   - where the leave-one-out error is smallest (ridge);
//   - where the evidence is largest (MacKay, Neural Comput. 4 (1992) 415), which gives the noise
//   too.
// Rows that repeat, columns that depend on one another and designs with more columns than rows are
// allowed: of the solutions the shortest is taken, and a coefficient that the data do not determine
// has an infinite error; in the covariance, what they do not determine is uncertain by 10 eV.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ocoee::alloy {

struct Design {
  int64_t rows = 0, columns = 0, free = 0;
  std::vector<double> features;  // [row][column], a site
  std::vector<double> targets;   // eV a site

  std::span<const double> row(int64_t r) const {
    return {features.data() + r * columns, static_cast<size_t>(columns)};
  }
  // In that order; free ones first.
  Design only_columns(const std::vector<int64_t>& columns) const;
  Design only_rows(const std::vector<int64_t>& rows) const;
};

enum class Shrinkage : uint8_t { none, given, leave_one_out, evidence };

struct Fit {
  std::vector<double> coefficients;
  std::vector<double> errors;      // standard deviation of each
  std::vector<double> covariance;  // [column][column], symmetric
  double lambda = 0;
  double noise = 0;         // standard deviation of a target about the fit, estimated
  double rmse = 0;          // over the rows it was fitted to
  double loo_rmse = 0;      // each row predicted by the others
  double parameters = 0;    // effective number that the data determine
  double log_evidence = 0;  // natural logarithm; only with Shrinkage::evidence
  double bic = 0;           // rows ln(rss / rows) + rank ln(rows); only with Shrinkage::none

  double predict(std::span<const double> features) const;
  double uncertainty(std::span<const double> features) const;  // of the prediction, without noise
};

// Error(config) without rows, Error(numerics) when a number is not finite, or when the evidence has
// no maximum.
Fit fit(const Design& design, Shrinkage shrinkage, double lambda = 0);

// Root mean square of prediction less target.
double rmse(const Fit& fit, const Design& design);

// Which of several models the data bear: candidates[i] are the columns of model i.
struct Choice {
  std::vector<double> bic, loo_rmse;  // by candidate, least squares
  size_t best = 0;                    // smallest BIC (Schwarz, Ann. Stat. 6 (1978) 461)
};
Choice choose_by_bic(const Design& design, const std::vector<std::vector<int64_t>>& candidates);

// A fold (0 .. folds - 1) for each row, such that every stratum (a composition) is spread as evenly
// as its size allows; which rows go where is drawn by `seed`.
std::vector<int> stratified_folds(const std::vector<int64_t>& strata, int folds, uint64_t seed);

// Error on a fold that is held out, by the number of rows fitted to: means and standard errors over
// the folds. Fitted as fit() does with `shrinkage` and `lambda`.
struct LearningPoint {
  int64_t rows = 0;
  double train_rmse = 0, test_rmse = 0, test_error = 0;
};
std::vector<LearningPoint> learning_curve(const Design& design, const std::vector<int64_t>& strata,
                                          Shrinkage shrinkage, double lambda, int points, int folds,
                                          uint64_t seed);

}  // namespace ocoee::alloy
