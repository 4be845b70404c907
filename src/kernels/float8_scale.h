// SPDX-License-Identifier: Apache-2.0
// One tensor of float8_scales, as both of its versions compute it.
#pragma once

#include <cmath>

#include "core/random.h"  // OCOEE_HOST_DEVICE
#include "kernels/float8.h"

namespace ocoee::kernels {

OCOEE_HOST_DEVICE static inline void float8_scale_at(const Float8Scales& a, int64_t i) {
  const float seen = a.seen[i], kept = a.keep * a.largest[i];
  if (seen > 0 && seen <= 3.0e38F) a.largest[i] = seen > kept ? seen : kept;
  a.seen[i] = 0;
  if (!(a.largest[i] > 0)) return;
  const float room = (a.formats[i] == Float8::e4m3 ? 448.0F : 57344.0F) / a.largest[i];
  int exponent = 0;
  frexpf(room, &exponent);  // room = f 2^exponent with f in [1/2, 1)
  exponent -= 2;
  exponent = exponent < -60 ? -60 : exponent > 60 ? 60 : exponent;
  a.scale[i] = ldexpf(1.0F, exponent);
  a.inverse[kInverseStride * i] = ldexpf(1.0F, -exponent);
}

}  // namespace ocoee::kernels
