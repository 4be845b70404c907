// SPDX-License-Identifier: Apache-2.0
// What CUDA kernels share: launches, 16-byte packs, sums over warps and blocks in a fixed order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "device/device.h"
#include "kernels/number.h"

namespace ocoee::kernels::cuda {

// Throws Error(device) if the kernel that was just launched could not be; names it.
void check_launch(const char* kernel);
int multiprocessor_count(const device::Device& device);

inline cudaStream_t handle_of(const device::Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle);
}
inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
inline unsigned blocks_for(int64_t work, int64_t per_block) {
  return static_cast<unsigned>(ceil_div(work, per_block));
}

// N elements that are read and written at once.
template <class T, int N>
struct alignas(sizeof(T) * N <= 16 ? sizeof(T) * N : 16) Pack {
  T v[N];
};
template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <class... Pointers>
bool aligned16(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

template <int N, class T>
__device__ inline Pack<T, N> load(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T>
__device__ inline void store(T* p, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

struct DeviceExponential {
  __device__ float operator()(float x) const { return __expf(x); }
  __device__ double operator()(double x) const { return exp(x); }
};

template <class W>
struct SumOf {
  __device__ W operator()(W a, W b) const { return a + b; }
};

// Every lane gets the result; the order is fixed (butterfly).
template <class V, class Combine>
__device__ inline V warp_combine(V value, const Combine& combine) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    if constexpr (std::is_arithmetic_v<V>) {
      value = combine(value, __shfl_xor_sync(0xffffffffu, value, offset));
    } else {
      value = combine(value, value.shuffle_xor(offset));
    }
  }
  return value;
}

template <class W>
struct Pair {  // two sums at once
  W a, b;
  __device__ Pair shuffle_xor(int offset) const {
    return {__shfl_xor_sync(0xffffffffu, a, offset), __shfl_xor_sync(0xffffffffu, b, offset)};
  }
};
template <class W>
struct PairSum {
  __device__ Pair<W> operator()(Pair<W> x, Pair<W> y) const { return {x.a + y.a, x.b + y.b}; }
};

// Over the threads of one row: a warp (blockDim.x == 32), or all blockDim.x threads of the block
// (blockDim.y == 1). `scratch` holds 2 * 32 values; `turn` flips from call to call, so that one
// barrier a call is enough.
template <class V, class Combine>
__device__ inline V row_combine(V value, const Combine& combine, V* scratch, int& turn) {
  value = warp_combine(value, combine);
  if (blockDim.x == 32) return value;
  V* slots = scratch + 32 * turn;
  turn ^= 1;
  const int warps = static_cast<int>(blockDim.x / 32);
  if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
  __syncthreads();
  V total = slots[0];
  for (int w = 1; w < warps; ++w) total = combine(total, slots[w]);
  return total;
}

}  // namespace ocoee::kernels::cuda
