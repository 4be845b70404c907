// SPDX-License-Identifier: Apache-2.0
// Sites of a periodic lattice: a unit cell repeated along its three edges, and its coordination
// shells.
//
// Site (x, y, z; b), basis site b of cell (x, y, z), has the number ((x ny + y) nz + z) B + b for B
// basis sites. Lengths are in any one unit (angstrom where the cell came from a file).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ocoee::alloy {

using Vector = std::array<double, 3>;
using CellIndex = std::array<int64_t, 3>;

struct UnitCell {
  std::string name;
  std::array<Vector, 3> edges{};  // rows
  std::vector<Vector> sites;      // fractional, in [0, 1)
};
double volume(const UnitCell& cell);
double site_volume(const UnitCell& cell);  // a site's share

// square, sc, bcc, fcc, hcp, diamond, bct: conventional cells of edge a, and those of the orderings
// below. c_over_a matters to hcp, bct and L1_0; 0 is the ideal one, sqrt(8/3) of hcp and else 1.
// The layers of "square" lie so far apart that they do not meet in any shell.
const std::vector<std::string>& lattice_kinds();  // without the orderings
const std::vector<std::string>& cell_names();     // with them
UnitCell lattice_cell(const std::string& kind, double a = 1, double c_over_a = 0);

// An ordered arrangement of two species on a parent lattice: B2, L1_0, L1_2, D0_3, B32.
struct Ordering {
  std::string name, parent;
  UnitCell cell;             // a multiple of the parent's conventional cell
  std::vector<int> species;  // 0 or 1, by site of the cell
};
const std::vector<std::string>& ordering_names();
Ordering ordering(const std::string& name, double a = 1);

// From a basis site to basis site `to` of the cell `cell` cells away.
struct Bond {
  std::array<int, 3> cell{};
  int to = 0;
  bool operator==(const Bond&) const = default;
};
// The same bond seen from its other end, and the rule that picks one of the two.
Bond reverse(const Bond& bond, int from);
bool is_forward(const Bond& bond, int from);

struct Shell {
  double distance = 0;
  std::vector<std::vector<Bond>> bonds;  // by basis site; each pair of sites is seen from both ends
  double coordination() const;           // neighbours of a site, the mean over the basis
};
// The first `count` shells. Distances that differ by less than `tolerance` (a fraction of the
// smaller one) are one shell. A bond may be longer than a small supercell: it then leads to an
// image, which counts as often as it is met.
std::vector<Shell> find_shells(const UnitCell& cell, int count, double tolerance = 1e-4);

class Lattice {
 public:
  Lattice(UnitCell cell, CellIndex repeats);  // Error(config): no site, repeats below 1

  int64_t sites() const { return cells() * basis(); }
  int64_t cells() const { return repeats_[0] * repeats_[1] * repeats_[2]; }
  int64_t basis() const { return static_cast<int64_t>(cell_.sites.size()); }
  const UnitCell& cell() const { return cell_; }
  const CellIndex& repeats() const { return repeats_; }
  int64_t site(CellIndex cell, int64_t basis) const;  // any cell index: it is wrapped
  CellIndex cell_of(int64_t site) const;
  int64_t basis_of(int64_t site) const { return site % basis(); }
  Vector position(int64_t site) const;  // Cartesian
  std::array<Vector, 3> edges() const;  // of the supercell

 private:
  UnitCell cell_;
  CellIndex repeats_;
};

// Neighbours of every site by number, shell after shell. Right in any periodic cell: an image met
// twice is listed twice, and a site may be its own neighbour.
class NeighbourTable {
 public:
  NeighbourTable(const Lattice& lattice, const std::vector<Shell>& shells);
  std::span<const uint32_t> of(int64_t site, int shell) const;
  int64_t most(int shell) const;  // neighbours of the site that has the most
  int shells() const { return shells_; }

 private:
  int shells_ = 0;
  int64_t basis_ = 1, per_cell_ = 0;
  std::vector<int64_t> start_;  // [basis][shell], and the end
  std::vector<uint32_t> neighbours_;
};

}  // namespace ocoee::alloy
