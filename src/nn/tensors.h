// SPDX-License-Identifier: Apache-2.0
// Between ATen tensors and the plain pointers of kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include "device/device.h"

namespace ocoee::nn {

DType dtype_of(c10::ScalarType type);
c10::ScalarType scalar_type_of(DType dtype);
device::Device place_of(const at::Tensor& tensor);
c10::Device torch_device(const device::Device& device);
device::Buffer buffer_of(const at::Tensor& contiguous);  // a view; the tensor must outlive its use
device::Stream current_stream(const device::Device& device);
at::Tensor workspace(size_t bytes,
                     const at::Tensor& like);  // uninitialised bytes on the same device

}  // namespace ocoee::nn
