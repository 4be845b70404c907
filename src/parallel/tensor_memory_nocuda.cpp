// SPDX-License-Identifier: Apache-2.0
#include "parallel/tensor_memory.h"

namespace ocoee::parallel {

TensorMemory cuda_tensor_memory(const device::Device&) {
  return {};
}
void reset_cuda_tensor_peak(const device::Device&) {}

}  // namespace ocoee::parallel
