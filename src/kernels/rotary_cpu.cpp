// SPDX-License-Identifier: Apache-2.0
#include "kernels/rotary.h"

#include <algorithm>

#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::cpu {

void rotary(const Rotary& a) {
  with_float_type(a.dtype, "rotary", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    const int64_t half = a.head_dim / 2;
    const W sign = a.back ? W(-1) : W(1);
    const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, a.heads * a.head_dim));
    parallel_for(a.tokens, grain, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        const W* cos = static_cast<const W*>(a.cos) + token % a.length * half;
        const W* sin = static_cast<const W*>(a.sin) + token % a.length * half;
        for (int64_t head = 0; head < a.heads; ++head) {
          T* low = static_cast<T*>(a.x) + token * a.token_stride + head * a.head_dim;
          T* high = low + half;
#pragma omp simd
          for (int64_t i = 0; i < half; ++i) {
            const W x = widen(low[i]), y = widen(high[i]), s = sign * sin[i];
            low[i] = narrow<T>(x * cos[i] - y * s);
            high[i] = narrow<T>(y * cos[i] + x * s);
          }
        }
      }
    });
  });
}

}  // namespace ocoee::kernels::cpu
