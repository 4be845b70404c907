// SPDX-License-Identifier: Apache-2.0
// From the series of a temperature ladder to curves with errors and transition temperatures.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "science/alloy/mbar.h"

namespace ocoee::alloy {

// Samples of one system at a ladder of temperatures, all of one length.
struct LadderSeries {
  int64_t sites = 1;
  std::vector<double> k_t;  // k_B T in the unit of energy, monotonic
  // By temperature and sample. Energies (or what the ensemble weighs) of the whole system.
  std::vector<std::vector<double>> energy;
  std::vector<std::vector<double>> order;  // eta; empty: none was asked for
  // [column][temperature][sample], averaged only: Warren-Cowley parameters, composition.
  std::vector<std::string> column_names;
  std::vector<std::vector<std::vector<double>>> columns;
};

struct LadderPoint {  // at one temperature of the ladder
  double k_t = 0;
  Estimate energy;          // a site
  Estimate heat_capacity;   // k_B a site
  Estimate order;           // <eta>
  Estimate susceptibility;  // N (<eta^2> - <eta>^2) / k_B T
  Estimate binder;          // 1 - <eta^4> / (3 <eta^2>^2)
  std::vector<Estimate> columns;
  double autocorrelation = 0.5;  // of the slowest of energy and order, in samples
  double effective_samples = 0;
};
std::vector<LadderPoint> analyse(const LadderSeries& series);

struct Without {  // block k of `blocks` is left out; -1: none
  int64_t k = -1, blocks = 0;
};

// All temperatures together. Errors are by jackknife over blocks that are each at least ten
// autocorrelation times long, of energy and order at the temperatures on either side of the answer;
// where fewer than eight such blocks fit, no error is claimed.
class Reweighted {
 public:
  // At most `most` samples a temperature are used (evenly thinned).
  explicit Reweighted(const LadderSeries& series, int64_t most = 3000);
  double low() const { return low_; }  // k_B T between which it may be asked
  double high() const { return high_; }

  double heat_capacity(double k_t, Without without = {}) const;  // a site
  double binder(double k_t, Without without = {}) const;
  double susceptibility(double k_t, Without without = {}) const;
  // Into how many blocks series are cut for the error of something at k_t; 0: too few would fit.
  int64_t blocks_at(double k_t) const;

  // Where a curve is highest, with its error; nothing where that is an end of the ladder.
  std::optional<Estimate> heat_capacity_peak() const;
  std::optional<Estimate> susceptibility_peak() const;

 private:
  struct Part {
    Mbar mbar;
    std::vector<double> order;  // state after state
  };
  std::optional<Estimate> peak_of(double (Reweighted::*curve)(double, Without) const) const;
  const Part& part(Without without) const;

  double sites_, low_, high_;
  std::vector<double> k_t_, times_;                  // of each temperature; in used samples
  std::vector<std::vector<double>> energy_, order_;  // the used samples
  mutable std::map<std::pair<int64_t, int64_t>, std::unique_ptr<const Part>> parts_;  // when asked
};

// Where the Binder cumulants of two sizes agree; nothing where they do not cross inside.
std::optional<Estimate> binder_crossing(const Reweighted& small, const Reweighted& large);

}  // namespace ocoee::alloy
