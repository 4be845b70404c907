// SPDX-License-Identifier: Apache-2.0
// Eight-bit floating point numbers as operands of matrix products (Micikevicius et al. 2022, "FP8
// formats for deep learning"): E4M3 (largest 448) for values, E5M2 (57344) for gradients.
//
// A tensor is rounded after multiplication by its scale, a power of two, so that how it is rounded
// hardly depends on the scale: only what would overflow saturates, and what is tiny loses digits.
// The scale follows from the largest magnitudes that were seen in earlier steps (delayed scaling).
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

enum class Float8 : uint8_t { e4m3, e5m2 };
constexpr float largest_of(Float8 format) {
  return format == Float8::e4m3 ? 448.0F : 57344.0F;
}
// Nearest, ties to even; what is larger than the largest becomes it; NaN stays NaN.
uint8_t float8_from(float x, Float8 format);

struct ToFloat8 {
  DType dtype = DType::bf16;  // of x: any floating type
  Float8 format = Float8::e4m3;
  int64_t rows = 0, width = 0;
  const void* x = nullptr;  // [rows, width]
  const float* scale = nullptr;
  uint8_t* out = nullptr;  // [rows, width], or [width, rows] transposed; null: x is only looked at
  bool transposed = false;
  float* seen = nullptr;  // becomes the maximum of itself and all |x| (NaN left out); or null
};
void to_float8(const ToFloat8& a, const device::Stream& stream);

constexpr int64_t kInverseStride = 4;  // 16 bytes
// The scales of `count` tensors from what was seen of them.
struct Float8Scales {
  int64_t count = 0;
  const Float8* formats = nullptr;  // on the device, as all else
  float* seen = nullptr;            // of the last step; set to zero
  float* largest = nullptr;  // becomes max(seen, keep * itself), if something finite was seen
  float keep = 0.9F;
  // For a tensor of which something is known: the power of two that brings `largest` to at most
  // half of the format's largest number, and its inverse.
  float* scale = nullptr;
  float* inverse = nullptr;  // of tensor i at kInverseStride * i: products want them aligned
};
void float8_scales(const Float8Scales& a, const device::Stream& stream);

namespace cpu {
void to_float8(const ToFloat8& a);
void float8_scales(const Float8Scales& a);
}  // namespace cpu
namespace cuda {
void to_float8(const ToFloat8& a, const device::Stream& stream);
void float8_scales(const Float8Scales& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
