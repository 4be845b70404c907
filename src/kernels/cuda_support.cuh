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

// For a launch with this much shared memory. Never lowered: a graph that is being captured may hold
// the same kernel with more.
template <class Kernel>
void allow_shared_memory(Kernel* kernel, size_t bytes) {
  cudaFuncAttributes now{};
  cudaFuncGetAttributes(&now, kernel);
  if (static_cast<int>(bytes) > now.maxDynamicSharedSizeBytes)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(bytes));
}

inline cudaStream_t handle_of(const device::Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle);
}
inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
inline unsigned blocks_for(int64_t work, int64_t per_block) {
  return static_cast<unsigned>(ceil_div(work, per_block));
}

// 32-bit division where it suffices; the 64-bit one takes about a hundred instructions.
__device__ inline int64_t remainder_of(int64_t a, int64_t b) {
  return (static_cast<uint64_t>(a | b) >> 32) == 0
             ? static_cast<int64_t>(static_cast<uint32_t>(a) % static_cast<uint32_t>(b))
             : a % b;
}
__device__ inline int64_t quotient_of(int64_t a, int64_t b) {
  return (static_cast<uint64_t>(a | b) >> 32) == 0
             ? static_cast<int64_t>(static_cast<uint32_t>(a) / static_cast<uint32_t>(b))
             : a / b;
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
__device__ inline void store_word(uint4* p, const uint4& w) {
  asm volatile("st.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w)
               : "memory");
}
__device__ inline void store_word(uint2* p, const uint2& w) {
  asm volatile("st.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(w.x), "r"(w.y) : "memory");
}

// By instructions that are named, for the compiler takes an assignment apart where the pack was
// made element by element: each of its stores then touches every sector of a row. Memory may be
// global or shared.
template <int N, class T>
__device__ inline void store(T* p, const Pack<T, N>& pack) {
  using Word = std::conditional_t<sizeof pack % 16 == 0, uint4,
                                  std::conditional_t<sizeof pack == 8, uint2, Pack<T, N>>>;
  if constexpr (std::is_same_v<Word, Pack<T, N>>) {
    *reinterpret_cast<Word*>(p) = pack;
  } else {
    constexpr int kWords = static_cast<int>(sizeof pack / sizeof(Word));
    Word words[kWords];
    memcpy(words, &pack, sizeof pack);
#pragma unroll
    for (int i = 0; i < kWords; ++i) store_word(reinterpret_cast<Word*>(p) + i, words[i]);
  }
}

// N sums of a thread, which lie in a row.
template <class W, int N>
__device__ inline void store_sums(W* to, const W (&sums)[N]) {
  Pack<W, N> pack;
  memcpy(&pack, sums, sizeof pack);
  store<N>(to, pack);
}

// One instruction a number; element by element it is two for every other one.
template <class T, int N>
__device__ inline Pack<Wide<T>, N> widen_all(const Pack<T, N>& x) {
  Pack<Wide<T>, N> out;
  if constexpr (std::is_same_v<T, BFloat16> && N % 2 == 0) {
    uint32_t words[N / 2];
    memcpy(words, &x, sizeof x);
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      out.v[2 * i] = __uint_as_float(words[i] << 16);
      out.v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) out.v[i] = widen(x.v[i]);
  }
  return out;
}

// Rounds two numbers in one instruction; one by one they wait for the unit that also makes
// exponentials and quotients.
template <class T, int N>
__device__ inline Pack<T, N> narrow_all(const Wide<T> (&x)[N]) {
  Pack<T, N> out;
  constexpr bool kTwo = N % 2 == 0 && sizeof(T) == 2;
#pragma unroll
  for (int i = 0; i < N; i += kTwo ? 2 : 1) {
    if constexpr (kTwo && std::is_same_v<T, BFloat16>) {
      const __nv_bfloat162 both = __floats2bfloat162_rn(x[i], x[i + 1]);
      memcpy(out.v + i, &both, sizeof both);
    } else if constexpr (kTwo) {
      const __half2 both = __floats2half2_rn(x[i], x[i + 1]);
      memcpy(out.v + i, &both, sizeof both);
    } else {
      out.v[i] = narrow<T>(x[i]);
    }
  }
  return out;
}

// 2^x: exact enough (2 ulp), one instruction, and 0 below 2^-126.
__device__ inline float power_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ inline double power_two(double x) {
  return exp2(x);
}

struct DeviceExponential {
  static constexpr double kLog = 1.44269504088896340736;  // of e to base 2
  template <class W>
  __device__ W operator()(W x) const {
    return power_two(x);
  }
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
// (blockDim.y == 1); `Threads` where the compiler may know how many. `scratch` holds 2 * 32 values;
// `turn` flips from call to call, so that one barrier a call is enough.
template <int Threads = 0, class V, class Combine>
__device__ inline V row_combine(V value, const Combine& combine, V* scratch, int& turn) {
  value = warp_combine(value, combine);
  const int warps = (Threads > 0 ? Threads : static_cast<int>(blockDim.x)) / 32;
  if (warps == 1) return value;
  V* slots = scratch + 32 * turn;
  turn ^= 1;
  if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
  __syncthreads();
  V total = slots[0];
#pragma unroll
  for (int w = 1; w < warps; ++w) total = combine(total, slots[w]);
  return total;
}

}  // namespace ocoee::kernels::cuda
