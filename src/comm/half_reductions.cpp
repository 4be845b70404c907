// SPDX-License-Identifier: Apache-2.0
#include "comm/half_reductions.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#if defined(__F16C__) && defined(__AVX__)
#include <immintrin.h>
#endif

namespace ocoee::comm {
namespace {

constexpr int64_t kBlock = 1024;  // floats on the stack, within the first-level cache

struct Bf16 {
  static float widen(uint16_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
  static uint16_t narrow(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (word + 0x7fff + ((word >> 16) & 1)) >> 16;
    const uint32_t quiet_nan = (word >> 16) | 0x40;
    return static_cast<uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded);
  }
  static void widen(const uint16_t* from, float* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = widen(from[i]);
  }
  static void narrow(const float* from, uint16_t* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = narrow(from[i]);
  }
};

struct F16 {  // IEEE binary16; by hand because not every compiler has _Float16 on every processor
  static float widen(uint16_t bits) {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, magnitude = bits & 0x7fff;
    if (magnitude < 0x0400) {  // zero or subnormal: a multiple of 2^-24
      const auto tiny = std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
      return std::bit_cast<float>(sign | tiny);
    }
    const uint32_t shift = magnitude >= 0x7c00 ? 224u << 23 : 112u << 23;
    return std::bit_cast<float>(sign | ((magnitude << 13) + shift));
  }
  static uint16_t narrow(float value) {  // to nearest, ties to even
    const auto word = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint16_t>((word >> 16) & 0x8000);
    const uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
      return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
    if (magnitude >= 0x477ff000u) return sign | 0x7c00;  // 65520 and more
    if (magnitude < 0x38800000u)  // below 2^-14: the sum's unit in the last place is 2^-24
      return static_cast<uint16_t>(
          sign | (std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u));
    return static_cast<uint16_t>(
        sign | ((magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13));
  }
  static void widen(const uint16_t* from, float* to, int64_t n) {
    int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
    for (; i + 8 <= n; i += 8) {
      _mm256_storeu_ps(
          to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
    }
#endif
    for (; i < n; ++i) to[i] = widen(from[i]);
  }
  static void narrow(const float* from, uint16_t* to, int64_t n) {
    int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
    for (; i + 8 <= n; i += 8) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                       _mm256_cvtps_ph(_mm256_loadu_ps(from + i),
                                       _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
#endif
    for (; i < n; ++i) to[i] = narrow(from[i]);
  }
};

template <class Half, Reduce Op>
void reduce(const uint16_t* in, uint16_t* inout, int64_t count) {
  float a[kBlock], b[kBlock];
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t n = std::min(kBlock, count - first);
    Half::widen(in + first, a, n);
    Half::widen(inout + first, b, n);
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (Op == Reduce::sum) b[i] = a[i] + b[i];
      if constexpr (Op == Reduce::max) b[i] = a[i] > b[i] ? a[i] : b[i];
      if constexpr (Op == Reduce::min) b[i] = a[i] < b[i] ? a[i] : b[i];
    }
    Half::narrow(b, inout + first, n);
  }
}

template <class Half>
void reduce(Reduce op, const uint16_t* in, uint16_t* inout, int64_t count) {
  switch (op) {
    case Reduce::sum:
      return reduce<Half, Reduce::sum>(in, inout, count);
    case Reduce::max:
      return reduce<Half, Reduce::max>(in, inout, count);
    case Reduce::min:
      return reduce<Half, Reduce::min>(in, inout, count);
  }
}

}  // namespace

void reduce_halves(DType dtype, Reduce op, const uint16_t* in, uint16_t* inout, int64_t count) {
  OCOEE_CHECK(dtype == DType::bf16 || dtype == DType::f16, "{} is no two-byte float",
              name_of(dtype));
  if (dtype == DType::bf16) {
    reduce<Bf16>(op, in, inout, count);
  } else {
    reduce<F16>(op, in, inout, count);
  }
}

}  // namespace ocoee::comm
