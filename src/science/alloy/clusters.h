// SPDX-License-Identifier: Apache-2.0
// Triplets and quadruplets of a lattice, and how often each is occupied how: what cluster
// expansions add to pairs (Sanchez, Ducastelle and Gratias, Physica A 128 (1984) 334).
//
// Clusters whose sites lie in the same shells of one another are alike, as pairs of a shell are.
// Occupations are counted with every species but the last, which serves as the vacuum: together
// with unlike pairs and concentrations these counts are complete, and independent of one another.
// Images count as often as they are met.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "science/alloy/lattice.h"

namespace ocoee::alloy {

struct ClusterSite {
  std::array<int, 3> cell{};  // counted from the cell of the cluster's first site
  int basis = 0;
};
using Cluster = std::vector<ClusterSite>;

struct Orbit {
  std::vector<int> shells;        // of each pair of sites 01, 02, .., 12, ..: the orbit's name
  std::vector<Cluster> clusters;  // each once a unit cell, sites in an order that gives `shells`
  std::vector<std::vector<int>> symmetry;  // orders of its sites that give `shells` too
  size_t size() const { return clusters.front().size(); }
  double per_site = 0;  // clusters a site of the lattice
};

// All clusters of `size` (3 or 4) sites of which each pair lies in one of the first `within`
// shells.
std::vector<Orbit> find_orbits(const UnitCell& cell, const std::vector<Shell>& shells, int size,
                               int within);

// Which occupations of an orbit's sites count as one. Species number n - 1 does not count.
class Decorations {
 public:
  Decorations(const Orbit& orbit, int species);
  int count() const { return static_cast<int>(names_.size()); }
  // -1, or the number of the occupation sum_k species[k] n^k.
  int of(size_t occupation) const { return number_[occupation]; }
  const std::vector<int>& name(int number) const { return names_[static_cast<size_t>(number)]; }
  size_t occupations() const { return number_.size(); }

 private:
  std::vector<int> number_;
  std::vector<std::vector<int>> names_;  // an occupation of each, smallest first
};

// "triplet 112 Cu-Cu-Au": the shells of its pairs, the species of its sites; by decoration.
std::vector<std::string> cluster_names(const Orbit& orbit, const std::vector<std::string>& species);

// How often each decoration of each orbit occurs, orbit after orbit; `species` by site.
std::vector<int64_t> count_clusters(const Lattice& lattice, const std::vector<Orbit>& orbits,
                                    int species_count, const std::vector<uint8_t>& species);

}  // namespace ocoee::alloy
