// SPDX-License-Identifier: Apache-2.0
// Order of an arrangement: concentration waves and their amplitudes, short-range order, domains.
#pragma once

#include <string>
#include <vector>

#include "science/alloy/pair_model.h"

namespace ocoee::alloy {

// A wave vector in units of 2 pi over the cubic edge: phase 2 pi (h x + k y + l z) with x, y, z the
// fractional position in units of the unit cell.
using WaveVector = Vector;

// The star of waves that an ordering is made of, and what they amount to when it is perfect.
//   amplitude A_a(k) = 1/N sum_r delta(species(r), a) exp(i k r)
//   order parameter eta = sqrt(sum_a sum_k |A_a(k)|^2 / the same of the perfect arrangement)
// All variants and antiphase domains of an ordering count alike, so eta is 1 in each of them.
// "magnetisation" is the wave k = 0 less its mean over species: for two species, |N_0 - N_1| / N.
class OrderParameter {
 public:
  // `name`: an ordering (lattice.h), "magnetisation", or "waves" with `waves` given. Error(config)
  // where an ordering does not fit the lattice.
  OrderParameter(const std::string& name, const Lattice& lattice,
                 const std::vector<WaveVector>& waves = {});
  const std::string& name() const { return name_; }
  double of(const Configuration& configuration, int species) const;  // eta

 private:
  std::string name_;
  std::vector<std::vector<double>> cosine_, sine_;  // by wave and site
  double perfect_ = 1;
};

// alpha = 1 - P(b | a) / c_b for every shell and pair a < b, from counted bonds and the
// composition. NaN where a species is absent.
std::vector<double> warren_cowley(const BondCounts& bonds, const std::vector<int64_t>& atoms);
double warren_cowley(const BondCounts& bonds, const std::vector<int64_t>& atoms, int shell, int a,
                     int b);
std::vector<std::string> pair_names(const std::vector<std::string>& species);  // "A-B", a < b

// S(k) = |sum_r (delta(species(r), a) - c_a) exp(i k r)|^2 / N on the waves (i / L_x, j / L_y, l)
// of a plane: rows j, columns i, over `cells` periods of the reciprocal unit cell.
struct StructureFactorPlane {
  int64_t columns = 0, rows = 0;
  std::vector<double> values;
};
StructureFactorPlane structure_factor(const Lattice& lattice, const std::vector<uint8_t>& species,
                                      int which, double l, int cells = 2);

// Sizes of connected sets of sites with equal labels, largest first; neighbours are those of shell
// 0. For domains of an ordering, label a site by which variant it fits.
std::vector<int64_t> cluster_sizes(const NeighbourTable& neighbours,
                                   const std::vector<int>& labels);
// The variant of an ordering each site belongs to: the translate of the pattern that agrees best
// with the site and its nearest neighbours.
std::vector<int> domain_labels(const Ordering& ordering, const Lattice& lattice,
                               const NeighbourTable& neighbours,
                               const std::vector<uint8_t>& species);

}  // namespace ocoee::alloy
