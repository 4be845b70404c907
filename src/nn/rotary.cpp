// SPDX-License-Identifier: Apache-2.0
#include "nn/rotary.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "kernels/rotary.h"
#include "nn/tensors.h"

namespace ocoee::nn {

Rotation rotation_of(const at::Tensor& positions, int64_t head_dim, double base,
                     const at::TensorOptions& options) {
  const auto wide = positions.options().dtype(at::kDouble);
  const auto type = options.dtype() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor powers = at::arange(0, head_dim, 2, wide) / static_cast<double>(head_dim);
  const at::Tensor angles = at::outer(positions.to(at::kDouble), at::pow(base, -powers));
  return {angles.cos().to(type).contiguous(), angles.sin().to(type).contiguous()};
}

void rotate(const at::Tensor& heads, const Rotation& rotation, bool back) {
  OCOEE_CHECK(heads.stride(0) == heads.size(1) * heads.stride(1) &&
                  heads.stride(2) == heads.size(3) && heads.stride(3) == 1,
              "heads to be turned must begin the rows of a contiguous tensor");
  kernels::Rotary a;
  a.dtype = dtype_of(heads.scalar_type());
  a.tokens = heads.size(0) * heads.size(1);
  a.heads = heads.size(2);
  a.head_dim = heads.size(3);
  a.token_stride = heads.stride(1);
  a.length = rotation.cos.size(0);
  a.cos = rotation.cos.data_ptr();
  a.sin = rotation.sin.data_ptr();
  a.back = back;
  a.x = heads.data_ptr();
  kernels::rotary(a, current_stream(place_of(heads)));
}

}  // namespace ocoee::nn
