// SPDX-License-Identifier: Apache-2.0
#include "kernels/alloy_lattice.h"

#include <algorithm>
#include <array>
#include <map>

#include "core/error.h"

namespace ocoee::kernels {
namespace {

// Basis sites in halves of the cell's edge.
std::vector<std::array<int, 3>> basis_of(const std::string& kind) {
  if (kind == "square" || kind == "sc") return {{0, 0, 0}};
  if (kind == "bcc") return {{0, 0, 0}, {1, 1, 1}};
  if (kind == "fcc") return {{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0}};
  fail(ErrorKind::config,
       "link cells know no lattice '{}'\n    expected: square, sc, bcc or fcc\n    fix: use a "
       "sequential sampler, which takes any lattice",
       kind);
}

}  // namespace

int alloy_basis(const std::string& kind) {
  return static_cast<int>(basis_of(kind).size());
}

std::vector<AlloyBond> alloy_bonds(const std::string& kind, int shells) {
  const std::vector<std::array<int, 3>> basis = basis_of(kind);
  const int n = static_cast<int>(basis.size()), reach = shells + 1;
  const int depth = kind == "square" ? 0 : reach;
  std::map<int, std::vector<AlloyBond>> by_distance;  // squared, in halves of the edge
  for (int from = 0; from < n; ++from) {
    for (int to = 0; to < n; ++to) {
      for (int x = -reach; x <= reach; ++x) {
        for (int y = -reach; y <= reach; ++y) {
          for (int z = -depth; z <= depth; ++z) {
            const AlloyBond bond{{x, y, z}, from, to, 0};
            int squared = 0;
            for (size_t d = 0; d < 3; ++d) {
              const int length = 2 * bond.cell[d] + basis[static_cast<size_t>(to)][d] -
                                 basis[static_cast<size_t>(from)][d];
              squared += length * length;
            }
            if (squared > 0) by_distance[squared].push_back(bond);
          }
        }
      }
    }
  }
  std::vector<AlloyBond> bonds;
  int shell = 0;
  for (auto& [squared, members] : by_distance) {
    if (shell == shells) break;
    for (AlloyBond& bond : members) bond.shell = shell;
    bonds.insert(bonds.end(), members.begin(), members.end());
    ++shell;
  }
  return bonds;
}

void pack_species(const AlloyLattice& lattice, const uint8_t* species, uint32_t* words) {
  std::fill_n(words, lattice.layers * lattice.layer_words(), 0u);
  for (int64_t z = 0; z < lattice.layers; ++z)
    for (int64_t y = 0; y < lattice.cells[1]; ++y)
      for (int64_t x = 0; x < lattice.cells[0]; ++x)
        for (int b = 0; b < lattice.basis; ++b, ++species)
          for (int p = 0; p < lattice.planes; ++p)
            words[lattice.row(0, z, p, b, y) + x / 32] |=
                ((static_cast<uint32_t>(*species) >> p) & 1u) << (x % 32);
}

void unpack_species(const AlloyLattice& lattice, const uint32_t* words, uint8_t* species) {
  for (int64_t z = 0; z < lattice.layers; ++z)
    for (int64_t y = 0; y < lattice.cells[1]; ++y)
      for (int64_t x = 0; x < lattice.cells[0]; ++x)
        for (int b = 0; b < lattice.basis; ++b, ++species) {
          uint32_t value = 0;
          for (int p = 0; p < lattice.planes; ++p)
            value |= ((words[lattice.row(0, z, p, b, y) + x / 32] >> (x % 32)) & 1u) << p;
          *species = static_cast<uint8_t>(value);
        }
}

}  // namespace ocoee::kernels
