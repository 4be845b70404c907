// SPDX-License-Identifier: Apache-2.0
// What is computed in which type: weights and activations in `compute`; masters, gradients and optimizer states in
// float32, or float64 when computing in it.
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

#include "core/dtype.h"
#include "device/device.h"

namespace at { class Tensor; }

namespace ocoee::parallel {

struct Precision {
  c10::ScalarType compute = c10::kFloat;
  c10::ScalarType master() const { return compute == c10::kDouble ? c10::kDouble : c10::kFloat; }
  bool has_master_copy() const { return compute != master(); }
};
Precision precision_from_name(const std::string& name);  // "float32" | "float64" | "bfloat16" | "float16"

DType dtype_of(c10::ScalarType type);
c10::ScalarType scalar_type_of(DType dtype);
c10::Device torch_device(const device::Device& device);
device::Buffer buffer_of(const at::Tensor& contiguous);    // a view; the tensor must outlive its use
device::Stream current_stream(const device::Device& device);

}  // namespace ocoee::parallel
