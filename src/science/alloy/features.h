// SPDX-License-Identifier: Apache-2.0
// An arrangement as the numbers that a linear energy model multiplies, a site:
//
//   concentrations      one a species: their coefficients are the energies of the pure elements
//   unlike bonds        shell by shell, AB, AC, .., BC, ..: PairInteractions in the unlike gauge
//   clusters            triplets, then quadruplets, orbit by orbit, decoration by decoration
//
// One function for fitting and for checking: what is fitted is what samplers add up.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "science/alloy/cluster_model.h"
#include "science/alloy/fit.h"
#include "science/atoms/structure.h"

namespace ocoee::alloy {

// The lattice that structures are arrangements of, and the terms that are counted on it.
class FeatureSpace {
 public:
  // `triplets`, `quadruplets`: shells within which all their pairs lie; 0 = none of them.
  // Error(config) when that is more than `shells`.
  FeatureSpace(UnitCell parent, std::vector<std::string> species, int shells, int triplets = 0,
               int quadruplets = 0, double tolerance = 1e-4);

  int64_t columns() const { return static_cast<int64_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }  // "c Cu", "shell 1 Cu-Au", ...
  const std::vector<std::string>& species() const { return species_; }
  const std::vector<Shell>& shells() const { return shells_; }
  // Columns of the model with the first `shells` shells and no cluster; 0: mixing of the elements.
  int64_t columns_of(int shells) const;

  std::vector<double> of(const Lattice& lattice, const std::vector<uint8_t>& species) const;
  // Of any structure whose sites are those of the parent lattice (of any lattice constant), in any
  // cell. Error(data) that begins with `where` when they are not, or a species is unknown.
  std::vector<double> of(const atoms::Structure& structure, const std::string& where) const;

  // What a fit to the columns of columns_with(shells) means, with its errors and their covariance.
  ClusterInteractions interactions(const Fit& fit, int shells) const;
  // Columns of the first `shells` shells of pairs, and those of all clusters.
  std::vector<int64_t> columns_with(int shells) const;

 private:
  std::vector<double> count(const Lattice& lattice, const std::vector<Shell>& shells,
                            const std::vector<Orbit>& orbits,
                            const std::vector<uint8_t>& species) const;
  std::vector<Orbit> orbits_of(const UnitCell& cell, const std::vector<Shell>& shells) const;

  UnitCell parent_;
  std::vector<std::string> species_;
  std::vector<Shell> shells_;
  int triplets_, quadruplets_;
  double tolerance_;
  std::vector<Orbit> orbits_;
  std::vector<std::string> names_;
};

// A structure that is `parent`'s cell repeated along its edges, of any lattice constant, as an
// arrangement of that lattice; nothing where it is none.
struct LaidOver {
  Lattice lattice;
  std::vector<uint8_t> species;  // by site
};
std::optional<LaidOver> laid_over(const UnitCell& parent, const atoms::Structure& structure);

// An arrangement as a structure.
atoms::Structure structure_of(const Lattice& lattice, const std::vector<uint8_t>& species,
                              const std::vector<std::string>& names);

}  // namespace ocoee::alloy
