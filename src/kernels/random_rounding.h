// SPDX-License-Identifier: Apache-2.0
// Rounding to bfloat16 at random (Gupta et al. 2015): up with the probability of how far a number
// lies above the one below it, so that the mean of many roundings is the number itself and changes
// smaller than a digit are not lost.
#pragma once

#include "core/random.h"
#include "kernels/number.h"

namespace ocoee::kernels {

// The random bits of one step, a word an element: a function of (step, id) alone. Not Philox: 16
// bits a rounding need no more than a mix of 32 bits (MurmurHash3's, Appleby), and an optimizer's
// pass is not to wait for them. Elements that lie 2^32 apart share their bits.
struct RoundingBits {
  uint32_t key[2];

  OCOEE_HOST_DEVICE static RoundingBits of_step(int64_t step) {
    const PhiloxKey k = random_key(0, Purpose::rounding, static_cast<uint64_t>(step));
    return {{k.v[0], k.v[1]}};
  }
  OCOEE_HOST_DEVICE uint32_t word(uint32_t id) const {
    uint32_t x = id ^ key[0];
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu + key[1];
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    return x ^ (x >> 16);
  }
};

// `random`: 16 bits. NaN stays NaN and infinity infinity; above the largest bfloat16 lies infinity.
OCOEE_HOST_DEVICE static inline BFloat16 bfloat16_at_random(float x, uint32_t random) {
  const uint32_t bits = bits_as<uint32_t>(x);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40u : (bits + random) >> 16)};
}

// A number as it is kept: in its own type as it is.
template <class T, class W>
OCOEE_HOST_DEVICE static inline T kept_as(W x, uint32_t random) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return bfloat16_at_random(x, random);
  } else {
    static_assert(std::is_same_v<T, W>);
    return x;
  }
}

}  // namespace ocoee::kernels
