// SPDX-License-Identifier: Apache-2.0
// Matrix products on a GPU by cuBLASLt, with what stands beside a product in a layer done in its
// epilogue, before the result is rounded and written.
//
//   d [m, n] = epilogue(alpha * a [m, k] b [k, n] + c [m, n])
//
// Row-major, dense. The first product of a kind asks the library which of its algorithms fit, and
// either takes its first answer (the same in every run) or times them on the spot, and remembers.
// While a CUDA graph is captured nothing is timed.
#pragma once

#include "device/device.h"
#include "kernels/float8.h"

namespace ocoee::kernels {

enum class Epilogue : uint8_t {
  none,
  bias,           // + bias[column]
  gelu,           // gelu(z + bias), tanh form; z + bias goes to `aux`
  gelu_gradient,  // * gelu'(aux)
};

struct Matmul {
  DType dtype = DType::bf16;  // of a, b, bias and aux: bf16 or f16
  // a and b lie in float8 instead, a as [m, k] and b as [n, k]: the only order in which Hopper
  // multiplies them. m, n and k are multiples of 16.
  bool float8 = false;
  Float8 a_format = Float8::e4m3, b_format = Float8::e4m3;  // at most one of them e5m2
  const float* a_inverse = nullptr;  // of their scales, on the device, on 16-byte boundaries
  const float* b_inverse = nullptr;
  // float8: partial sums in float32 all along, somewhat slower; else: where the library splits k,
  // the parts meet in float32.
  bool exact_sums = false;
  DType d_dtype = DType::bf16;  // of c and d: as dtype, or f32
  int64_t m = 0, n = 0, k = 0;
  bool a_transposed = false;  // stored as [k, m]
  bool b_transposed = false;  // stored as [n, k]
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;  // null: nothing is added; may be d
  void* d = nullptr;
  const float* alpha = nullptr;  // on the device; null: 1
  Epilogue epilogue = Epilogue::none;
  void* bias = nullptr;  // [n]
  void* aux = nullptr;   // [m, n]
  void* workspace = nullptr;
  size_t workspace_bytes = 0;  // kMatmulWorkspace is what the fastest algorithms ask for
  int left = 0;                // multiprocessors that it leaves to other work
  bool measure = false;        // time the algorithms, once for each kind of product
};
constexpr size_t kMatmulWorkspace = size_t{32} << 20;

namespace cuda {
// False, and nothing done, where the library has no such product (sizes and addresses should be
// multiples of 8 elements). Throws Error(device) if a call fails.
bool matmul(const Matmul& a, const device::Stream& stream);
bool has_float8_products(const device::Device& device);  // compute capability 8.9 and above
}  // namespace cuda

}  // namespace ocoee::kernels
