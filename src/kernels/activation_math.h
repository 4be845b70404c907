// SPDX-License-Identifier: Apache-2.0
// The formulas of activation.h, once for CPU and CUDA. exponential(x) is b^x of a base b whose
// logarithm of e is `kLog`: e on a CPU (activation_cpu.cpp), 2 on a GPU (cuda_support.cuh).
#pragma once

#include "core/random.h"  // OCOEE_HOST_DEVICE

namespace ocoee::kernels {

// On a GPU within two units in the last place, and 0 for b of 2^126 and above: a correctly rounded
// quotient takes ten instructions and a branch, and these kernels are as much bound by instructions
// as by bytes where the card's limit of power has slowed its clock.
OCOEE_HOST_DEVICE inline float quotient(float a, float b) {
#ifdef __CUDA_ARCH__
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(b));
  return a * reciprocal;
#else
  return a / b;
#endif
}
OCOEE_HOST_DEVICE inline double quotient(double a, double b) {
  return a / b;
}

template <class W, class Exponential>
OCOEE_HOST_DEVICE inline W sigmoid(W x, const Exponential& exponential) {
  return quotient(W(1), W(1) + exponential(static_cast<W>(-Exponential::kLog) * x));
}

constexpr double kGeluScale = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double kGeluCubic = 0.044715;

// Overflow of the cubic is harmless: the exponential bounds its argument.
template <class W, class Exponential>
OCOEE_HOST_DEVICE inline W gelu(W z, const Exponential& exponential) {
  constexpr double kScale = -2 * kGeluScale * Exponential::kLog;
  constexpr W k1 = static_cast<W>(kScale), k3 = static_cast<W>(kScale * kGeluCubic);
  return quotient(z, W(1) + exponential(z * (k1 + k3 * (z * z))));
}

// y = z s(2u):  y' = s + z s (1 - s) (2u)'. Where |z| > 100 the slope has long been 0 or 1;
// bounding the square keeps the last factor finite. y has the bits of gelu().
template <class W>
struct ValueAndSlope {
  W y, slope;
};
template <class W, class Exponential>
OCOEE_HOST_DEVICE inline ValueAndSlope<W> gelu_and_slope(W z, const Exponential& exponential) {
  constexpr double kScale = -2 * kGeluScale * Exponential::kLog;
  constexpr W k1 = static_cast<W>(kScale), k3 = static_cast<W>(kScale * kGeluCubic),
              d1 = static_cast<W>(2 * kGeluScale), d3 = static_cast<W>(6 * kGeluScale * kGeluCubic);
  W square = z * z;
  square = square > W(1e4) ? W(1e4) : square;
  const W below = W(1) + exponential(z * (k1 + k3 * square)), s = quotient(W(1), below);
  return {quotient(z, below), s + z * s * (W(1) - s) * (d1 + d3 * square)};
}
template <class W, class Exponential>
OCOEE_HOST_DEVICE inline W gelu_slope(W z, const Exponential& exponential) {
  return gelu_and_slope(z, exponential).slope;
}

}  // namespace ocoee::kernels
