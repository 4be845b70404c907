// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba, Kiros, Hinton 2016) and RMSNorm (Zhang, Sennrich 2019) over the last dimension,
// forward and backward, each with its neighbour in a residual network fused in: the addition before
// it, and the gradient that passes by.
//
//   s = x + add;  y = (s - mean) * rstd * weight + bias,  rstd = 1 / sqrt(variance + epsilon)
//   RMSNorm: mean = 0, and rstd = 1 / sqrt(mean of squares + epsilon)
//
// All arrays are contiguous. dtype is f32, bf16, f16 or f64; statistics and weight gradients are
// f32 (f64 for f64), weight gradients also bf16.
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

struct NormForward {
  DType dtype = DType::f32;  // of x, add, sum, weight, bias, y
  bool rms = false;
  int64_t rows = 0, width = 0;
  double epsilon = 1e-5;
  const void* x = nullptr;    // [rows, width]
  const void* add = nullptr;  // [rows, width], or null
  void* sum =
      nullptr;  // [rows, width] x + add, rounded to dtype before it is normalised; null without add
  const void* weight = nullptr;  // [width]
  const void* bias = nullptr;    // [width], or null
  void* y = nullptr;             // [rows, width]
  void* mean = nullptr;          // [rows] f32 / f64; null for RMSNorm, or if no backward follows
  void* rstd = nullptr;          // [rows] f32 / f64, or null
};
void norm_forward(const NormForward& a, const device::Stream& stream);

struct NormBackward {
  DType dtype = DType::f32;  // of dy, x, weight, d_residual, dx
  bool rms = false;
  int64_t rows = 0, width = 0;
  const void* dy = nullptr;          // [rows, width]
  const void* x = nullptr;           // [rows, width] what was normalised (sum, with add)
  const void* weight = nullptr;      // [width]
  const void* mean = nullptr;        // [rows]; null for RMSNorm
  const void* rstd = nullptr;        // [rows]
  const void* d_residual = nullptr;  // [rows, width] added to dx, or null; may be dx itself
  void* dx = nullptr;                // [rows, width], or null
  // With dx: the forward's output once more, bit for bit; or null.
  void* y = nullptr;            // [rows, width]
  const void* bias = nullptr;   // [width] as in the forward, for y
  void* d_weight = nullptr;     // [width] f32 / f64, added to; or null
  void* d_bias = nullptr;       // [width] f32 / f64, added to; or null
  void* workspace = nullptr;    // of norm_backward_workspace() bytes
  bool bf16_gradients = false;  // d_weight and d_bias are bf16
};
// Bit-equal from run to run: weight gradients are summed in two stages of fixed order, with y on a
// GPU in another than without.
void norm_backward(const NormBackward& a, const device::Stream& stream);
size_t norm_backward_workspace(DType dtype, int64_t rows, int64_t width,
                               const device::Device& device);

namespace cpu {
void norm_forward(const NormForward& a);
void norm_backward(const NormBackward& a);
size_t norm_backward_workspace(DType dtype, int64_t rows, int64_t width);
}  // namespace cpu
namespace cuda {
void norm_forward(const NormForward& a, const device::Stream& stream);
void norm_backward(const NormBackward& a, const device::Stream& stream);
size_t norm_backward_workspace(DType dtype, int64_t rows, int64_t width,
                               const device::Device& device);
}  // namespace cuda

}  // namespace ocoee::kernels
