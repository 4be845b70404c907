// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/fit.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "core/random.h"
#include "science/alloy/covariance.h"

namespace ocoee::alloy {
namespace {

void shuffle(std::vector<int64_t>& items, RandomStream& random) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace

Design Design::only_columns(const std::vector<int64_t>& chosen) const {
  Design out;
  out.rows = rows;
  out.columns = static_cast<int64_t>(chosen.size());
  out.free = std::count_if(chosen.begin(), chosen.end(), [&](int64_t c) { return c < free; });
  out.targets = targets;
  for (int64_t r = 0; r < rows; ++r)
    for (const int64_t c : chosen) out.features.push_back(row(r)[static_cast<size_t>(c)]);
  return out;
}

Design Design::only_rows(const std::vector<int64_t>& chosen) const {
  Design out;
  out.rows = static_cast<int64_t>(chosen.size());
  out.columns = columns;
  out.free = free;
  for (const int64_t r : chosen) {
    out.targets.push_back(targets[static_cast<size_t>(r)]);
    out.features.insert(out.features.end(), row(r).begin(), row(r).end());
  }
  return out;
}

double Fit::predict(std::span<const double> features) const {
  double sum = 0;
  for (size_t j = 0; j < features.size(); ++j) sum += coefficients[j] * features[j];
  return sum;
}

double Fit::uncertainty(std::span<const double> features) const {
  return deviation_of(covariance, features);
}

double rmse(const Fit& fit, const Design& design) {
  double sum = 0;
  for (int64_t r = 0; r < design.rows; ++r)
    sum += std::pow(fit.predict(design.row(r)) - design.targets[static_cast<size_t>(r)], 2);
  return std::sqrt(sum / static_cast<double>(design.rows));
}

Choice choose_by_bic(const Design& design, const std::vector<std::vector<int64_t>>& candidates) {
  OCOEE_CHECK(!candidates.empty(), "no model to choose from");
  Choice choice;
  for (const std::vector<int64_t>& columns : candidates) {
    const Fit model = fit(design.only_columns(columns), Shrinkage::none);
    choice.bic.push_back(model.bic);
    choice.loo_rmse.push_back(model.loo_rmse);
  }
  choice.best = static_cast<size_t>(std::min_element(choice.bic.begin(), choice.bic.end()) -
                                    choice.bic.begin());
  return choice;
}

std::vector<int> stratified_folds(const std::vector<int64_t>& strata, int folds, uint64_t seed) {
  OCOEE_CHECK(folds > 0, "folds are at least one");
  std::map<int64_t, std::vector<int64_t>> members;
  for (size_t i = 0; i < strata.size(); ++i) members[strata[i]].push_back(static_cast<int64_t>(i));
  std::vector<int> fold(strata.size());
  // Dealt out in turn, and on from where the last stratum ended, so that the folds are even too.
  int next = 0;
  for (auto& [stratum, rows] : members) {
    RandomStream random(seed, Purpose::selection, 0, static_cast<uint64_t>(stratum));
    shuffle(rows, random);
    for (const int64_t row : rows) {
      fold[static_cast<size_t>(row)] = next;
      next = (next + 1) % folds;
    }
  }
  return fold;
}

std::vector<LearningPoint> learning_curve(const Design& design, const std::vector<int64_t>& strata,
                                          Shrinkage shrinkage, double lambda, int points, int folds,
                                          uint64_t seed) {
  const std::vector<int> fold = stratified_folds(strata, folds, seed);
  std::vector<LearningPoint> curve;
  for (int point = 1; point <= points; ++point) {
    std::vector<double> tests;
    LearningPoint at;
    for (int held = 0; held < folds; ++held) {
      std::vector<int64_t> train, test;
      for (int64_t r = 0; r < design.rows; ++r)
        (fold[static_cast<size_t>(r)] == held ? test : train).push_back(r);
      RandomStream random(seed, Purpose::selection, 1, static_cast<uint64_t>(held));
      shuffle(train, random);
      train.resize(train.size() * static_cast<size_t>(point) / static_cast<size_t>(points));
      if (test.empty() || static_cast<int64_t>(train.size()) <= design.free) continue;
      const Design fitted_to = design.only_rows(train);
      const Fit model = fit(fitted_to, shrinkage, lambda);
      at.rows = std::max(at.rows, fitted_to.rows);
      at.train_rmse += model.rmse;
      tests.push_back(rmse(model, design.only_rows(test)));
    }
    if (tests.empty()) continue;
    const auto count = static_cast<double>(tests.size());
    at.train_rmse /= count;
    for (const double value : tests) at.test_rmse += value / count;
    double squares = 0;
    for (const double value : tests) squares += std::pow(value - at.test_rmse, 2);
    at.test_error = count > 1 ? std::sqrt(squares / (count - 1) / count) : 0;
    curve.push_back(at);
  }
  return curve;
}

}  // namespace ocoee::alloy
