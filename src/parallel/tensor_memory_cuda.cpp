// SPDX-License-Identifier: Apache-2.0
#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include "parallel/tensor_memory.h"

namespace ocoee::parallel {

TensorMemory cuda_tensor_memory(const device::Device& device) {
  at::globalContext().lazyInitDevice(at::kCUDA);  // it may come before the first tensor
  const auto stats =
      c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device.index));
  return {stats.allocated_bytes[0].current, stats.allocated_bytes[0].peak};
}

void reset_cuda_tensor_peak(const device::Device& device) {
  at::globalContext().lazyInitDevice(at::kCUDA);
  c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(device.index));
}

}  // namespace ocoee::parallel
