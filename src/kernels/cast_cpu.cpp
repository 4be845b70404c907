// SPDX-License-Identifier: Apache-2.0
#include "kernels/cast.h"

#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::cpu {

constexpr int64_t kGrain = 32768;

void cast(const device::Buffer& from, const device::Buffer& to) {
  with_float_type(from.dtype, "cast", [&](auto from_tag) {
    with_float_type(to.dtype, "cast", [&](auto to_tag) {
      using From = typename decltype(from_tag)::type;
      using To = typename decltype(to_tag)::type;
      const From* x = static_cast<const From*>(from.data);
      To* y = static_cast<To*>(to.data);
      parallel_for(from.count, kGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) y[i] = narrow<To>(widen(x[i]));
      });
    });
  });
}

void accumulate(const device::Buffer& x, double factor, const device::Buffer& sum) {
  with_float_type(x.dtype, "accumulate", [&](auto x_tag) {
    with_master_type(sum.dtype, "accumulate", [&](auto sum_tag) {
      using T = typename decltype(x_tag)::type;
      using W = typename decltype(sum_tag)::type;
      if constexpr (sizeof(T) <= sizeof(W)) {
        const T* in = static_cast<const T*>(x.data);
        W* out = static_cast<W*>(sum.data);
        const W f = static_cast<W>(factor);
        parallel_for(x.count, kGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
          for (int64_t i = begin; i < end; ++i) out[i] += f * static_cast<W>(widen(in[i]));
        });
      } else {
        unsupported_dtype(x.dtype, "accumulate into f32");
      }
    });
  });
}

}  // namespace ocoee::kernels::cpu
