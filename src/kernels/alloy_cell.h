// SPDX-License-Identifier: Apache-2.0
// One link cell at work: the same code on the CPU and in a GPU thread.
//
// A link cell and its surroundings, tile[0] x tile[1] x tile[2] conventional cells, are gathered
// into one bit string a plane and sublattice: bit (z tile[1] + y) tile[0] + x. The neighbours of a
// site in one shell on one sublattice are then a few 32-bit windows of that string at a fixed
// distance from the site, and their species are counted, all at once, by population counts:
//
//   dE = sum_s sum_c change[s][a][b][c] (n_c(i) - n_c(j)) - shared bond
//
// for i: a -> b, j: b -> a. A window costs per site two words and a funnel shift a plane, and a
// population count a species; species 0 is what the others leave over.
#pragma once

#include "kernels/alloy_bits.h"
#include "kernels/alloy_swap.h"
#include "kernels/philox_rounds.h"

namespace ocoee::kernels {

OCOEE_HOST_DEVICE inline AlloyOrigin alloy_origin_of(const AlloyLattice& lattice,
                                                     const PhiloxRounds& rounds, int64_t replica) {
  // Draws of link cells stay below 2^32.
  const PhiloxCounter bits = random_bits(rounds, static_cast<uint64_t>(replica), uint64_t{1} << 32);
  AlloyOrigin origin{};
  for (int d = 0; d < 3; ++d)
    origin.at[d] = below(bits.v[d], static_cast<uint32_t>(lattice.cells[d]));
  return origin;
}

// Entries of a table that are read together.
template <int kCount>
struct alignas(kCount < 4 ? 8 : 16) AlloyQuad {
  int32_t v[kCount];
  OCOEE_HOST_DEVICE static AlloyQuad load(const int32_t* from) {
    return *reinterpret_cast<const AlloyQuad*>(from);
  }
};

// kStride: distance between the words of one tile (GPU threads of a block interleave theirs).
template <int kPlanes, int kBasis, int kStride>
class AlloyCell {
  static constexpr int kSpecies = 1 << kPlanes;

 public:
  OCOEE_HOST_DEVICE AlloyCell(const AlloySwap& a, const PhiloxRounds& rounds, uint32_t* tile)
      : a_(a), g_(a.geometry), rounds_(rounds), tile_(tile) {}

  int trials = 0, accepted = 0;
  int64_t energy = 0;

  // Link cell (kx, ky, kz) of the stored replica `replica`. flip(word, bits) changes bits of the
  // crystal: bits of other link cells may stand in the same word.
  template <class Flip>
  OCOEE_HOST_DEVICE void visit(int64_t replica, const int64_t (&k)[3], float beta, Flip&& flip) {
    const int64_t number = a_.first_replica + replica;
    const AlloyOrigin origin = alloy_origin_of(a_.lattice, rounds_, number);
    int at[3];  // first cell of the core
    for (int d = 0; d < 3; ++d)
      at[d] = wrapped(static_cast<int>(origin.at[d] + k[d] * g_.period[d]), d);
    gather(replica, at);
    uint32_t before[kPlanes];
    for (int p = 0; p < kPlanes; ++p) before[p] = core_[p];
    const auto id = static_cast<uint64_t>(
        ((number * g_.links[2] + k[2]) * g_.links[1] + k[1]) * g_.links[0] + k[0]);
    for (int t = 0; t < a_.trials; t += 2) {
      const PhiloxCounter bits = random_bits(rounds_, id, static_cast<uint64_t>(t) >> 1);
      trial(bits.v[0], bits.v[1], beta);
      if (t + 1 < a_.trials) trial(bits.v[2], bits.v[3], beta);
    }
    for (int p = 0; p < kPlanes; ++p) before[p] ^= core_[p];
    scatter(replica, at, before, flip);
  }

 private:
  OCOEE_HOST_DEVICE int wrapped(int x, int d) const {
    const int n = static_cast<int>(a_.lattice.cells[d]);
    if (x >= n) x -= n;
    return x < 0 ? x + n : x;
  }

  OCOEE_HOST_DEVICE void gather(int64_t replica, const int (&at)[3]) {
    const AlloyLattice& lattice = a_.lattice;
    const int width = g_.tile[0];
    const RowSpan span(static_cast<int>(lattice.cells[0]), wrapped(at[0] - g_.reach[0], 0), width);
    const bool edge = any_lane(span.wraps);
    // A layer has fewer than 2^31 words.
    const auto row_words = static_cast<uint32_t>(lattice.row_words()),
               sheet = static_cast<uint32_t>(lattice.cells[1]) * row_words;
    uint32_t held[kPlanes][kBasis] = {};
    int filled = 0, word = 0, core_rows = 0;
    for (int p = 0; p < kPlanes; ++p) core_[p] = 0;
    for (int z = 0; z < g_.tile[2]; ++z) {
      const int64_t layer = lattice.stored(wrapped(at[2] - g_.reach[2] + z, 2));
      const uint32_t* rows = a_.words + lattice.row(replica, layer, 0, 0, 0);
      const bool core_layer =
          static_cast<unsigned>(z - g_.reach[2]) < static_cast<unsigned>(g_.core[2]);
      for (int y = 0; y < g_.tile[1]; ++y) {
        const uint32_t row = static_cast<uint32_t>(wrapped(at[1] - g_.reach[1] + y, 1)) * row_words;
        uint32_t bits[kPlanes][kBasis];
        if (edge) {
          for (int p = 0; p < kPlanes; ++p)
            for (int b = 0; b < kBasis; ++b)
              bits[p][b] = span.read(rows + row + (p * kBasis + b) * sheet);
        } else {
          uint32_t low[kPlanes][kBasis], high[kPlanes][kBasis];  // all loads before the first use
          for (int p = 0; p < kPlanes; ++p)
            for (int b = 0; b < kBasis; ++b) {
              const uint32_t* from =
                  rows + (static_cast<uint32_t>(span.word) + row + (p * kBasis + b) * sheet);
              low[p][b] = from[0];
              high[p][b] = span.straddles ? from[1] : 0;
            }
          for (int p = 0; p < kPlanes; ++p)
            for (int b = 0; b < kBasis; ++b)
              bits[p][b] = funnel(low[p][b], high[p][b], span.shift) & span.mask;
        }
        for (int p = 0; p < kPlanes; ++p)
          for (int b = 0; b < kBasis; ++b) held[p][b] |= bits[p][b] << filled;
        if (core_layer &&
            static_cast<unsigned>(y - g_.reach[1]) < static_cast<unsigned>(g_.core[1])) {
          for (int p = 0; p < kPlanes; ++p)
            for (int b = 0; b < kBasis; ++b)
              core_[p] |= ((bits[p][b] >> g_.reach[0]) & low_bits(g_.core[0]))
                          << ((b * g_.core[2] * g_.core[1] + core_rows) * g_.core[0]);
          ++core_rows;
        }
        filled += width;
        if (filled < 32) continue;
        filled -= 32;
        for (int p = 0; p < kPlanes; ++p)
          for (int b = 0; b < kBasis; ++b) {
            tile_[((b * g_.string_words + word) * kPlanes + p) * kStride] = held[p][b];
            held[p][b] = filled > 0 ? bits[p][b] >> (width - filled) : 0;
          }
        ++word;
      }
    }
    for (int p = 0; p < kPlanes; ++p) {
      if (filled > 0)
        for (int b = 0; b < kBasis; ++b)
          tile_[((b * g_.string_words + word) * kPlanes + p) * kStride] = held[p][b];
      tile_[(kBasis * g_.string_words * kPlanes + p) * kStride] = 0;
    }
  }

  OCOEE_HOST_DEVICE int species_of(int site) const {
    uint32_t species = 0;
    for (int p = 0; p < kPlanes; ++p) species |= ((core_[p] >> site) & 1u) << p;
    return static_cast<int>(species);
  }

  OCOEE_HOST_DEVICE void trial(uint32_t which, uint32_t chance, float beta) {
    const auto sites = static_cast<uint32_t>(g_.core_sites);
    const auto i = static_cast<int>(below(which, sites));
    const int a = species_of(i);
    uint32_t unlike = 0;
    for (int p = 0; p < kPlanes; ++p)
      unlike |= core_[p] ^ (0u - ((static_cast<uint32_t>(a) >> p) & 1u));
    unlike &= low_bits(g_.core_sites);
    if (unlike == 0) return;  // one species only: there is nothing to swap
    ++trials;
    const auto choices = static_cast<uint32_t>(count_bits(unlike));
    const uint32_t rest = which * sites;
    const int j = select_bit(unlike, static_cast<int>(below(rest, choices)));
    const int b = species_of(j);
    const int change = energy_change(i, j, a, b);
    if (beta * static_cast<float>(change) <= exponential(chance, rest * choices)) {
      ++accepted;
      energy += change;
      exchange(i, j, static_cast<uint32_t>(a ^ b));
    }
  }

  OCOEE_HOST_DEVICE int energy_change(int i, int j, int a, int b) const {
    const int32_t *place_i = a_.tables + g_.place + i * (kBasis + 1),
                  *place_j = a_.tables + g_.place + j * (kBasis + 1);
    const int ab = a * g_.species + b;
    const int32_t* change = a_.tables + g_.change + ab * kSpecies;
    const int shell_stride = g_.species * g_.species * kSpecies;
    int sum = 0;
    for (int shell = 0, w = 0; shell < g_.shells; ++shell, change += shell_stride) {
      int difference[kSpecies] = {};
      for (int turn = 0; turn < kBasis; ++turn) {
        for (; w < g_.window_end[shell * kBasis + turn]; ++w) {
          const AlloyWindow window = g_.window[w];
          uint32_t at_i[kPlanes], at_j[kPlanes];
          read(place_i[turn] + window.offset, at_i);
          read(place_j[turn] + window.offset, at_j);
          for (int c = 1; c < kSpecies; ++c)
            if (kPlanes < 4 || c < g_.species)
              difference[c] += count_bits(holding(at_i, c) & window.mask) -
                               count_bits(holding(at_j, c) & window.mask);
        }
      }
      const AlloyQuad<kSpecies> add = AlloyQuad<kSpecies>::load(change);
      for (int c = 1; c < kSpecies; ++c)
        if (kPlanes < 4 || c < g_.species) sum += add.v[c] * difference[c];
    }
    const int shell = a_.tables[g_.pair_shell + i * g_.core_sites + j];
    return sum - a_.tables[g_.shared + shell * g_.species * g_.species + ab];
  }

  // 32 bits of every plane's strings from bit `at` on.
  OCOEE_HOST_DEVICE void read(int at, uint32_t (&bits)[kPlanes]) const {
    const uint32_t* word = tile_ + (at >> 5) * (kPlanes * kStride);
    for (int p = 0; p < kPlanes; ++p)
      bits[p] = funnel(word[p * kStride], word[(kPlanes + p) * kStride], static_cast<uint32_t>(at));
  }
  // Where species c stands.
  OCOEE_HOST_DEVICE static uint32_t holding(const uint32_t (&bits)[kPlanes], int c) {
    uint32_t all = 0xffffffffu;
    for (int p = 0; p < kPlanes; ++p) all &= (c >> p) & 1 ? bits[p] : ~bits[p];
    return all;
  }

  OCOEE_HOST_DEVICE void exchange(int i, int j, uint32_t differing) {
    const int32_t* own = a_.tables + g_.place + kBasis;
    const int at_i = own[i * (kBasis + 1)], at_j = own[j * (kBasis + 1)];
    uint32_t *word_i = tile_ + (at_i >> 5) * (kPlanes * kStride),
             *word_j = tile_ + (at_j >> 5) * (kPlanes * kStride);
    for (int p = 0; p < kPlanes; ++p) {
      const uint32_t flip = (differing >> p) & 1u;
      core_[p] ^= (flip << i) | (flip << j);
      word_i[p * kStride] ^= flip << (at_i & 31);
      word_j[p * kStride] ^= flip << (at_j & 31);
    }
  }

  template <class Flip>
  OCOEE_HOST_DEVICE void scatter(int64_t replica, const int (&at)[3],
                                 const uint32_t (&changed)[kPlanes], Flip&& flip) {
    const AlloyLattice& lattice = a_.lattice;
    const int width = g_.core[0];
    const RowSpan span(static_cast<int>(lattice.cells[0]), at[0], width);
    const auto row_words = static_cast<uint32_t>(lattice.row_words()),
               sheet = static_cast<uint32_t>(lattice.cells[1]) * row_words;
    int rows = 0;
    for (int z = 0; z < g_.core[2]; ++z) {
      uint32_t* layer =
          a_.words + lattice.row(replica, lattice.stored(wrapped(at[2] + z, 2)), 0, 0, 0);
      for (int y = 0; y < g_.core[1]; ++y, ++rows) {
        const uint32_t row = static_cast<uint32_t>(wrapped(at[1] + y, 1)) * row_words;
        for (int p = 0; p < kPlanes; ++p) {
          for (int b = 0; b < kBasis; ++b) {
            const uint32_t bits =
                (changed[p] >> ((b * g_.core[2] * g_.core[1] + rows) * width)) & low_bits(width);
            if (bits) span.change(layer + (row + (p * kBasis + b) * sheet), bits, flip);
          }
        }
      }
    }
  }

  const AlloySwap& a_;
  const AlloyGeometry& g_;
  const PhiloxRounds& rounds_;
  uint32_t* tile_;
  uint32_t core_[kPlanes] = {};
};

}  // namespace ocoee::kernels
