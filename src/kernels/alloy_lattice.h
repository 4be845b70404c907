// SPDX-License-Identifier: Apache-2.0
// A crystal in bit planes: what the alloy kernels know of it.
//
// Sites (x, y, z; b): basis site b of the conventional cell (x, y, z), periodic. A species is a
// number below 2^planes; bit p of it stands in plane p, and 32 sites that follow one another along
// x share a word:
//
//   words [replica][z][plane][b][y][x / 32]      bit x % 32; the rest of a row's last word is 0
//
// so that 4 species take 2 bits a site, and the layers of constant z lie whole in memory: a slab of
// them can be cut out, sent and extended by a halo. Numbers of sites and cells are 64 bits wide.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/random.h"

namespace ocoee::kernels {

struct AlloyLattice {
  int64_t cells[3] = {1, 1, 1};         // of the whole crystal, along x, y, z
  int basis = 1;                        // sites a cell
  int planes = 1;                       // bits a site: 1, 2 or 4
  int64_t first_layer = 0, layers = 1;  // the stored z: first_layer + 0 .. layers - 1, periodic
  int64_t replicas = 1;                 // independent crystals, one after another

  OCOEE_HOST_DEVICE int64_t row_words() const { return (cells[0] + 31) / 32; }
  OCOEE_HOST_DEVICE int64_t plane_words() const { return basis * cells[1] * row_words(); }
  OCOEE_HOST_DEVICE int64_t layer_words() const { return planes * plane_words(); }
  OCOEE_HOST_DEVICE int64_t words() const { return replicas * layers * layer_words(); }
  int64_t sites() const { return cells[0] * cells[1] * cells[2] * basis; }  // of a whole replica
  // First word of a row; `layer` counts from the first stored one.
  OCOEE_HOST_DEVICE int64_t row(int64_t replica, int64_t layer, int plane, int b, int64_t y) const {
    return (((replica * layers + layer) * planes + plane) * basis + b) * cells[1] * row_words() +
           y * row_words();
  }
  // Where layer z of the crystal, 0 <= z < cells[2], is stored; first_layer is less than one period
  // off.
  OCOEE_HOST_DEVICE int64_t stored(int64_t z) const {
    const int64_t layer = z - first_layer;
    return layer < 0 ? layer + cells[2] : layer >= cells[2] ? layer - cells[2] : layer;
  }
};

// The neighbour `to`, `cell` cells away, of a basis site `from`, in coordination shell `shell`.
// Every pair is listed from both its ends.
struct AlloyBond {
  int cell[3] = {0, 0, 0};
  int from = 0, to = 0, shell = 0;
};
// Of the first `shells` shells of "square" (x and y only), "sc", "bcc" or "fcc".
std::vector<AlloyBond> alloy_bonds(const std::string& kind, int shells);
int alloy_basis(const std::string& kind);

// Between one byte a site, ((z ny + y) nx + x) basis + b, and words; for one replica, on the host.
void pack_species(const AlloyLattice& lattice, const uint8_t* species, uint32_t* words);
void unpack_species(const AlloyLattice& lattice, const uint32_t* words, uint8_t* species);

}  // namespace ocoee::kernels
