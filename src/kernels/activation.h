// SPDX-License-Identifier: Apache-2.0
// Activations of feed-forward layers, with the bias of the product before them fused in. dtype f32,
// bf16, f16 or f64; arithmetic in f32 (f64 for f64).
//
// GELU, the tanh form of GPT-2 (Hendrycks, Gimpel 2016), as z * sigmoid(2u), u = sqrt(2/pi) (z +
// 0.044715 z^3), which equals z (1 + tanh u) / 2 and loses nothing for negative z. SwiGLU (Shazeer
// 2020): y = silu(gate) * up, silu(z) = z * sigmoid(z).
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

struct Gelu {
  DType dtype = DType::f32;
  int64_t rows = 0, width = 0;
  const void* x = nullptr;     // [rows, width]
  const void* bias = nullptr;  // [width], or null: z = x + bias
  const void* dy = nullptr;    // backward: [rows, width]
  void* out = nullptr;         // [rows, width]: y, or in the backward dx; may be x or dy itself
  // Backward: y is made once more and written here, or null; may be dy itself, with `out` at x.
  void* y = nullptr;  // [rows, width]
  // Backward: the column sums of dx are added here, in the same pass; f32 (f64 for f64), or null.
  void* d_bias = nullptr;     // [width]
  void* workspace = nullptr;  // of column_sum_workspace() bytes (reduce.h), with d_bias
};
void gelu_forward(const Gelu& a, const device::Stream& stream);
void gelu_backward(const Gelu& a, const device::Stream& stream);

struct Swiglu {
  DType dtype = DType::f32;
  int64_t rows = 0, inner = 0;
  const void* x = nullptr;   // [rows, 2, inner]: gate, then up
  const void* dy = nullptr;  // backward: [rows, inner]
  void* out =
      nullptr;        // y [rows, inner]; in the backward dx [rows, 2, inner], which may be x itself
  void* y = nullptr;  // backward: y once more, [rows, inner], or null; may be dy itself
};
void swiglu_forward(const Swiglu& a, const device::Stream& stream);
void swiglu_backward(const Swiglu& a, const device::Stream& stream);

namespace cpu {
void gelu_forward(const Gelu& a);
void gelu_backward(const Gelu& a);
void swiglu_forward(const Swiglu& a);
void swiglu_backward(const Swiglu& a);
}  // namespace cpu
namespace cuda {
void gelu_forward(const Gelu& a, const device::Stream& stream);
void gelu_backward(const Gelu& a, const device::Stream& stream);
void swiglu_forward(const Swiglu& a, const device::Stream& stream);
void swiglu_backward(const Swiglu& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
