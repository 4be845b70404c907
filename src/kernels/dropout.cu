// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda_support.cuh"
#include "kernels/dropout.h"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// N = 4: a thread's elements are the four words of one Philox block. N = 1: any position.
template <class T, int N>
__global__ void dropout_kernel(Dropout a, DropoutRule rule) {
  using W = Wide<T>;
  const int64_t packs = a.width / N;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.rows * packs) return;
  const int64_t row = quotient_of(index, packs);
  const int64_t column = (index - row * packs) * N, i = row * a.width + column;
  const PhiloxKey key = random_key(a.seed, Purpose::dropout, static_cast<uint64_t>(*a.state));
  const int64_t id = dropout_first_id(a, row) + column;
  const PhiloxCounter bits = random_bits(key, static_cast<uint64_t>(id / 4), 0);
  const W scale = static_cast<W>(rule.scale);
  const Pack<T, N> x = load<N>(static_cast<const T*>(a.x) + i);
  Pack<T, N> residual{};
  if (a.residual) residual = load<N>(static_cast<const T*>(a.residual) + i);
  W y[N];
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const uint32_t word = N == 4 ? bits.v[k] : bits.v[id % 4];
    const W kept = word < rule.threshold ? W(0) : widen(x.v[k]) * scale;
    y[k] = a.residual ? widen(residual.v[k]) + kept : kept;
  }
  store<N>(static_cast<T*>(a.y) + i, narrow_all<T>(y));
}

}  // namespace

void dropout(const Dropout& a, const device::Stream& stream) {
  if (a.rows * a.width == 0) return;
  with_float_type(a.dtype, "dropout", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const DropoutRule rule = dropout_rule(a.probability);
    const int64_t whole = a.whole_width ? a.whole_width : a.width;
    if ((a.width | a.first_column | whole) % 4 == 0 && aligned16(a.x, a.residual, a.y)) {
      dropout_kernel<T, 4>
          <<<blocks_for(a.rows * (a.width / 4), kThreads), kThreads, 0, handle_of(stream)>>>(a,
                                                                                             rule);
    } else {
      dropout_kernel<T, 1>
          <<<blocks_for(a.rows * a.width, kThreads), kThreads, 0, handle_of(stream)>>>(a, rule);
    }
    check_launch("dropout");
  });
}

}  // namespace ocoee::kernels::cuda
