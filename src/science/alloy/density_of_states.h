// SPDX-License-Identifier: Apache-2.0
// Numbers of states by energy, and what follows from them at any temperature.
#pragma once

#include <cstdint>
#include <vector>

namespace ocoee::alloy {

struct DensityOfStates {
  std::vector<double> energy;  // of each bin that was met, ascending, in the model's unit
  std::vector<double> ln_g;
  int64_t sites = 1;

  // Shifts ln_g so that all states add up to exp(ln_states).
  void normalise(double ln_states);

  struct Thermodynamics {  // a site, in units of energy, k_B, k_B and energy
    double energy = 0, heat_capacity = 0, entropy = 0, free_energy = 0;
  };
  // `k_t`: k_B T in the unit of energy.
  Thermodynamics at(double k_t) const;
  // The energies (a site) of the two equally high peaks of g(E) exp(-E / k_t), and how deep the
  // valley between them is, in units of k_t; depth 0 where there is one peak.
  double barrier(double k_t) const;
};

double ln_factorial(int64_t n);
double ln_multinomial(const std::vector<int64_t>& atoms);  // ln of arrangements

// Pieces of ln g over overlapping ranges of bins, made one: each is shifted to agree with what is
// joined already over the bins they share, where the two are blended. `ln_g[w]` holds all bins;
// bins that a window did not meet are NaN. Error(numerics) where two windows share no bin.
std::vector<double> join_windows(const std::vector<std::vector<double>>& ln_g);

}  // namespace ocoee::alloy
