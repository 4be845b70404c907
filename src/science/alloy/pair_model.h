// SPDX-License-Identifier: Apache-2.0
// Effective pair interactions on a lattice, by tables: the change of a move is one addition a
// neighbour.
#pragma once

#include <vector>

#include "science/alloy/energy_model.h"
#include "science/alloy/interactions.h"

namespace ocoee::alloy {

// Bonds by shell and pair of species; the entry of a and b is that of b and a. Like pairs count
// too, so the entries a <= b of a shell add up to the bonds of the shell.
struct BondCounts {
  int species = 0, shells = 0;
  std::vector<int64_t> counts;  // [shell][a][b]
  int64_t at(int shell, int a, int b) const {
    return counts[static_cast<size_t>((shell * species + a) * species + b)];
  }
};

class PairModel final : public EnergyModel {
 public:
  // `shells` as find_shells() gives them; those beyond pairs.shells are left out, but counted
  // by count_bonds() when `counted_shells` asks for them. Error(data) where the energies are known
  // to belong to shells of other sizes.
  // `largest_other`: the largest energy that a model around this one adds in the same quanta.
  PairModel(const Lattice& lattice, const std::vector<Shell>& shells, const PairInteractions& pairs,
            int counted_shells = 0, double largest_other = 0);

  Energy total(const Configuration& configuration) const override;
  Energy change_by_flip(const Configuration& configuration, int64_t site,
                        int species) const override;
  Energy change_by_swap(Configuration& configuration, Swap swap) const override;
  void local_energies(const Configuration& configuration,
                      std::span<double> energies) const override;
  double uncertainty(const Configuration& configuration) const override;

  BondCounts count_bonds(const Configuration& configuration) const;
  // How often each term of PairInteractions::covariance occurs.
  std::vector<double> count_terms(const Configuration& configuration) const;
  Energy energy_of(const BondCounts& bonds, const std::vector<int64_t>& composition) const;
  const PairInteractions& pairs() const { return pairs_; }
  // The largest number of which all energies are multiples.
  Energy level_spacing() const;
  double temperature_unit() const { return pairs_.boltzmann(); }  // k_B

  // What samplers inline. sum_k V(b, k) - V(a, k) over the neighbours k of a place, for the row
  // difference(a, b).
  const int32_t* difference(int a, int b) const {
    return differences_.data() + static_cast<size_t>(a * species() + b) * row_;
  }
  Energy sum_around(const uint8_t* at, size_t basis, const int32_t* difference) const {
    const int64_t* displacement = displacements_.data();
    const uint32_t* bound = bounds_.data() + basis * (acting_ + 1);
    Energy sum = 0;
    for (size_t shell = 0; shell < acting_; ++shell, difference += species()) {
      const uint32_t end = bound[shell + 1];
#pragma GCC unroll 2
      for (uint32_t k = bound[shell]; k < end; ++k) sum += difference[at[displacement[k]]];
    }
    return sum;
  }
  Energy own_images(size_t basis, int a, int b) const {
    return sees_itself_
               ? self_terms_[(basis * static_cast<size_t>(species()) + static_cast<size_t>(a)) *
                                 static_cast<size_t>(species()) +
                             static_cast<size_t>(b)]
               : 0;
  }
  Energy point_difference(int a, int b) const {
    return points_[static_cast<size_t>(b)] - points_[static_cast<size_t>(a)];
  }

 private:
  PairInteractions pairs_;
  size_t acting_, counted_, row_;  // shells; entries of a row of differences
  std::vector<int32_t> values_;    // [shell][a][b]
  std::vector<int32_t> differences_;
  std::vector<Energy> points_;
  std::vector<int64_t> displacements_;                      // by basis site and shell
  std::vector<uint32_t> bounds_;                            // [basis][acting shell], and the end
  std::vector<std::vector<std::vector<int64_t>>> forward_;  // [basis][counted shell]
  bool sees_itself_ = false;
  std::vector<Energy> self_terms_;  // [basis][a][b]
};

}  // namespace ocoee::alloy
