// SPDX-License-Identifier: Apache-2.0
// Orderings laid over lattices: the sites of any cell, given by name or by a file, as those of the
// bcc or fcc lattice that they are, so that B2, L1_0 and the like know their sublattices.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "science/alloy/lattice.h"

namespace ocoee::alloy {

using Halves = std::array<int64_t, 3>;  // coordinates in halves of the parent's cubic edges

// Sites as those of a bcc or fcc lattice, whose edges may differ by up to about a fifth (bct, L1_0
// with its c/a) but stand at right angles. The cell may be primitive, skewed or many cells large.
class ParentSites {
 public:
  // Error(config), one line that says why, where the sites are none of `parent` ("bcc", "fcc").
  ParentSites(const UnitCell& cell, const std::string& parent);
  Halves of(const CellIndex& cell, int64_t basis) const;

 private:
  std::array<Halves, 3> edges_{};  // of the unit cell
  std::vector<Halves> sites_;
};

// Which of the two species of an ordering stands where, in the whole of space.
class Pattern {
 public:
  explicit Pattern(const Ordering& ordering);
  int at(const Halves& place) const { return species_[number(place)]; }
  bool repeats_after(const Halves& step) const;
  const std::vector<Halves>& origins() const { return sites_; }  // the sites of its cell

 private:
  size_t number(const Halves& place) const;
  int64_t period_;  // in halves
  std::vector<Halves> sites_;
  std::vector<int> species_;
};

// The species of an ordering over a lattice. Error(config) where its sites are none of the parent
// lattice, or the supercell is no multiple of the ordering's.
std::vector<uint8_t> arrange(const Ordering& ordering, const Lattice& lattice);

// The parent's coordinates of every site of `lattice`, and of the supercell's edges.
std::vector<Halves> halves_of(const ParentSites& parent, const Lattice& lattice);
std::array<Halves, 3> edges_of(const ParentSites& parent, const Lattice& lattice);

}  // namespace ocoee::alloy
