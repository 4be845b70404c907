// SPDX-License-Identifier: Apache-2.0
// LibTorch gives float32 products on CPUs to MKL, which leaves AVX-512 alone on AMD's processors.
// oneDNN, which LibTorch also holds, uses it and takes half the time there (bench/cpu_step.py).
#include "nn/matrix_product.h"

#include <ATen/Functions.h>

namespace at::native {

// c = beta c + alpha a b by oneDNN. LibTorch exports it, but installs no header that says so.
TORCH_API void mkldnn_matmul(const Tensor& a, const Tensor& b, const Tensor& c, float beta,
                             float alpha);

}  // namespace at::native

namespace ocoee::nn {
namespace {

bool amd_with_avx512() {
#if defined(__x86_64__)
  static const bool is = __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f");
  return is;
#else
  return false;
#endif
}

}  // namespace

// By kind and size alone, so that every run and rank on processors of one kind decides alike.
bool takes_onednn(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c) {
  constexpr int64_t kWorthACall = int64_t{1} << 22;  // multiplications: a call costs some 10 us
  return c.device().is_cpu() && c.scalar_type() == at::kFloat && c.is_contiguous() &&
         a.size(0) * a.size(1) * b.size(1) >= kWorthACall && amd_with_avx512();
}

void matrix_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, bool adds) {
  at::Tensor out = c;
  if (takes_onednn(a, b, c))
    at::native::mkldnn_matmul(a, b, c, adds ? 1 : 0, 1);
  else if (adds)
    out.addmm_(a, b);
  else
    at::mm_out(out, a, b);
}

void matrix_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias,
                    const at::Tensor& c) {
  at::Tensor out = c;
  if (takes_onednn(a, b, c)) {
    out.copy_(bias.expand_as(c));
    at::native::mkldnn_matmul(a, b, c, 1, 1);
  } else {
    at::addmm_out(out, bias, a, b);
  }
}

}  // namespace ocoee::nn
