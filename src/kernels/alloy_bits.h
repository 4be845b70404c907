// SPDX-License-Identifier: Apache-2.0
// Bits and numbers that the alloy kernels compute in the same way on every machine.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/random.h"

namespace ocoee::kernels {

OCOEE_HOST_DEVICE inline int count_bits(uint32_t word) {
#if defined(__CUDA_ARCH__)
  return __popc(word);
#else
  return std::popcount(word);
#endif
}

OCOEE_HOST_DEVICE inline uint32_t low_bits(int count) {
  return count >= 32 ? 0xffffffffu : (1u << count) - 1;
}

// On a GPU: whether it is so in any lane of the warp that is here. Where it is in none, all take
// the short way together.
OCOEE_HOST_DEVICE inline bool any_lane(bool so) {
#if defined(__CUDA_ARCH__)
  return __any_sync(__activemask(), so);
#else
  return so;
#endif
}

// The 32 bits that begin at bit `shift` % 32 of `low`, and go on in `high`.
OCOEE_HOST_DEVICE inline uint32_t funnel(uint32_t low, uint32_t high, uint32_t shift) {
#if defined(__CUDA_ARCH__)
  return __funnelshift_r(low, high, shift);
#else
  return static_cast<uint32_t>(((static_cast<uint64_t>(high) << 32) | low) >> (shift & 31));
#endif
}

// floor(bits n / 2^32): uniform over 0 .. n - 1, but for n / 2^32. bits * n holds the rest of the
// randomness: it can be drawn from once more.
OCOEE_HOST_DEVICE inline uint32_t below(uint32_t bits, uint32_t n) {
#if defined(__CUDA_ARCH__)
  return __umulhi(bits, n);
#else
  return static_cast<uint32_t>((static_cast<uint64_t>(bits) * n) >> 32);
#endif
}

// Position of the k-th set bit, k = 0 the lowest: halves are compared by their numbers of bits.
OCOEE_HOST_DEVICE inline int select_bit(uint32_t word, int k) {
  const uint32_t by2 = word - ((word >> 1) & 0x55555555u);
  const uint32_t by4 = (by2 & 0x33333333u) + ((by2 >> 2) & 0x33333333u);
  const uint32_t by8 = (by4 + (by4 >> 4)) & 0x0f0f0f0fu;
  const uint32_t by16 = by8 + (by8 >> 8);
  int at = 0;
  const auto descend = [&](uint32_t counts, uint32_t mask, int width) {
    const int here = static_cast<int>((counts >> at) & mask);
    const bool above = k >= here;
    k -= above ? here : 0;
    at += above ? width : 0;
  };
  descend(by16, 0xffu, 16);
  descend(by8, 0xfu, 8);
  descend(by4, 0x7u, 4);
  descend(by2, 0x3u, 2);
  descend(word, 0x1u, 1);
  return at;
}

// `count` <= 32 bits from x on of a row of `cells` bits, periodic: where they lie, the same for
// every row. 0 <= x < cells, count <= 2 cells; bits of a row's last word beyond the row are 0.
struct RowSpan {
  int word;
  uint32_t shift, mask;
  bool straddles, wraps;  // into the next word; to the row's beginning
  int ahead, again;       // bits before the wrap; where a short row comes a second time, or 0

  OCOEE_HOST_DEVICE RowSpan(int cells, int x, int count)
      : word(x >> 5), shift(static_cast<uint32_t>(x & 31)), mask(low_bits(count)) {
    wraps = x + count > cells;
    ahead = wraps ? cells - x : 0;
    straddles = static_cast<int>(shift) + (wraps ? ahead : count) > 32;
    again = cells < 32 ? cells : 0;
  }
  OCOEE_HOST_DEVICE uint32_t read(const uint32_t* row) const {
    const uint32_t low = row[word], high = straddles ? row[word + 1] : 0;
    uint32_t bits = funnel(low, high, shift);
    if (wraps) {
      uint32_t start = row[0];
      if (again) start |= start << again;
      bits |= start << ahead;
    }
    return bits & mask;
  }
  // Changes the bits that are set in `bits`; flip(word, bits) does it.
  template <class Flip>
  OCOEE_HOST_DEVICE void change(uint32_t* row, uint32_t bits, Flip&& flip) const {
    const uint32_t before = wraps ? bits & low_bits(ahead) : bits;
    flip(row + word, before << shift);
    if (straddles) flip(row + word + 1, before >> (32 - shift));
    if (wraps) flip(row, bits >> ahead);
  }
};

OCOEE_HOST_DEVICE inline float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

// -ln u for u = (high + low / 2^32) / 2^32: an exponential number of mean 1. Only correctly rounded
// operations, so all machines agree on every bit. log(1 + f) / f is a polynomial by Chebyshev
// interpolation on [1/sqrt 2 - 1, sqrt 2 - 1], relative error 5e-8.
OCOEE_HOST_DEVICE inline float exponential(uint32_t high, uint32_t low) {
  float x = fused(static_cast<float>(low), 0x1p-32f, static_cast<float>(high));
  x = x < 0x1p-33f ? 0x1p-33f : x;
  uint32_t bits;
#if defined(__CUDA_ARCH__)
  bits = __float_as_uint(x);
#else
  std::memcpy(&bits, &x, sizeof bits);
#endif
  const int exponent = static_cast<int>(bits - 0x3f3504f3u) >> 23;  // x / 2^exponent >= 1/sqrt 2
  bits -= static_cast<uint32_t>(exponent) << 23;
  float mantissa;
#if defined(__CUDA_ARCH__)
  mantissa = __uint_as_float(bits);
#else
  std::memcpy(&mantissa, &bits, sizeof mantissa);
#endif
  const float f = mantissa - 1.0f;
  float p = 8.533313130e-02f;
  p = fused(p, f, -1.426925822e-01f);
  p = fused(p, f, 1.497740127e-01f);
  p = fused(p, f, -1.657799289e-01f);
  p = fused(p, f, 1.995593336e-01f);
  p = fused(p, f, -2.500135219e-01f);
  p = fused(p, f, 3.333419329e-01f);
  p = fused(p, f, -4.999999638e-01f);
  p = fused(p, f, 9.999999741e-01f);
  return fused(static_cast<float>(32 - exponent), 0x1.62e430p-1f, -(p * f));
}

}  // namespace ocoee::kernels
