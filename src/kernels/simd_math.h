// SPDX-License-Identifier: Apache-2.0
// Elementary functions of CPU kernels, without branches or tables, so that loops over them become
// vector code.
#pragma once

#include <cmath>

#include "kernels/number.h"

namespace ocoee::kernels {

// exp(x), relative error below 2e-7; x is clamped to [-87.3, 88.0], where the result is a normal
// number. NaN stays NaN. exp(x) = 2^n exp(r), |r| <= ln(2)/2, with the Taylor polynomial of degree
// 7 for exp(r).
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
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t power = (bits_as<uint32_t>(shifted) + (127u - 0x4B400000u)) << 23;
  return p * bits_as<float>(power);
}
static inline double exponential(double x) {
  return std::exp(x);
}

}  // namespace ocoee::kernels
