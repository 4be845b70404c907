// SPDX-License-Identifier: Apache-2.0
// Four words of one colour, 128 spins: the same code on the CPU and in a GPU thread.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/alloy_bits.h"
#include "kernels/alloy_ising.h"
#include "kernels/philox_rounds.h"

namespace ocoee::kernels {

// Two probabilities of 40 bits. For the highest bits: masks, all ones where a bit is set.
struct IsingRule {
  uint32_t none[kIsingBits], differs[kIsingBits];  // of p^2; where p has another bit than p^2
  uint32_t rest_one, rest_none;                    // the other 32 bits, of p and p^2
};
inline IsingRule ising_rule(double beta) {
  const auto bits40 = [](double p) {
    return std::min<uint64_t>(static_cast<uint64_t>(std::llround(p * 0x1p40)),
                              (uint64_t{1} << 40) - 1);
  };
  const uint64_t one = bits40(std::exp(-4 * beta)), none = bits40(std::exp(-8 * beta));
  IsingRule rule{};
  for (int t = 0; t < kIsingBits; ++t) {
    const auto mask = [&](uint64_t p) { return (p >> (39 - t)) & 1 ? 0xffffffffu : 0u; };
    rule.none[t] = mask(none), rule.differs[t] = mask(one) ^ mask(none);
  }
  rule.rest_one = static_cast<uint32_t>(one), rule.rest_none = static_cast<uint32_t>(none);
  return rule;
}

struct IsingQuad {
  uint32_t v[4];
};

// The neighbours of 128 spins in their own row: the other colour's spins of the same number, and
// those one further left (odd = 0) or right (odd = 1).
OCOEE_HOST_DEVICE inline IsingQuad ising_side(const IsingQuad& same, uint32_t beyond, bool odd) {
  IsingQuad side;
  for (int w = 0; w < 4; ++w) {
    const uint32_t left = w == 0 ? beyond : same.v[w == 0 ? 0 : w - 1];
    const uint32_t right = w == 3 ? beyond : same.v[w == 3 ? 3 : w + 1];
    side.v[w] = odd ? funnel(same.v[w], right, 1) : (same.v[w] << 1) | (left >> 31);
  }
  return side;
}

// The spins after the update.
OCOEE_HOST_DEVICE inline IsingQuad ising_update(IsingQuad spins, const IsingQuad& up,
                                                const IsingQuad& down, const IsingQuad& same,
                                                const IsingQuad& side, const IsingRule& rule,
                                                const PhiloxRounds& rounds, uint64_t id) {
  uint32_t flips[4], open[4], one[4];
  for (int w = 0; w < 4; ++w) {
    const uint32_t a = up.v[w] ^ spins.v[w], b = down.v[w] ^ spins.v[w], c = same.v[w] ^ spins.v[w],
                   d = side.v[w] ^ spins.v[w];
    const uint32_t any = a | b | c, two = (a & b) | (a & c) | (b & c);
    flips[w] = two | (any & d);
    open[w] = ~flips[w];
    one[w] = any | d;
  }
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int t = 0; t < kIsingBits; ++t) {
    const PhiloxCounter bits = random_bits(rounds, id, static_cast<uint64_t>(t));
    for (int w = 0; w < 4; ++w) {
      // Where the random bit is not the probability's, the smaller number is known.
      const uint32_t decided = open[w] & ((bits.v[w] ^ (one[w] & rule.differs[t])) ^ rule.none[t]);
      flips[w] |= decided & ~bits.v[w];
      open[w] ^= decided;
    }
  }
  if (open[0] | open[1] | open[2] | open[3]) {
    // Here, once for all lanes of a warp, whatever their first open spin is.
    PhiloxCounter words = random_bits(rounds, id, uint64_t{kIsingBits});
    uint32_t drawn = 0;
    for (int w = 0; w < 4; ++w) {
      while (open[w]) {
        if (drawn > 0 && drawn % 4 == 0)
          words = random_bits(rounds, id, uint64_t{kIsingBits} + drawn / 4);
        const uint32_t word = drawn & 2 ? (drawn & 1 ? words.v[3] : words.v[2])
                                        : (drawn & 1 ? words.v[1] : words.v[0]);
        ++drawn;
        const uint32_t lowest = open[w] & (0u - open[w]);
        if (word < (one[w] & lowest ? rule.rest_one : rule.rest_none)) flips[w] |= lowest;
        open[w] ^= lowest;
      }
    }
  }
  for (int w = 0; w < 4; ++w) spins.v[w] ^= flips[w];
  return spins;
}

}  // namespace ocoee::kernels
