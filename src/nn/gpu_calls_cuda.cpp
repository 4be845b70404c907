// SPDX-License-Identifier: Apache-2.0
#include "nn/gpu_calls.h"
#include "nn/products.h"
#include "nn/tensors.h"

namespace ocoee::nn {

bool gpu_matmul(kernels::Matmul call, const at::Tensor& like) {
  const at::Tensor space = workspace(kernels::kMatmulWorkspace, like);
  call.workspace = space.data_ptr();
  call.workspace_bytes = kernels::kMatmulWorkspace;
  call.left = multiprocessors_left();
  // Timing the algorithms pays where a product takes long; shapes that come once are small.
  const double flops =
      2.0 * static_cast<double>(call.m) * static_cast<double>(call.n) * static_cast<double>(call.k);
  call.measure = flops > 3e10 && !at::globalContext().deterministicAlgorithms();
  return kernels::cuda::matmul(call, current_stream(place_of(like)));
}

bool has_float8_products(const device::Device& device) {
  return kernels::cuda::has_float8_products(device);
}

bool gpu_attention(kernels::Attention call, bool backward, const at::Tensor& like) {
  const device::Stream stream = current_stream(place_of(like));
  call.deterministic = at::globalContext().deterministicAlgorithms();
  call.measure = !call.deterministic;
  const int64_t bytes = kernels::cuda::attention_workspace(call, backward, stream);
  if (bytes < 0) return false;
  const at::Tensor space = workspace(static_cast<size_t>(bytes), like);
  call.workspace = space.data_ptr();
  if (backward) {
    kernels::cuda::attention_backward(call, stream);
  } else {
    kernels::cuda::attention_forward(call, stream);
  }
  return true;
}

}  // namespace ocoee::nn
