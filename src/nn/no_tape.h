// SPDX-License-Identifier: Apache-2.0
// For layers that write their own backward pass.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>

namespace ocoee::nn {

// While one lives, tensor operations record nothing and are dispatched past autograd, which costs a
// small operation as much as its arithmetic. No layer of autograd's may run inside.
struct NoTape {
  at::NoGradGuard no_grad;
  at::AutoDispatchBelowADInplaceOrView straight;
};

}  // namespace ocoee::nn
