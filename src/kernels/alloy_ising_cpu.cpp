// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include "kernels/alloy_ising.h"
#include "kernels/alloy_ising_quad.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::cpu {
namespace {

struct Rows {  // of the other colour, around row y
  const uint32_t *up, *same, *down;
};
Rows rows_around(const uint32_t* other, int64_t y, int64_t height, int64_t words) {
  return {other + (y == 0 ? height - 1 : y - 1) * words, other + y * words,
          other + (y == height - 1 ? 0 : y + 1) * words};
}
IsingQuad load(const uint32_t* row, int64_t word) {
  return {{row[word], row[word + 1], row[word + 2], row[word + 3]}};
}
// The word whose edge bit is the neighbour beyond the quad.
uint32_t beyond(const uint32_t* row, int64_t word, int64_t words, bool odd) {
  return odd ? row[word + 4 == words ? 0 : word + 4] : row[word == 0 ? words - 1 : word - 1];
}

}  // namespace

void ising_sweep(const Ising& a) {
  const int64_t words = a.width / 64;
  const PhiloxRounds rounds = philox_rounds(random_key(a.seed, Purpose::monte_carlo, a.sweep));
  const IsingRule rule = ising_rule(a.beta);
  for (int colour = 0; colour < 2; ++colour) {
    parallel_for(a.height, 4, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y) {
        const Rows rows = rows_around(a.spins[1 - colour], y, a.height, words);
        uint32_t* own = a.spins[colour] + y * words;
        const bool odd = (y + colour) % 2;
        for (int64_t w = 0; w < words; w += 4) {
          const IsingQuad same = load(rows.same, w);
          const IsingQuad updated =
              ising_update(load(own, w), load(rows.up, w), load(rows.down, w), same,
                           ising_side(same, beyond(rows.same, w, words, odd), odd), rule, rounds,
                           static_cast<uint64_t>((y * words + w) / 4 * 2 + colour));
          for (int k = 0; k < 4; ++k) own[w + k] = updated.v[k];
        }
      }
    });
  }
}

void ising_measure(const IsingMeasure& a) {
  const int64_t words = a.width / 64;
  parallel_for(a.height, 16, [&](int64_t begin, int64_t end) {
    uint64_t up = 0, antiparallel = 0;
    for (int64_t y = begin; y < end; ++y) {
      const Rows rows = rows_around(a.spins[1], y, a.height, words);
      const uint32_t *own = a.spins[0] + y * words, *other = rows.same;
      const bool odd = y % 2;
      for (int64_t w = 0; w < words; w += 4) {
        const IsingQuad same = load(other, w),
                        side = ising_side(same, beyond(other, w, words, odd), odd);
        for (int k = 0; k < 4; ++k) {
          const uint32_t s = own[w + k];
          up += static_cast<uint64_t>(count_bits(s) + count_bits(same.v[k]));
          antiparallel += static_cast<uint64_t>(
              count_bits(s ^ rows.up[w + k]) + count_bits(s ^ rows.down[w + k]) +
              count_bits(s ^ same.v[k]) + count_bits(s ^ side.v[k]));
        }
      }
    }
    std::atomic_ref<uint64_t>(a.sums[0]).fetch_add(up, std::memory_order_relaxed);
    std::atomic_ref<uint64_t>(a.sums[1]).fetch_add(antiparallel, std::memory_order_relaxed);
  });
}

}  // namespace ocoee::kernels::cpu
