// SPDX-License-Identifier: Apache-2.0
// GPU backends; nccl_nocuda.cpp stands in where this program was built without CUDA.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace ocoee::comm {

// NCCL over the ranks of `control`, which carries its unique id and any host buffers. Collective.
std::shared_ptr<Communicator> make_nccl_communicator(const std::string& name, std::shared_ptr<Communicator> control, device::Device device);

}  // namespace ocoee::comm
