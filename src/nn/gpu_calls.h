// SPDX-License-Identifier: Apache-2.0
// The GPU library calls beneath products.h and fused_attention.h. Each says whether it did the
// work; on a CPU, in a build without CUDA, in float32 and float64, and for shapes that the
// libraries have no kernel for, it did nothing, and ATen does it.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/attention.h"
#include "kernels/matmul.h"

namespace ocoee::nn {

// `call` is complete but for its workspace; `like` is any of its tensors.
bool gpu_matmul(kernels::Matmul call, const at::Tensor& like);
bool has_float8_products(const device::Device& device);  // this GPU, in cuBLASLt
bool gpu_attention(kernels::Attention call, bool backward, const at::Tensor& like);

}  // namespace ocoee::nn
