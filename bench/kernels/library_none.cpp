// SPDX-License-Identifier: Apache-2.0
#include "kernels/library.h"

namespace ocoee::bench {

void set_library_threads(int) {}
Work library_norm_forward(DType, int64_t, int64_t, bool, device::Device) {
  return {};
}
Work library_norm_backward(DType, int64_t, int64_t, bool, device::Device) {
  return {};
}
Work library_gelu_forward(DType, int64_t, int64_t, device::Device) {
  return {};
}
Work library_gelu_backward(DType, int64_t, int64_t, device::Device) {
  return {};
}
Work library_swiglu_forward(DType, int64_t, int64_t, device::Device) {
  return {};
}
Work library_cross_entropy(DType, int64_t, int64_t, device::Device) {
  return {};
}
Work library_dropout(DType, int64_t, int64_t, device::Device) {
  return {};
}
Work library_embedding_forward(DType, int64_t, int64_t, int64_t, device::Device) {
  return {};
}
Work library_embedding_backward(DType, int64_t, int64_t, int64_t, device::Device) {
  return {};
}
Work library_rotary(DType, int64_t, int64_t, int64_t, device::Device) {
  return {};
}
Work library_to_float8(DType, int64_t, int64_t, device::Device) {
  return {};
}
Work library_adamw(int64_t, device::Device) {
  return {};
}
Work library_sum_of_squares(int64_t, device::Device) {
  return {};
}
Work library_column_sum(DType, int64_t, int64_t, device::Device) {
  return {};
}
Work library_accumulate(int64_t, device::Device) {
  return {};
}
Work library_products(device::Device) {
  return {};
}

}  // namespace ocoee::bench
