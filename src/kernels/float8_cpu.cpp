// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/float8_scale.h"
#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels {

uint8_t float8_from(float x, Float8 format) {
  const int digits = format == Float8::e4m3 ? 3 : 2, bias = format == Float8::e4m3 ? 7 : 15;
  const auto sign = static_cast<uint8_t>(std::signbit(x) ? 0x80 : 0);
  if (std::isnan(x)) return sign | 0x7f;
  const float size = std::min(std::fabs(x), largest_of(format));
  // Numbers between two powers of two lie `step` apart; below the smallest normal one they go on
  // at its distance.
  int exponent = 1 - bias;
  if (size >= std::ldexp(1.0F, exponent)) exponent = std::ilogb(size);
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(size, digits - exponent)));
  // A carry out of the digits goes into the exponent by itself.
  return static_cast<uint8_t>(sign | (steps + ((exponent + bias - 1) << digits)));
}

namespace cpu {

void to_float8(const ToFloat8& a) {
  with_float_type(a.dtype, "to_float8", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = static_cast<const T*>(a.x);
    const float scale = a.out ? *a.scale : 1;
    if (a.out) {
      parallel_for(a.rows, 64, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          for (int64_t c = 0; c < a.width; ++c)
            a.out[a.transposed ? c * a.rows + r : r * a.width + c] =
                float8_from(static_cast<float>(widen(x[r * a.width + c])) * scale, a.format);
        }
      });
    }
    if (!a.seen) return;
    for (int64_t i = 0; i < a.rows * a.width; ++i) {
      const float size = std::fabs(static_cast<float>(widen(x[i])));
      if (size > *a.seen) *a.seen = size;
    }
  });
}

void float8_scales(const Float8Scales& a) {
  for (int64_t i = 0; i < a.count; ++i) float8_scale_at(a, i);
}

}  // namespace cpu
}  // namespace ocoee::kernels
