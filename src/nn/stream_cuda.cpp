// SPDX-License-Identifier: Apache-2.0
#include <c10/cuda/CUDAStream.h>

#include "nn/tensors.h"

namespace ocoee::nn {

device::Stream current_stream(const device::Device& device) {
  if (!device.is_cuda()) return {nullptr, device};
  return {c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device.index)).stream(),
          device};
}

}  // namespace ocoee::nn
