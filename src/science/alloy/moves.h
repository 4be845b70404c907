// SPDX-License-Identifier: Apache-2.0
// Which moves a sampler makes, and the ensemble they belong to: swaps keep the composition, flips
// change it under chemical potentials.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "science/alloy/metropolis.h"

namespace ocoee::alloy {

struct Moves {
  enum class Kind { far, near, mixed, flip };
  Kind kind = Kind::far;
  std::vector<double> potentials;              // flips: of each species, in the model's unit
  std::shared_ptr<const NeighbourTable> near;  // near and mixed

  bool canonical() const { return kind != Kind::flip; }
  // `trials` Metropolis trials; of mixed ones, the first half are near, the rest far.
  Tally make(const EnergyModel& model, Configuration& configuration, double beta, int64_t trials,
             const Chain& chain) const;
  // What the ensemble weighs instead of E: E - sum_a mu_a N_a for flips.
  double weighed(const EnergyModel& model, const Configuration& configuration, Energy energy) const;
  // The whole numbers that it follows from: the energy in quanta and, for flips, the atoms of each
  // species.
  std::vector<int64_t> totals(const EnergyModel& model, const Configuration& configuration,
                              Energy energy) const;
  // What one weighs more than another, from differences of whole numbers: exact however large the
  // totals are.
  double difference(const EnergyModel& model, std::span<const int64_t> one,
                    std::span<const int64_t> other) const;
};

// Atoms of each species for fractions that add up to one: rounded so that they add up to `sites`,
// largest remainders first.
std::vector<int64_t> atoms_for(const std::vector<double>& fractions, int64_t sites);
// A random arrangement of them: a function of (seed, id).
std::vector<uint8_t> random_arrangement(const std::vector<int64_t>& atoms, uint64_t seed,
                                        uint64_t id);

}  // namespace ocoee::alloy
