// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cuda/atomic>

#include "comm/peer_kernels.h"

namespace ocoee::comm::cuda {
namespace {

using Flag = ::cuda::atomic_ref<uint32_t, ::cuda::thread_scope_system>;

__global__ void meet_kernel(Meeting m) {
  const int other = static_cast<int>(threadIdx.x);
  uint32_t turn = 0;
  if (other == 0) turn = ++*m.count;
  turn = __shfl_sync(~0U, turn, 0);
  if (other >= m.size || other == m.rank) return;
  Flag(m.flags[other][m.rank * kFlagStride]).store(turn, ::cuda::memory_order_release);
  Flag arrived(m.flags[m.rank][other * kFlagStride]);
  // By difference, for the count goes round. The host's word is far: a look at it now and then.
  for (int look = 1; static_cast<int32_t>(arrived.load(::cuda::memory_order_acquire) - turn) < 0;
       ++look) {
    if (look % 64 == 0 && *static_cast<const volatile uint32_t*>(m.stop) != 0) return;
    __nanosleep(50);
  }
}

template <class W, class T>
__device__ W wide(T x) {
  return static_cast<W>(x);
}
template <class T, class W>
__device__ T rounded(W x) {
  return static_cast<T>(x);
}

template <class T, class W, int N>
__global__ void sum_kernel(BlockSum s) {
  struct alignas(sizeof(T) * N) Pack {
    T v[N];
  };
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if ((i + 1) * N > s.elements) return;
  W sums[N];
#pragma unroll
  for (int r = 0; r < kMostRanks; ++r) {
    if (r >= s.count) break;
    const Pack in = static_cast<const Pack*>(s.blocks[r])[i];
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] = r == 0 ? wide<W>(in.v[k]) : sums[k] + wide<W>(in.v[k]);
  }
  Pack out;
#pragma unroll
  for (int k = 0; k < N; ++k) out.v[k] = rounded<T>(sums[k]);
  static_cast<Pack*>(s.out)[i] = out;
}

template <class T, class W>
void launch(const BlockSum& s, cudaStream_t stream) {
  constexpr int kThreads = 256, kPack = 16 / static_cast<int>(sizeof(T));
  auto together = reinterpret_cast<uintptr_t>(s.out);
  for (int r = 0; r < s.count; ++r) together |= reinterpret_cast<uintptr_t>(s.blocks[r]);
  const auto blocks = [](int64_t threads) {
    return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
  };
  if (together % 16 == 0 && s.elements % kPack == 0)
    sum_kernel<T, W, kPack><<<blocks(s.elements / kPack), kThreads, 0, stream>>>(s);
  else
    sum_kernel<T, W, 1><<<blocks(s.elements), kThreads, 0, stream>>>(s);
}

}  // namespace

void meet(const Meeting& meeting, cudaStream_t stream) {
  meet_kernel<<<1, 32, 0, stream>>>(meeting);
}

bool has_sum(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f16 || dtype == DType::f32 || dtype == DType::f64;
}

void sum_blocks(const BlockSum& sum, cudaStream_t stream) {
  if (sum.dtype == DType::bf16) launch<__nv_bfloat16, float>(sum, stream);
  if (sum.dtype == DType::f16) launch<__half, float>(sum, stream);
  if (sum.dtype == DType::f32) launch<float, float>(sum, stream);
  if (sum.dtype == DType::f64) launch<double, double>(sum, stream);
}

}  // namespace ocoee::comm::cuda
