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

struct F16 {
  static void widen(const uint16_t* from, float* to, int64_t n) {
    int64_t i = 0;
#if defined(__F16C__) && defined(__AVX__)
    for (; i + 8 <= n; i += 8) {
      _mm256_storeu_ps(
          to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
    }
#endif
    for (; i < n; ++i) to[i] = static_cast<float>(std::bit_cast<_Float16>(from[i]));
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
    for (; i < n; ++i) to[i] = std::bit_cast<uint16_t>(static_cast<_Float16>(from[i]));
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
