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

namespace ocoee::kernels {

enum class Epilogue : uint8_t {
  none,
  bias,           // + bias[column]
  gelu,           // gelu(z + bias), tanh form; z + bias goes to `aux`
  gelu_gradient,  // * gelu'(aux)
};

struct Matmul {
  DType dtype = DType::bf16;    // of a, b, bias and aux: bf16 or f16
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
  bool measure = false;        // time the algorithms, once for each kind of product
};
constexpr size_t kMatmulWorkspace = size_t{32} << 20;

namespace cuda {
// False, and nothing done, where the library has no such product (sizes and addresses should be
// multiples of 8 elements). Throws Error(device) if a call fails.
bool matmul(const Matmul& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
