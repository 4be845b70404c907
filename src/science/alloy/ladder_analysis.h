// SPDX-License-Identifier: Apache-2.0
// From the series of a temperature ladder to curves with errors and transition temperatures.
#pragma once

#include <cstdint>
#include <functional>
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
  // By temperature and sample. Energies of the whole system, and what the ensemble weighs them by:
  // E - sum_a mu_a N_a of flips; empty: the energy.
  std::vector<std::vector<double>> energy, weighed;
  std::vector<std::vector<double>> order;  // eta; empty: none was asked for
  // [column][temperature][sample], averaged only: Warren-Cowley parameters, composition.
  std::vector<std::string> column_names;
  size_t fractions = 0;  // so many of the columns, the first ones, are fractions of species
  // What each sample of a column counts for in its mean, 0: it says nothing; empty: all the same.
  std::map<size_t, std::vector<std::vector<double>>> column_weights;
  const std::vector<std::vector<double>>& weights() const {
    return weighed.empty() ? energy : weighed;
  }
  std::vector<std::vector<std::vector<double>>> columns;
};

struct LadderPoint {  // at one temperature of the ladder
  double k_t = 0;
  Estimate energy;                // a site
  Estimate weighed;               // E - sum mu N, a site; the energy where nothing else is weighed
  Estimate heat_capacity;         // k_B a site; of flips at fixed potentials: of E - sum mu N
  Estimate order;                 // <eta>
  Estimate susceptibility;        // N (<eta^2> - <eta>^2) / k_B T
  Estimate binder;                // 1 - <eta^4> / (3 <eta^2>^2)
  std::vector<Estimate> columns;  // NaN where no sample counts
  // N (<c_a^2> - <c_a>^2) / k_B T = d c_a / d mu_a, of each fraction
  std::vector<Estimate> composition_susceptibility;
  // Of the slowest of energy and order, in samples; errors of a column are by the slowest of these
  // and itself. A chain whose energy never changes counts as one sample.
  double autocorrelation = 0.5;
  double effective_samples = 0;
  bool frozen = false;  // the energy never changed
};
std::vector<LadderPoint> analyse(const LadderSeries& series);

struct Without {  // block k of `blocks` is left out; -1: none
  int64_t k = -1, blocks = 0;
};

// All temperatures together. Errors are by jackknife over blocks that are each at least ten
// autocorrelation times long, of energy and order at the temperatures on either side of the answer;
// where fewer than eight such blocks fit, no error is claimed, nor where temperatures share no
// energies without one of the blocks.
class Reweighted {
 public:
  // At most `most` samples a temperature are used (evenly thinned). Error(numerics) where
  // neighbouring temperatures share no energies.
  explicit Reweighted(const LadderSeries& series, int64_t most = 3000);
  double low() const { return low_; }  // k_B T between which it may be asked
  double high() const { return high_; }

  // NaN where temperatures share no energies without the block.
  double heat_capacity(double k_t, Without without = {}) const;  // a site
  double binder(double k_t, Without without = {}) const;
  double susceptibility(double k_t, Without without = {}) const;
  // How many independent samples what is asked at k_t rests on: 1 / (sum of w^2 2 tau), w being the
  // samples' weights there and tau the autocorrelation time of the temperature they come from.
  double independent_samples(double k_t) const;
  // Of what `curve` says at k_t; NaN where no error is claimed.
  double error_at(double k_t, const std::function<double(double k_t, Without)>& curve) const;
  // Into how many blocks series are cut for the error of something at k_t; 0: too few would fit.
  int64_t blocks_at(double k_t) const;

  // Where a curve has maxima that stand out: each lies above the lowest values between it and a
  // higher one (or the end of the ladder), on both sides, by more than three errors of the
  // difference. The highest first.
  std::vector<Estimate> heat_capacity_peaks() const;
  std::vector<Estimate> susceptibility_peaks() const;
  // So far asked without a block without which temperatures share no energies.
  bool is_marginal() const;

 private:
  struct Part {
    Mbar mbar;
    std::vector<double> order;  // state after state
  };
  std::vector<Estimate> peaks_of(double (Reweighted::*curve)(double, Without) const) const;
  Part solution(Without without) const;
  const Part* part(Without without) const;  // nothing where there is no solution without the block

  double sites_, low_, high_;
  std::vector<double> k_t_, times_;                  // of each temperature; in used samples
  std::vector<std::vector<double>> energy_, order_;  // the used samples
  mutable std::map<std::pair<int64_t, int64_t>, std::unique_ptr<const Part>> parts_;  // when asked
};

// Where the Binder cumulants of two sizes agree; nothing where they do not cross inside. No error
// is claimed where they do not cross any more without one of the blocks.
std::optional<Estimate> binder_crossing(const Reweighted& small, const Reweighted& large);

}  // namespace ocoee::alloy
