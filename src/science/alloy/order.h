// SPDX-License-Identifier: Apache-2.0
// Order of an arrangement: concentration waves and their amplitudes, short-range order, domains.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "science/alloy/pair_model.h"
#include "science/alloy/sublattices.h"

namespace ocoee::alloy {

// A wave vector: phase 2 pi (h x + k y + l z) with x, y, z the position in units of the unit cell's
// edges; of an ordering, in units of the cubic edges of its parent lattice.
using WaveVector = Vector;

// The star of waves that an ordering is made of, and what they amount to when it is perfect.
//   amplitude A_a(k) = 1/N sum_r delta(species(r), a) exp(i k r)
//   order parameter eta = sqrt(sum_a sum_k |A_a(k)|^2 / the same of the perfect arrangement)
// All variants and antiphase domains of an ordering count alike, so eta is 1 in each of them. What
// is perfect does not change from sample to sample:
//   - at a fixed composition, of any number of species: what it has room for on the two sublattices
//     of an ordering, of those made of the same waves (L1_0 and L1_2; D0_3 and B32) the stronger;
//   - where species flip: the ordering of two species. More species share sublattices and stay
//     below 1.
// Above 1 are arrangements that keep to more sublattices than two, as four species on four do.
// "magnetisation" is the wave k = 0 less its mean over species: for two species, |N_0 - N_1| / N.
class OrderParameter {
 public:
  // `name`: an ordering (lattice.h), "magnetisation", or "waves" with `waves` given. Error(config)
  // where an ordering does not fit the lattice. `atoms`: of each species, where that is fixed.
  OrderParameter(const std::string& name, const Lattice& lattice,
                 const std::vector<WaveVector>& waves = {}, const std::vector<int64_t>& atoms = {});
  const std::string& name() const { return name_; }
  double of(const Configuration& configuration, int species) const;  // eta

 private:
  std::string name_;
  std::vector<std::vector<double>> cosine_, sine_;  // by wave and site
  double perfect_ = 1;
};

// alpha = 1 - P(b | a) / c_b for every shell and pair a < b, from counted bonds and the
// composition; where sites have unlike numbers of neighbours, P is a share of the bonds that atoms
// of a have. NaN where a species is absent.
std::vector<double> warren_cowley(const BondCounts& bonds, const std::vector<int64_t>& atoms);
double warren_cowley(const BondCounts& bonds, const std::vector<int64_t>& atoms, int shell, int a,
                     int b);
std::vector<std::string> pair_names(const std::vector<std::string>& species);  // "A-B", a < b

// S(k) = |sum_r (delta(species(r), a) - c_a) exp(i k r)|^2 / N on the waves (i / L_x, j / L_y, l)
// of a plane: columns i from -L_x to L_x, rows j from -L_y to L_y.
struct StructureFactorPlane {
  int64_t columns = 0, rows = 0;
  std::vector<double> values;
};
StructureFactorPlane structure_factor(const Lattice& lattice, const std::vector<uint8_t>& species,
                                      int which, double l);

// Waves h x direction with 0 < h <= 1 that fit a crystal, in order; about `most` of them where
// there are more.
std::vector<double> waves_along(const Lattice& lattice, const std::array<int, 3>& direction,
                                int64_t most = 32);

// S(k) along such a line. What does not depend on the arrangement is worked out once.
class StructureFactorLine {
 public:
  // `h`: as waves_along() gives them, of this lattice or of one that divides it.
  StructureFactorLine(const Lattice& lattice, const std::array<int, 3>& direction,
                      const std::vector<double>& h);
  std::vector<double> of(const Configuration& configuration, int which) const;  // by h

 private:
  size_t waves_;
  std::vector<uint32_t> bin_;          // of each site: those of a bin have the same phases
  std::vector<double> atoms_;          // sites of a bin
  std::vector<double> cosine_, sine_;  // [h][bin]
};

// Sizes of connected sets of sites with equal labels, largest first; neighbours are those of shell
// 0.
std::vector<int64_t> cluster_sizes(const NeighbourTable& neighbours,
                                   const std::vector<int>& labels);

// Domains, of any number of species. Of an ordering: a site belongs to the variant (translate or
// turn of the pattern) that agrees best with it and its nearest neighbours; neighbours of one
// variant are in one domain. Which species share a sublattice, the arrangement tells: each species
// has a weight, the leading eigenvector of sum over sites and variants of w_a w_b, w_a the atoms of
// species a around the site on the variant's second sublattice less those on its first, beyond what
// a random arrangement has. Without an ordering: neighbours of one species are in one domain.
class Domains {
 public:
  explicit Domains(const Lattice& lattice);
  Domains(const Ordering& ordering, const Lattice& lattice);  // Error(config) where it does not fit
  std::vector<int> labels(const std::vector<uint8_t>& species) const;
  std::vector<int64_t> sizes(const std::vector<uint8_t>& species) const;  // largest first

 private:
  std::vector<double> weights(const std::vector<uint8_t>& species) const;  // of each species
  NeighbourTable neighbours_;
  std::vector<std::vector<uint8_t>> variants_;
};
// Share of all sites in the domain of a site that is drawn at random.
double mean_share(const std::vector<int64_t>& sizes);

}  // namespace ocoee::alloy
