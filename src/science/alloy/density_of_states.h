// SPDX-License-Identifier: Apache-2.0
// Numbers of states by energy, and what follows from them at any temperature.
//
// A bin that is wider than a level holds states about its mean E, with a variance v: their sum of
// exp(-energy / kT) is g exp(-E / kT + v / (2 (kT)^2)) by the first two cumulants, so a bin weighs
// more the colder it is, has the energy E - v / kT and adds v to the fluctuation. What is left out
// is of third order in sqrt(v) / kT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "science/alloy/statistics.h"

namespace ocoee::alloy {

struct DensityOfStates {
  std::vector<double> energy;  // of each bin that was met, ascending, in the model's unit
  std::vector<double> ln_g;
  std::vector<double> variance = {};  // of the energies in each bin; empty: bins hold one level
  int64_t sites = 1;
  std::vector<int64_t> bin = {};  // its number in the walk; empty: not known

  // Shifts ln_g so that all states add up to exp(ln_states).
  void normalise(double ln_states);

  struct Thermodynamics {  // a site, in units of energy, k_B, k_B and energy
    double energy = 0, heat_capacity = 0, entropy = 0, free_energy = 0;
  };
  // `k_t`: k_B T in the unit of energy.
  Thermodynamics at(double k_t) const;
  // About how far what is left out may move each number: as far as the second cumulants do, times
  // sqrt(v) / kT.
  Thermodynamics left_out(double k_t) const;
  // The probability of each bin, and how it falls between the two phases of a transition.
  std::vector<double> probabilities(double k_t) const;
  struct Phases {
    double k_t = 0;            // where both sides of the valley are equally probable
    double low = 0, high = 0;  // energies of the peaks, a site
    double valley = 0;         // ln of peak over valley where both peaks are equally high (as are
                               // the energies); 0 where there is one peak
  };
  // The deepest valley for k_t between the two given ones. The probability is smoothed over
  // `smooth` bins on either side: levels have unlike numbers of states.
  Phases phases(double low_k_t, double high_k_t, int64_t smooth) const;

 private:
  double variance_of(size_t i) const { return variance.empty() ? 0 : variance[i]; }
  std::vector<double> weights(double k_t) const;  // ln, by bin
};

// Several estimates as one: the bins that all of them met, with means of their energies and ln g.
struct MeanStates {
  std::vector<double> energy, ln_g, error;  // error: of the mean ln g; NaN of one estimate
};
MeanStates mean_of(const std::vector<DensityOfStates>& estimates);

double ln_factorial(int64_t n);
double ln_multinomial(const std::vector<int64_t>& atoms);  // ln of arrangements

// Pieces of ln g over overlapping ranges of bins, made one: each is shifted to agree with what is
// joined already over the bins they share, where the two are blended. `ln_g[w]` holds all bins;
// bins that a window did not meet are NaN. Error(numerics) where two windows share no bin.
std::vector<double> join_windows(const std::vector<std::vector<double>>& ln_g);

}  // namespace ocoee::alloy
