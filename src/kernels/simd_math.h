// SPDX-License-Identifier: Apache-2.0
// Elementary functions of CPU kernels, without branches or tables, so that loops over them become
// vector code.
#pragma once

#include <cmath>

#include "kernels/number.h"

namespace ocoee::kernels {

// exp(x), relative error below 2e-7, exp(0) = 1; x is clamped to [-87.3, 88.0], where the result is
// a normal number. NaN stays NaN. exp(x) = 2^n exp(r), |r| <= ln(2)/2; the polynomial for exp(r) is
// the minimax one of degree 6 (a weighted least-squares fit, iterated), 2e-8 off.
static inline float exponential(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float kShift =
      12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which lands in the low bits
  const float shifted = x * 1.44269504088896341f + kShift;
  const float n = shifted - kShift;
  float r =
      x -
      n * 0.693145751953125f;  // ln 2 in two parts; the first has few bits, so n times it is exact
  r = r - n * 1.42860682030941723e-6f;
  float p = 0.0013836567844f;
  p = p * r + 0.0083750367739f;
  p = p * r + 0.0416682422761f;
  p = p * r + 0.1666641754386f;
  p = p * r + 0.4999999195226f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t power = (bits_as<uint32_t>(shifted) + (127u - 0x4B400000u)) << 23;
  return p * bits_as<float>(power);
}
static inline double exponential(double x) {
  return std::exp(x);
}

// Sum of f(0) .. f(n - 1), as four strips side by side, so that the processor need not wait for one
// addition before the next.
template <class W, class F>
static inline W strip_sum(int64_t n, const F& f) {
  const int64_t q = n / 4;
  W s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (int64_t i = 0; i < q; ++i) {
    s0 += f(i);
    s1 += f(i + q);
    s2 += f(i + 2 * q);
    s3 += f(i + 3 * q);
  }
  for (int64_t i = 4 * q; i < n; ++i) s0 += f(i);
  return (s0 + s1) + (s2 + s3);
}

}  // namespace ocoee::kernels
