// SPDX-License-Identifier: Apache-2.0
// Stands in for nccl_communicator.cpp where the program was built without CUDA or without NCCL.
#include "comm/backend.h"
#include "core/error.h"

namespace ocoee::comm {

bool nccl_available() {
  return false;
}

// NOLINTBEGIN(performance-unnecessary-value-param): the signature of the real one
std::shared_ptr<Communicator> make_nccl_communicator(const std::string& name,
                                                     std::shared_ptr<Communicator>,
                                                     device::Device device, const NcclOptions&,
                                                     std::shared_ptr<Communicator>) {
  // NOLINTEND(performance-unnecessary-value-param)
  fail(ErrorKind::device,
       "axis '{}' needs NCCL for {}, but this program was built without it\n    fix: ./dev cuda",
       name, device::name_of(device));
}

}  // namespace ocoee::comm
