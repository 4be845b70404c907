// SPDX-License-Identifier: Apache-2.0
#include "kernels/cast.h"
#include "kernels/cuda_support.cuh"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256;

template <class From, class To, int N>
__global__ void cast_kernel(const From* x, To* y, int64_t count) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i + N <= count) {
    const Pack<From, N> in = load<N>(x + i);
    Pack<To, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) out.v[k] = narrow<To>(widen(in.v[k]));
    store<N>(y + i, out);
  } else {
    for (int64_t k = i; k < count; ++k) y[k] = narrow<To>(widen(x[k]));
  }
}

template <class T, class W, int N>
__global__ void accumulate_kernel(const T* x, W factor, W* sum, int64_t count) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i + N <= count) {
    const Pack<T, N> in = load<N>(x + i);
    Pack<W, N> out = load<N>(sum + i);
#pragma unroll
    for (int k = 0; k < N; ++k) out.v[k] += factor * static_cast<W>(widen(in.v[k]));
    store<N>(sum + i, out);
  } else {
    for (int64_t k = i; k < count; ++k) sum[k] += factor * static_cast<W>(widen(x[k]));
  }
}

}  // namespace

void cast(const device::Buffer& from, const device::Buffer& to, const device::Stream& stream) {
  if (from.count == 0) return;
  with_float_type(from.dtype, "cast", [&](auto from_tag) {
    with_float_type(to.dtype, "cast", [&](auto to_tag) {
      using From = typename decltype(from_tag)::type;
      using To = typename decltype(to_tag)::type;
      const From* x = static_cast<const From*>(from.data);
      To* y = static_cast<To*>(to.data);
      constexpr int N = 8;
      if (aligned16(from.data, to.data)) {
        cast_kernel<From, To, N>
            <<<blocks_for(from.count, kThreads * N), kThreads, 0, handle_of(stream)>>>(x, y,
                                                                                       from.count);
      } else {
        cast_kernel<From, To, 1>
            <<<blocks_for(from.count, kThreads), kThreads, 0, handle_of(stream)>>>(x, y,
                                                                                   from.count);
      }
      check_launch("cast");
    });
  });
}

void accumulate(const device::Buffer& x, double factor, const device::Buffer& sum,
                const device::Stream& stream) {
  if (x.count == 0) return;
  with_float_type(x.dtype, "accumulate", [&](auto x_tag) {
    with_master_type(sum.dtype, "accumulate", [&](auto sum_tag) {
      using T = typename decltype(x_tag)::type;
      using W = typename decltype(sum_tag)::type;
      if constexpr (sizeof(T) <= sizeof(W)) {
        const T* in = static_cast<const T*>(x.data);
        W* out = static_cast<W*>(sum.data);
        constexpr int N = 8;
        const W f = static_cast<W>(factor);
        if (aligned16(x.data, sum.data)) {
          accumulate_kernel<T, W, N>
              <<<blocks_for(x.count, kThreads * N), kThreads, 0, handle_of(stream)>>>(in, f, out,
                                                                                      x.count);
        } else {
          accumulate_kernel<T, W, 1>
              <<<blocks_for(x.count, kThreads), kThreads, 0, handle_of(stream)>>>(in, f, out,
                                                                                  x.count);
        }
        check_launch("accumulate");
      } else {
        unsupported_dtype(x.dtype, "accumulate into f32");
      }
    });
  });
}

}  // namespace ocoee::kernels::cuda
