// SPDX-License-Identifier: Apache-2.0
#include "nn/rotary.h"

#include <ATen/ATen.h>

namespace ocoee::nn {

Rotation rotation_of(const at::Tensor& positions, int64_t head_dim, double base,
                     const at::TensorOptions& options) {
  const auto wide = positions.options().dtype(at::kDouble);
  const at::Tensor powers = at::arange(0, head_dim, 2, wide) / static_cast<double>(head_dim);
  const at::Tensor angles = at::outer(positions.to(at::kDouble), at::pow(base, -powers));
  return {angles.cos().to(options), angles.sin().to(options)};
}

void rotate(const at::Tensor& heads, const Rotation& rotation, bool back) {
  const int64_t half = heads.size(3) / 2;
  const at::Tensor a = heads.narrow(3, 0, half), b = heads.narrow(3, half, half);
  const at::Tensor cos = rotation.cos.unsqueeze(1), sin = rotation.sin.unsqueeze(1);
  const double sign = back ? -1 : 1;
  const at::Tensor turned = (a * cos).addcmul_(b, sin, -sign);
  b.mul_(cos).addcmul_(a, sin, sign);
  a.copy_(turned);
}

}  // namespace ocoee::nn
