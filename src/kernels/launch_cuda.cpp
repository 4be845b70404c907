// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <array>
#include <atomic>

#include "core/error.h"
#include "device/device.h"

namespace ocoee::kernels::cuda {

void check_launch(const char* kernel) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess)
    fail(ErrorKind::device, "GPU kernel {} could not be launched: {}", kernel,
         cudaGetErrorString(error));
}

int multiprocessor_count(const device::Device& device) {
  static std::array<std::atomic<int>, 64> known{};
  std::atomic<int>& count = known[static_cast<size_t>(device.index) % known.size()];
  if (count == 0) {
    int value = 0;
    cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, device.index);
    count = value > 0 ? value : 1;
  }
  return count;
}

}  // namespace ocoee::kernels::cuda
