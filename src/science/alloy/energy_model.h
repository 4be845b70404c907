// SPDX-License-Identifier: Apache-2.0
// The energy of a configuration, as every sampler sees it: pair interactions, clusters, and learned
// models to come.
//
// Energies are whole numbers of a quantum: a power of two, or one of those over the spacing that
// all coefficients have in common. Their sums depend on no order, so the change of a move is, bit
// for bit, the difference of two recounts, after any number of moves and on any number of threads.
// A model whose coefficients are real numbers rounds them once, when it is made, to about 1e-9 of
// the largest.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "science/alloy/configuration.h"

namespace ocoee::alloy {

using Energy = int64_t;  // in quanta of the model

struct Swap {
  int64_t a = 0, b = 0;  // sites that exchange their species
};

class EnergyModel {
 public:
  virtual ~EnergyModel() = default;

  int species() const { return species_; }
  double quantum() const { return quantum_; }  // in the model's unit
  const std::shared_ptr<const Grid>& grid() const { return grid_; }
  // In the model's unit; `sites` times the model's constant included.
  double value(Energy energy) const {
    return static_cast<double>(energy) * quantum_ + constant_ * static_cast<double>(grid_->sites());
  }

  virtual Energy total(const Configuration& configuration) const = 0;  // a full recount
  virtual Energy change_by_flip(const Configuration& configuration, int64_t site,
                                int species) const = 0;
  // May set and restore the two sites; the configuration is unchanged when it returns.
  virtual Energy change_by_swap(Configuration& configuration, Swap swap) const = 0;
  // Each from the same configuration. For models that are dear alone and cheap together.
  virtual void changes_by_swap(Configuration& configuration, std::span<const Swap> swaps,
                               std::span<Energy> changes) const;
  // One a site, in the model's unit; they add up to value(total) less rounding.
  virtual void local_energies(const Configuration& configuration,
                              std::span<double> energies) const = 0;
  // Standard deviation of value(total), in the model's unit; 0 where the model is exact or does not
  // know.
  virtual double uncertainty(const Configuration&) const { return 0; }

 protected:
  EnergyModel(std::shared_ptr<const Grid> grid, int species, double quantum, double constant)
      : grid_(std::move(grid)), species_(species), quantum_(quantum), constant_(constant) {}

 private:
  std::shared_ptr<const Grid> grid_;
  int species_;
  double quantum_, constant_;
};

// A power of two in which `largest` takes 30 bits: integers and binary fractions stay exact, other
// values keep nine digits. Fewer bits where a sum of `terms` such values would not fit 62.
double quantum_for(double largest, double terms);

// The largest number of which all values are multiples to within 1e-9 of the largest; 0 where that
// is below 2^-7 of it: so many levels would be no help.
double common_spacing(const std::vector<double>& values);

}  // namespace ocoee::alloy
