// SPDX-License-Identifier: Apache-2.0
#include "comm/backend.h"
#include "core/error.h"

namespace ocoee::comm {

std::shared_ptr<Communicator> make_nccl_communicator(const std::string& name, std::shared_ptr<Communicator>, device::Device device) {
  fail(ErrorKind::device, "axis '{}' needs NCCL for {}, but this program was built without CUDA\n    fix: ./dev cuda", name, device::name_of(device));
}

}  // namespace ocoee::comm
