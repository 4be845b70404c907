// SPDX-License-Identifier: Apache-2.0
// The formulas of activation.h, once for CPU and CUDA. `exponential(W)` comes from simd_math.h or
// cuda_support.cuh.
#pragma once

#include "core/random.h"  // OCOEE_HOST_DEVICE

namespace ocoee::kernels {

template <class W, class Exponential>
OCOEE_HOST_DEVICE inline W sigmoid(W x, const Exponential& exponential) {
  return W(1) / (W(1) + exponential(-x));
}

constexpr double kGeluScale = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double kGeluCubic = 0.044715;

// Beyond |z| = 100 the sigmoid has long saturated; bounding z there keeps infinities out of the
// products. NaN stays.
template <class W>
OCOEE_HOST_DEVICE inline W bounded(W z) {
  z = z < W(-100) ? W(-100) : z;
  return z > W(100) ? W(100) : z;
}

template <class W, class Exponential>
OCOEE_HOST_DEVICE inline W gelu(W z, const Exponential& exponential) {
  constexpr W k1 = static_cast<W>(2 * kGeluScale), k3 = static_cast<W>(2 * kGeluScale * kGeluCubic);
  const W c = bounded(z);
  return z * sigmoid(c * (k1 + k3 * (c * c)), exponential);
}

// y = z s(2u):  y' = s + z s (1 - s) (2u)'
template <class W, class Exponential>
OCOEE_HOST_DEVICE inline W gelu_slope(W z, const Exponential& exponential) {
  constexpr W k1 = static_cast<W>(2 * kGeluScale), k3 = static_cast<W>(2 * kGeluScale * kGeluCubic);
  const W c = bounded(z);
  const W square = c * c;
  const W s = sigmoid(c * (k1 + k3 * square), exponential);
  return s + c * s * (W(1) - s) * (k1 + W(3) * k3 * square);
}

}  // namespace ocoee::kernels
