// SPDX-License-Identifier: Apache-2.0
// The library's way to do what a kernel does, on tensors of its own; empty without LibTorch.
#pragma once

#include <functional>

#include "device/device.h"

namespace ocoee::bench {

using Work = std::function<void()>;

void set_library_threads(int threads);
Work library_norm_forward(DType dtype, int64_t rows, int64_t width, bool rms,
                          device::Device device);
Work library_norm_backward(DType dtype, int64_t rows, int64_t width, bool rms,
                           device::Device device);  // and adds dresidual
Work library_gelu_forward(DType dtype, int64_t rows, int64_t width, device::Device device);
Work library_gelu_backward(DType dtype, int64_t rows, int64_t width, device::Device device);
Work library_swiglu_forward(DType dtype, int64_t rows, int64_t inner, device::Device device);
Work library_cross_entropy(DType dtype, int64_t rows, int64_t columns,
                           device::Device device);  // forward and backward
Work library_dropout(DType dtype, int64_t rows, int64_t width, device::Device device);
Work library_embedding_forward(DType dtype, int64_t rows, int64_t width, int64_t vocabulary,
                               device::Device device);
Work library_embedding_backward(DType dtype, int64_t rows, int64_t width, int64_t vocabulary,
                                device::Device device);
Work library_rotary(DType dtype, int64_t rows, int64_t width, int64_t head_dim,
                    device::Device device);  // not in place
Work library_to_float8(DType dtype, int64_t rows, int64_t width,
                       device::Device device);             // e4m3, with the largest magnitude
Work library_adamw(int64_t count, device::Device device);  // fused, without a low-precision copy
Work library_sum_of_squares(int64_t count, device::Device device);
Work library_column_sum(DType dtype, int64_t rows, int64_t width, device::Device device);
Work library_accumulate(int64_t count, device::Device device);  // f32 += bf16
Work library_products(device::Device device);  // three of 4096 x 16384 x 4096 in bf16

}  // namespace ocoee::bench
