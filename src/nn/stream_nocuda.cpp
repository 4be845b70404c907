// SPDX-License-Identifier: Apache-2.0
#include "nn/tensors.h"

namespace ocoee::nn {

device::Stream current_stream(const device::Device& device) {
  return {nullptr, device};
}

}  // namespace ocoee::nn
