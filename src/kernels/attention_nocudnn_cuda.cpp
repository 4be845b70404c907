// SPDX-License-Identifier: Apache-2.0
// Stands in where cuDNN or its front end is not there.
#include "core/error.h"
#include "kernels/attention.h"

namespace ocoee::kernels::cuda {

int64_t attention_workspace(const Attention&, bool, const device::Stream&) {
  return -1;
}
void attention_forward(const Attention&, const device::Stream&) {
  fail(ErrorKind::internal, "built without cuDNN");
}
void attention_backward(const Attention&, const device::Stream&) {
  fail(ErrorKind::internal, "built without cuDNN");
}

}  // namespace ocoee::kernels::cuda
