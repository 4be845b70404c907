// SPDX-License-Identifier: Apache-2.0
// From bonds and energies to what alloy_swap() reads: the link cell's shape, the windows that hold
// a site's neighbours, and tables of energies.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "kernels/alloy_swap.h"

namespace ocoee::kernels {
namespace {

constexpr double kLargestChange = 2147483647.0;

// Of the sums in AlloyCell::energy_change(): a difference of differences for each of two sites.
double largest_energy(int neighbours) {
  return std::floor(kLargestChange / (8.0 * (neighbours + 1)));
}

void check_energies(const std::vector<int32_t>& energies, int species, int shells,
                    const std::vector<int>& coordination) {
  OCOEE_CHECK(energies.size() == static_cast<size_t>(shells * species * species),
              "{} pair energies for {} shells of {} species", energies.size(), shells, species);
  int neighbours = 0;
  for (const int z : coordination) neighbours += z;
  for (int s = 0; s < shells; ++s) {
    for (int a = 0; a < species; ++a) {
      for (int b = 0; b < species; ++b) {
        const auto at = [&](int row, int column) {
          return energies[static_cast<size_t>((s * species + row) * species + column)];
        };
        OCOEE_CHECK(at(a, b) == at(b, a), "pair energies of shell {} are not symmetric", s + 1);
        if (std::abs(static_cast<double>(at(a, b))) > largest_energy(neighbours))
          fail(ErrorKind::config,
               "a pair energy of {} quanta is too large for sums over {} neighbours in 32 bits\n"
               "    expected: at most {}\n    fix: choose a larger quantum",
               at(a, b), neighbours, largest_energy(neighbours));
      }
    }
  }
}

// Bits of the string between a cell and the one `cell` away.
int along_string(const AlloyGeometry& g, const int (&cell)[3]) {
  return (cell[2] * g.tile[1] + cell[1]) * g.tile[0] + cell[0];
}

// The shape of a link cell, and how many fit.
void lay_out(AlloyGeometry& g, const AlloyLattice& lattice, const std::vector<AlloyBond>& bonds,
             std::array<int, 3> core) {
  for (int d = 0; d < 3; ++d) {
    const auto axis = static_cast<size_t>(d);
    for (const AlloyBond& bond : bonds) g.reach[d] = std::max(g.reach[d], std::abs(bond.cell[d]));
    g.core[d] = core[axis] > 0 ? core[axis] : (lattice.cells[d] > 1 ? 2 : 1);
    if (g.core[d] == 1 && lattice.cells[d] > 1)
      fail(ErrorKind::config,
           "a core of one cell along {} never carries an atom along it\n    expected: at least 2",
           "xyz"[d]);
    g.tile[d] = g.core[d] + 2 * g.reach[d];
    g.period[d] = g.core[d] + g.reach[d];
    g.links[d] = lattice.cells[d] / g.period[d];
    if (g.links[d] == 0)
      fail(ErrorKind::config,
           "the crystal is too small for link cells: {} cells along {}\n    expected: at least {} "
           "({} that move and {} within reach of them)\n    fix: a larger crystal, or a "
           "sequential sampler",
           lattice.cells[d], "xyz"[d], g.period[d], g.core[d], g.reach[d]);
    if (lattice.cells[d] >= int64_t{1} << 30)
      fail(ErrorKind::config, "{} cells along {}; at most 2^30 - 1", lattice.cells[d], "xyz"[d]);
  }
  if (lattice.layer_words() >= int64_t{1} << 31)
    fail(ErrorKind::config, "{} x {} cells a layer are too many", lattice.cells[0],
         lattice.cells[1]);
  g.core_sites = g.core[0] * g.core[1] * g.core[2] * g.basis;
  g.string_words = (g.tile[0] * g.tile[1] * g.tile[2] + 31) / 32;
  g.tile_words = g.basis * g.string_words + 1;
  if (g.core_sites > kAlloyCoreSites || g.core_sites < 2 || g.tile[0] > 32 ||
      g.planes * g.tile_words > kAlloyTileWords)
    fail(ErrorKind::config,
         "a link cell of {} x {} x {} cells holds {} sites and needs {} words around them\n"
         "    expected: 2 to {} sites, at most {} words\n    fix: another core, or fewer shells",
         g.core[0], g.core[1], g.core[2], g.core_sites, g.planes * g.tile_words, kAlloyCoreSites,
         kAlloyTileWords);
}

// first[b][turn]: the lowest neighbour on sublattice b ^ turn, along the string. What is left is
// the same for all b, or the lattice is none of ours.
void find_windows(AlloyGeometry& g, const std::vector<AlloyBond>& bonds,
                  std::vector<std::vector<int>>& first) {
  const int basis = g.basis;
  first.assign(static_cast<size_t>(basis), std::vector<int>(static_cast<size_t>(basis), 1 << 20));
  for (const AlloyBond& bond : bonds) {
    int& lowest = first[static_cast<size_t>(bond.from)][static_cast<size_t>(bond.from ^ bond.to)];
    lowest = std::min(lowest, along_string(g, bond.cell));
  }
  for (auto& row : first)
    for (int& lowest : row)
      if (lowest == 1 << 20) lowest = 0;  // no bond: never read
  int windows = 0;
  for (int shell = 0; shell < g.shells; ++shell) {
    for (int turn = 0; turn < basis; ++turn) {
      std::vector<std::set<int>> offsets(static_cast<size_t>(basis));
      for (const AlloyBond& bond : bonds)
        if (bond.shell == shell && (bond.from ^ bond.to) == turn)
          offsets[static_cast<size_t>(bond.from)].insert(
              along_string(g, bond.cell) -
              first[static_cast<size_t>(bond.from)][static_cast<size_t>(turn)]);
      for (const auto& other : offsets)
        if (other != offsets[0])
          fail(ErrorKind::config,
               "link cells need basis sites that see the same neighbours up to a shift, as in sc, "
               "bcc and fcc\n    fix: use a sequential sampler");
      for (auto at = offsets[0].begin(); at != offsets[0].end();) {
        AlloyWindow window{0, *at};
        for (; at != offsets[0].end() && *at < window.offset + 32; ++at)
          window.mask |= 1u << (*at - window.offset);
        OCOEE_CHECK(windows < kAlloyWindows, "{} shells need too many windows", g.shells);
        g.window[windows++] = window;
      }
      g.window_end[shell * basis + turn] = static_cast<uint8_t>(windows);
    }
  }
}

struct CoreSite {
  int b;
  int at[3];  // cell within the tile
};
std::vector<CoreSite> core_of(const AlloyGeometry& g) {
  std::vector<CoreSite> sites;
  for (int b = 0; b < g.basis; ++b)
    for (int z = 0; z < g.core[2]; ++z)
      for (int y = 0; y < g.core[1]; ++y)
        for (int x = 0; x < g.core[0]; ++x)
          sites.push_back({b, {x + g.reach[0], y + g.reach[1], z + g.reach[2]}});
  return sites;
}

}  // namespace

AlloyRules::AlloyRules(const AlloyLattice& lattice, const std::vector<AlloyBond>& bonds,
                       int species, const std::vector<int32_t>& energies, std::array<int, 3> core) {
  AlloyGeometry& g = geometry_;
  g.basis = lattice.basis, g.planes = lattice.planes, g.species = species;
  OCOEE_CHECK(g.basis == 1 || g.basis == 2 || g.basis == 4, "{} sites a cell", g.basis);
  OCOEE_CHECK(g.planes == 1 || g.planes == 2 || g.planes == 4, "{} bits a site", g.planes);
  if (species < 2 || species > 1 << g.planes)
    fail(ErrorKind::config, "{} species do not fit into {} bits a site", species, g.planes);
  g.stride = 1 << g.planes;
  for (const AlloyBond& bond : bonds) g.shells = std::max(g.shells, bond.shell + 1);
  if (g.shells > kAlloyShells)
    fail(ErrorKind::config, "{} shells; link cells take at most {}", g.shells, kAlloyShells);
  coordination_.assign(static_cast<size_t>(g.shells), 0);
  for (const AlloyBond& bond : bonds)
    if (bond.from == 0) ++coordination_[static_cast<size_t>(bond.shell)];
  for (const int z : coordination_) OCOEE_CHECK(z > 0, "a shell without neighbours");
  check_energies(energies, species, g.shells, coordination_);
  lay_out(g, lattice, bonds, core);
  std::vector<std::vector<int>> first;
  find_windows(g, bonds, first);

  const std::vector<CoreSite> sites = core_of(g);
  const auto string_place = [&](int b, const int(&at)[3]) {
    return b * 32 * g.string_words + along_string(g, at);
  };
  g.place = 0;
  for (const CoreSite& site : sites) {
    for (int turn = 0; turn < g.basis; ++turn)
      tables_.push_back(string_place(site.b ^ turn, site.at) +
                        first[static_cast<size_t>(site.b)][static_cast<size_t>(turn)]);
    tables_.push_back(string_place(site.b, site.at));
  }
  g.pair_shell = static_cast<int>(tables_.size());
  for (const CoreSite& i : sites) {
    for (const CoreSite& j : sites) {
      int shell = 0;
      for (const AlloyBond& bond : bonds)
        if (bond.from == i.b && bond.to == j.b && bond.cell[0] == j.at[0] - i.at[0] &&
            bond.cell[1] == j.at[1] - i.at[1] && bond.cell[2] == j.at[2] - i.at[2])
          shell = bond.shell + 1;
      tables_.push_back(shell);
    }
  }
  while (tables_.size() % 4) tables_.push_back(0);
  const auto energy = [&](int s, int a, int b) {
    return energies[static_cast<size_t>((s * species + a) * species + b)];
  };
  g.change = static_cast<int>(tables_.size());
  for (int s = 0; s < g.shells; ++s)
    for (int a = 0; a < species; ++a)
      for (int b = 0; b < species; ++b)
        for (int c = 0; c < g.stride; ++c)
          tables_.push_back(c < species ? energy(s, b, c) - energy(s, a, c) - energy(s, b, 0) +
                                              energy(s, a, 0)
                                        : 0);
  g.shared = static_cast<int>(tables_.size());
  for (int s = -1; s < g.shells; ++s)
    for (int a = 0; a < species; ++a)
      for (int b = 0; b < species; ++b)
        tables_.push_back(s < 0 ? 0 : energy(s, a, a) + energy(s, b, b) - 2 * energy(s, a, b));
  g.tables = static_cast<int>(tables_.size());
}

double alloy_quantum(const std::vector<double>& values, int neighbours) {
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  if (largest == 0) return 1;
  double quantum = 1;
  while (largest / quantum > largest_energy(neighbours)) quantum *= 2;
  while (2 * largest / quantum <= largest_energy(neighbours)) quantum /= 2;
  return quantum;
}

}  // namespace ocoee::kernels
