// SPDX-License-Identifier: Apache-2.0
// Whole words of sites at once: bonds are counted and crystals filled, on the CPU and in GPU
// threads.
#pragma once

#include "kernels/alloy_bits.h"
#include "kernels/alloy_swap.h"
#include "kernels/philox_rounds.h"

namespace ocoee::kernels {

struct AlloyRow {
  int64_t replica, layer;  // layer: among the stored ones
  int b;
  int64_t y;
};
// Row r of those whose sites count: [replica][layer][b][y].
OCOEE_HOST_DEVICE inline AlloyRow alloy_row(const AlloyCount& a, int64_t r) {
  const AlloyLattice& lattice = a.lattice;
  const int64_t y = r % lattice.cells[1];
  r /= lattice.cells[1];
  const int b = static_cast<int>(r % lattice.basis);
  r /= lattice.basis;
  return {r / a.layers, a.first + r % a.layers, b, y};
}

template <int kPlanes>
OCOEE_HOST_DEVICE inline uint32_t sites_holding(const uint32_t (&bits)[kPlanes], int c) {
  uint32_t all = 0xffffffffu;
  for (int p = 0; p < kPlanes; ++p) all &= (c >> p) & 1 ? bits[p] : ~bits[p];
  return all;
}

// The bonds of 32 sites: add((shell * species + a) * species + c, number). On a GPU all lanes of a
// warp call add() together, whatever their rows are.
template <int kPlanes, class Add>
OCOEE_HOST_DEVICE inline void count_word(const AlloyCount& a, const AlloyRow& row, int64_t w,
                                         Add&& add) {
  constexpr int kSpecies = 1 << kPlanes;
  const AlloyLattice& lattice = a.lattice;
  const int64_t nx = lattice.cells[0];
  const bool inside = w * 32 < nx && row.replica < lattice.replicas;
  const int valid = inside ? static_cast<int>(nx - w * 32 < 32 ? nx - w * 32 : 32) : 0;
  uint32_t own[kPlanes];
  for (int p = 0; p < kPlanes; ++p)
    own[p] = inside ? a.words[lattice.row(row.replica, row.layer, p, row.b, row.y) + w] : 0;
  int bond = 0;
  for (int shell = 0; shell < a.shells; ++shell) {
    const int first = bond;
    for (int from = 0; from < a.species; ++from) {
      const uint32_t here = sites_holding(own, from) & low_bits(valid);
      int counts[kSpecies] = {};
      for (bond = first; bond < a.bond_count && a.bonds[bond].shell == shell; ++bond) {
        const AlloyBond& step = a.bonds[bond];
        if (step.from != row.b || here == 0) continue;
        int64_t x = w * 32 + step.cell[0], y = row.y + step.cell[1];
        while (x < 0) x += nx;
        while (x >= nx) x -= nx;
        while (y < 0) y += lattice.cells[1];
        while (y >= lattice.cells[1]) y -= lattice.cells[1];
        int64_t layer = row.layer + step.cell[2];
        while (layer < 0) layer += lattice.cells[2];
        while (layer >= lattice.cells[2]) layer -= lattice.cells[2];
        const RowSpan span(static_cast<int>(nx), static_cast<int>(x), valid);
        uint32_t there[kPlanes];
        for (int p = 0; p < kPlanes; ++p)
          there[p] = span.read(a.words + lattice.row(row.replica, layer, p, step.to, y));
        for (int c = 0; c < kSpecies; ++c) counts[c] += count_bits(here & sites_holding(there, c));
      }
      for (int c = 0; c < kSpecies; ++c)
        if (c < a.species) add((shell * a.species + from) * a.species + c, counts[c]);
    }
  }
}

// Column c of words, one in every plane: [replica][layer][b][y][x / 32].
template <int kPlanes>
OCOEE_HOST_DEVICE inline void fill_word(const AlloyFill& a, const PhiloxRounds& rounds, int64_t c) {
  const AlloyLattice& lattice = a.lattice;
  const int64_t in_layer = lattice.plane_words(), word = c % in_layer;
  const int64_t layer = c / in_layer % lattice.layers, replica = c / in_layer / lattice.layers;
  int64_t z = lattice.first_layer + layer;
  while (z < 0) z += lattice.cells[2];
  while (z >= lattice.cells[2]) z -= lattice.cells[2];
  const auto id = static_cast<uint64_t>(z * in_layer + word);
  const auto draw = static_cast<uint64_t>(a.first_replica + replica) << 3;
  const int64_t left = lattice.cells[0] - word % lattice.row_words() * 32;
  uint32_t bits[kPlanes] = {};
  for (int site = 0; site < 32 && site < left; site += 4) {
    const PhiloxCounter random = random_bits(rounds, id, draw + static_cast<uint64_t>(site) / 4);
    for (int k = 0; k < 4; ++k) {
      uint32_t species = 0;
      for (int s = 0; s + 1 < a.species; ++s) species += random.v[k] >= a.threshold[s] ? 1 : 0;
      if (site + k >= left) species = 0;
      for (int p = 0; p < kPlanes; ++p) bits[p] |= ((species >> p) & 1u) << (site + k);
    }
  }
  for (int p = 0; p < kPlanes; ++p)
    a.words[(replica * lattice.layers + layer) * lattice.layer_words() + p * in_layer + word] =
        bits[p];
}

}  // namespace ocoee::kernels
