// SPDX-License-Identifier: Apache-2.0
// Canonical Monte Carlo of a pair-interaction alloy by link cells: many swaps at once, exactly.
//
// One sub-sweep lays a grid of link cells over the crystal, its origin drawn anew. A link cell is a
// core of core[d] conventional cells along axis d, followed by a gap as wide as the interaction
// reaches. In each core, `trials` Metropolis swaps follow one another while everything outside the
// cores stands still:
//
//   i: any site of the core; j: any site of the core that holds another species than i
//   accept if beta dE <= -ln u
//
// No bond joins two cores, so cores do not see each other's moves, and the order or place in which
// they are worked off (threads, ranks, GPU blocks) cannot matter. Within a core the proposal is
// symmetric: with n sites, n_a of them of the species of i and n_b of that of j, the pair is chosen
// with probability [1/(n - n_a) + 1/(n - n_b)] / n before and after the swap, since a core keeps
// its composition. So every sub-sweep leaves exp(-beta E) unchanged, whatever its origin. The
// origin moves from sub-sweep to sub-sweep, which carries atoms across the gaps.
//
// Random numbers: Philox, key (seed, monte_carlo, step), counter (number of the link cell in its
// replica's grid and replica, draw). A trial takes two words. The trajectory is a function of the
// seed, the first configuration and the step alone: bit-equal on CPUs and GPUs.
//
// Energies are whole numbers of a quantum, so changes add up exactly. u has about 56 random bits,
// and -ln u is off by at most 2e-7, or 2e-7 of itself where it is above 1.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "device/device.h"
#include "kernels/alloy_lattice.h"

namespace ocoee::kernels {

constexpr int kAlloyCoreSites = 32;  // at most, in a link cell
constexpr int kAlloyShells = 16;
constexpr int kAlloyWindows = 96;
constexpr int kAlloyTileWords = 256;  // over all planes

// A shell's neighbours on one sublattice, as far as they fit into 32 bits of a tile's bit string.
struct AlloyWindow {
  uint32_t mask;
  int32_t offset;  // from the place that belongs to the site and the sublattice
};

// Everything about lattice and model that a kernel reads, but for its tables. Made by AlloyRules.
struct AlloyGeometry {
  int basis, planes, species, shells;
  int stride;  // of a table over species: 2, 4 or 16
  int core[3], reach[3], tile[3], period[3];
  int64_t links[3];  // link cells along each axis
  int core_sites;
  int string_words,
      tile_words;  // of a plane: one sublattice's bit string, all of them and one more
  // Of shell s, sublattices b ^ turn: those before window_end[s * basis + turn], in one row.
  uint8_t window_end[kAlloyShells * 4];
  AlloyWindow window[kAlloyWindows];
  // In the tables, an array of int32:
  int place;       // [site of the core][turn, then its own]: bit in the strings
  int pair_shell;  // [site][site]: 1 + shell of the bond between them; 0: none
  int change;      // [shell][a][b][species]: what one neighbour of a species adds when a becomes b
  int shared;      // [1 + shell][a][b]: what is counted too much for a bond between the two
  int tables;      // length
};

// Host side: what a kernel needs, from bonds and energies.
class AlloyRules {
 public:
  // energies [shell][a][b], symmetric, in quanta. core: cells along each axis; 0 = 2, or 1 along an
  // axis of one cell. Error(config) where the crystal is too small for a link cell, a core
  // has more than 32 sites, energies are too large for 32-bit sums, or basis sites differ in their
  // surroundings otherwise than sc, bcc and fcc have them.
  AlloyRules(const AlloyLattice& lattice, const std::vector<AlloyBond>& bonds, int species,
             const std::vector<int32_t>& energies, std::array<int, 3> core = {0, 0, 0});

  const AlloyGeometry& geometry() const { return geometry_; }
  const std::vector<int32_t>& tables() const { return tables_; }
  int coordination(int shell) const { return coordination_[static_cast<size_t>(shell)]; }

 private:
  AlloyGeometry geometry_{};
  std::vector<int32_t> tables_;
  std::vector<int> coordination_;
};
// A power of two in which the largest of `values` is as large as AlloyRules allows for sums over
// `neighbours`; integers stay exact as long as they fit.
double alloy_quantum(const std::vector<double>& values, int neighbours);

// Sums since they were last cleared. Slots keep blocks of a GPU from waiting for each other.
struct AlloySums {
  static constexpr int kSlots = 64;
  int64_t trials, accepted, energy;  // energy: of the accepted swaps, in quanta
};

struct AlloySwap {
  AlloyLattice lattice;
  AlloyGeometry geometry;
  const int32_t* tables = nullptr;  // on the device, like the rest
  const float* beta = nullptr;      // [replica], per quantum
  uint32_t* words = nullptr;
  AlloySums* sums = nullptr;  // [replica][AlloySums::kSlots], added to
  int trials = 0;             // a link cell
  uint64_t seed = 0, step = 0;
  int64_t first_replica = 0;                // number of the first stored replica among all
  int64_t first_link = 0, link_layers = 0;  // link cells along z: this part of links[2]
  int threads = 128;                        // of a GPU block: 64 or 128; no result depends on it
};
void alloy_swap(const AlloySwap& a, const device::Stream& stream);

// Where the grid of link cells begins in this step.
struct AlloyOrigin {
  int64_t at[3];
};
AlloyOrigin alloy_origin(const AlloyLattice& lattice, uint64_t seed, uint64_t step,
                         int64_t replica);

// Bonds by shell and species of their ends, each from both ends: counts [replica][shell][a][b], sum
// over a and b = coordination x sites. Only stored layers first .. first + layers - 1 count as ends
// a.
struct AlloyCount {
  AlloyLattice lattice;
  const AlloyBond* bonds = nullptr;
  int bond_count = 0, shells = 0, species = 0;
  const uint32_t* words = nullptr;
  uint64_t* counts = nullptr;  // added to
  int64_t first = 0, layers = 0;
};
void alloy_count(const AlloyCount& a, const device::Stream& stream);

// Independent species with the given probabilities, by site number: threshold[k] is the probability
// of a species up to k, in units of 2^-32. The same crystal however it is cut.
struct AlloyFill {
  AlloyLattice lattice;
  uint32_t threshold[16] = {};
  int species = 2;
  uint32_t* words = nullptr;
  uint64_t seed = 0;
  int64_t first_replica = 0;
};
void alloy_fill(const AlloyFill& a, const device::Stream& stream);

namespace cpu {
void alloy_swap(const AlloySwap& a);
void alloy_count(const AlloyCount& a);
void alloy_fill(const AlloyFill& a);
}  // namespace cpu
namespace cuda {
void alloy_swap(const AlloySwap& a, const device::Stream& stream);
void alloy_count(const AlloyCount& a, const device::Stream& stream);
void alloy_fill(const AlloyFill& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
