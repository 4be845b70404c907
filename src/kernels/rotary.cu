// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda_support.cuh"
#include "kernels/rotary.h"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// One thread a pack of pairs of one head.
template <class T, int N>
__global__ void rotary_kernel(Rotary a) {
  using W = Wide<T>;
  const int64_t half = a.head_dim / 2, packs = half / N, each = a.heads * packs;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.tokens * each) return;
  const int64_t token = quotient_of(index, each), rest = index - token * each;
  const int64_t head = quotient_of(rest, packs), i = (rest - head * packs) * N;
  const int64_t row = remainder_of(token, a.length) * half + i;
  T* low = static_cast<T*>(a.x) + token * a.token_stride + head * a.head_dim + i;
  const Pack<T, N> x = load<N>(low), y = load<N>(low + half);
  const Pack<W, N> cos = load<N>(static_cast<const W*>(a.cos) + row),
                   sin = load<N>(static_cast<const W*>(a.sin) + row);
  W turned[N], other[N];
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const W p = widen(x.v[k]), q = widen(y.v[k]), c = cos.v[k], s = a.back ? -sin.v[k] : sin.v[k];
    turned[k] = p * c - q * s;
    other[k] = q * c + p * s;
  }
  store<N>(low, narrow_all<T>(turned));
  store<N>(low + half, narrow_all<T>(other));
}

}  // namespace

void rotary(const Rotary& a, const device::Stream& stream) {
  const int64_t pairs = a.tokens * a.heads * (a.head_dim / 2);
  if (pairs == 0) return;
  with_float_type(a.dtype, "rotary", [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = kPack<T>;
    if (a.head_dim / 2 % N == 0 && a.token_stride % N == 0 && aligned16(a.x, a.cos, a.sin)) {
      rotary_kernel<T, N><<<blocks_for(pairs / N, kThreads), kThreads, 0, handle_of(stream)>>>(a);
    } else {
      rotary_kernel<T, 1><<<blocks_for(pairs, kThreads), kThreads, 0, handle_of(stream)>>>(a);
    }
    check_launch("rotary");
  });
}

}  // namespace ocoee::kernels::cuda
