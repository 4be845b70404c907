// SPDX-License-Identifier: Apache-2.0
// Metropolis sampling of a configuration: swaps at fixed composition (canonical), flips at fixed
// differences of chemical potential (semi-grand canonical).
//
// A trial is one proposal: of two unlike sites (far swaps: any two; near swaps: nearest neighbours,
// where a like pair is a trial that changes nothing), or of another species for a site. A sweep is
// as many trials as sites. A chain is a function of (seed, its id, the step of each call) and of
// where it began: calling again with the next step goes on, from a checkpoint as from memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "science/alloy/energy_model.h"
#include "science/alloy/random_words.h"

namespace ocoee::alloy {

// Accepts a change with probability min(1, exp(-change)), `change` in units of k_B T. The uniform
// number has 64 bits, of which the second half is drawn only where the first cannot decide.
struct Metropolis {
  static bool accept(double change, RandomWords& random) {
    if (change <= 0) return true;
    const double word = random.next();
    // 1 - x <= exp(-x) <= 1 / (1 + x + x^2/2) decide most cases.
    if (word + 1 <= 0x1p32 * (1 - change)) return true;
    if (word * (1 + change * (1 + 0.5 * change)) >= 0x1p32) return false;
    const double limit = 0x1p32 * std::exp(-change);
    if (word + 1 <= limit) return true;
    if (word >= limit) return false;
    return random.next() * 0x1p-32 < limit - word;
  }
};

struct Tally {
  int64_t trials = 0, accepted = 0;
  Energy change = 0;  // of the energy over all accepted trials
  Tally& operator+=(const Tally& other) {
    trials += other.trials;
    accepted += other.accepted;
    change += other.change;
    return *this;
  }
};

// Whose draws: purpose monte_carlo; `id` numbers the chain, `step` the call.
struct Chain {
  uint64_t seed = 1, id = 0, step = 0;
  RandomWords words() const { return {seed, Purpose::monte_carlo, step, id}; }
};

// Fails where all sites hold one species: Error(config).
void require_two_species(const Configuration& configuration, int species);

// `beta`: 1 / (k_B T) in the inverse of the model's unit.
Tally swap_far(const EnergyModel& model, Configuration& configuration, double beta, int64_t trials,
               const Chain& chain);
// `neighbours`: its shell 0 says who are near; sites may have unlike numbers there.
Tally swap_near(const EnergyModel& model, const NeighbourTable& neighbours,
                Configuration& configuration, double beta, int64_t trials, const Chain& chain);
// `potentials`: chemical potential of each species, in the model's unit; only differences act.
Tally flip(const EnergyModel& model, Configuration& configuration, double beta,
           const std::vector<double>& potentials, int64_t trials, const Chain& chain);

}  // namespace ocoee::alloy
