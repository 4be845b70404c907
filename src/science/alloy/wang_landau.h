// SPDX-License-Identifier: Apache-2.0
// The density of states by a walk that is flat in energy (Wang and Landau 2001), with the 1/t end
// (Belardinelli and Pereyra 2007), and its replica-exchange form over windows of energy (Vogel, Li,
// Wuest and Landau 2013).
//
// Walkers number ((group * windows) + window) * per_window + k. Groups are independent estimates,
// for errors. Walkers of a window share one refinement and their ln g are averaged when it changes;
// walkers of neighbouring windows exchange configurations. Everything is decided from whole-number
// energies and from draws all ranks make alike: the result does not depend on the number of ranks.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "run/state.h"
#include "science/alloy/density_of_states.h"
#include "science/alloy/moves.h"
#include "science/alloy/shares.h"

namespace ocoee::alloy {

struct EnergyBins {  // bin b holds energies [low + b width, low + (b + 1) width)
  Energy low = 0, width = 1;
  int64_t count = 1;
  bool levels = false;               // all energies lie at lower ends of bins: each holds one level
  int64_t of(Energy energy) const {  // may lie outside
    const Energy from = energy - low;
    return from < 0 ? -1 : from / width;
  }
  Energy offset(Energy energy) const { return (energy - low) % width; }  // within its bin
  static EnergyBins covering(Energy low, Energy high, Energy width);
};

// What a walk met in each bin: visits, and sums of energies above the bin's lower end and of their
// squares. Within a bin nothing tells states apart, so all are met alike, whatever its ln g.
struct BinEnergies {
  std::vector<int64_t> visits;
  std::vector<double> offsets, squares;
};

// Mean and variance of the energies that a group met in each bin, in quanta; the mean is NaN in
// bins of no state. Of bins that hold a level each the variance is empty.
struct BinMoments {
  std::vector<double> mean, variance;
};

struct WangLandauSettings {
  EnergyBins bins;
  Moves moves;  // far swaps, or flips
  int64_t groups = 1, windows = 1, per_window = 1;
  double overlap = 0.75;  // of a window with the next
  double flatness = 0.8;  // lowest count over the mean, for ln f to be halved
  double final_ln_f = 1e-6;
  bool one_over_t = true;
  int64_t sweeps_per_step = 100;  // of each walker, before exchanges and looks at flatness
  uint64_t seed = 1;
  ExchangeRule rule = metropolis_exchange;
};

class WangLandau {
 public:
  // `start`: species by site of each walker that this rank holds.
  WangLandau(std::shared_ptr<const EnergyModel> model, WangLandauSettings settings,
             comm::Communicator& ranks, const std::vector<std::vector<uint8_t>>& start);

  // Collective. Error(numerics) where walkers have not found their window after kLostAfter steps.
  void advance();
  static constexpr int64_t kLostAfter = 1000;
  bool finished() const;
  // About so many in all, where ln f ends as 1/t: it then falls by a law. 0: nobody knows.
  int64_t expected_steps() const;
  double ln_f() const;  // the largest of all windows
  int64_t steps() const { return step_; }
  int64_t walkers() const { return share_.rows; }
  const Share& share() const { return share_; }
  // Bins that walkers of a window may visit: [first, second).
  std::pair<int64_t, int64_t> window(int64_t index) const;
  int64_t exchanged() const { return exchanged_; }
  int64_t tried() const { return tried_; }

  // ln g of each group over all bins, NaN where none was met, up to a constant. Collective.
  // Error(numerics) where no walker has entered some window.
  std::vector<std::vector<double>> ln_g();
  std::vector<BinMoments> bin_moments();  // of each group; collective
  // `moments` as bin_moments() gives them; empty: lower ends, of bins that hold a level each.
  // `ln_states`: of all states; NaN where the range leaves some out, then ln g is 0 at its lowest.
  DensityOfStates density(const std::vector<double>& ln_g, double ln_states,
                          const BinMoments& moments = {}) const;
  // Moves that led below and above the range, of all walkers. Collective.
  std::array<int64_t, 2> beyond();
  const Configuration& walker(int64_t row) const { return held_[static_cast<size_t>(row)].at; }
  Energy energy(int64_t row) const { return held_[static_cast<size_t>(row)].energy; }

  void add_state(run::State& state);
  void loaded(const nlohmann::json& values);

 private:
  struct Walker {
    Configuration at;
    Energy energy = 0;
    bool inside = false;  // has reached its window
  };
  struct Refinement {  // of a window of a group; the same on all ranks
    double ln_f = 1;
    bool ending = false;  // in the 1/t part
    int64_t trials = 0;   // of each walker, since all were inside
    int64_t met = 0;      // bins
  };
  int64_t window_of(int64_t walker) const {
    return walker / settings_.per_window % settings_.windows;
  }
  size_t refinement_of(int64_t walker) const {
    return static_cast<size_t>(walker / settings_.per_window);
  }
  void walk(int64_t row);
  [[noreturn]] void lost(int64_t window) const;
  void refine();
  void exchange();

  std::shared_ptr<const EnergyModel> model_;
  WangLandauSettings settings_;
  comm::Communicator& ranks_;
  Share share_;
  std::vector<Walker> held_;
  std::vector<std::vector<double>> ln_g_;            // of held walkers, all bins
  std::vector<std::vector<int64_t>> histogram_;      // since ln f last changed
  std::vector<std::vector<uint8_t>> met_, species_;  // bins ever met; what a checkpoint copies
  std::vector<BinEnergies> energies_;                // not of bins that hold a level each
  std::vector<std::array<int64_t, 2>> beyond_;
  std::vector<Refinement> refinements_;
  int64_t step_ = 0, tried_ = 0, exchanged_ = 0;
};

}  // namespace ocoee::alloy
