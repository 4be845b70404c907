// SPDX-License-Identifier: Apache-2.0
// How the norms' kernels lay rows over threads. A row lies in the registers of one warp, or of one
// block when it is wide, so it is read once. Blocks walk over many rows: while one is worked on,
// the next is on its way from memory.
#pragma once

#include <cuda_pipeline_primitives.h>

#include <algorithm>

#include "kernels/cuda_support.cuh"

namespace ocoee::kernels::cuda {

// How a row is laid over threads.
struct RowShape {
  int packs;         // of 16 bytes in each thread; 0: any width, one element at a time
  unsigned threads;  // of a row
  unsigned rows;     // of a block
  bool over_block() const { return packs > 0 && rows == 1; }
  // Of shared memory, where rows wait in it.
  size_t waiting_bytes(int arrays) const {
    return over_block() ? size_t{16} * threads * static_cast<size_t>(packs * arrays) : 0;
  }
};
inline RowShape any_width(int64_t width) {
  return {0, static_cast<unsigned>(std::clamp<int64_t>(ceil_div(width, 32) * 32, 32, 1024)), 1};
}

constexpr int kWarpRows = 4;  // rows of a block whose rows are warps
// Where a row is a block: the most threads, and how many blocks a multiprocessor runs at least.
template <int K, bool Backward>
constexpr int kThreads = K == 2 || (K == 4 && Backward) ? 384 : 512;
template <int K, bool Backward>
constexpr int kBlocks = Backward ? (K <= 2 ? 2 : 1) : (K == 2 ? 4 : 3);

// `most_in_warp`: packs of a thread where a row is a warp.
inline RowShape shape_for(int64_t width, int pack, bool aligned, bool backward, int most_in_warp) {
  const int64_t packs = width / pack;
  const auto warps_of = [packs](int64_t each) { return ceil_div(ceil_div(packs, each), 32); };
  const int64_t most = 4 * (backward ? kThreads<4, true> : kThreads<4, false>);
  if (!aligned || width % pack != 0 || packs > most) return any_width(width);
  const int in_a_warp = static_cast<int>(ceil_div(packs, 32));
  if (in_a_warp <= most_in_warp)
    return {in_a_warp <= 4 ? in_a_warp : in_a_warp <= 7 ? 7 : 8, 32, kWarpRows};
  const int each = packs <= kThreads<1, false> ? 1 : packs <= 2 * kThreads<2, false> ? 2 : 4;
  return {each, static_cast<unsigned>(32 * warps_of(each)), 1};
}

// Blocks that walk over all rows: as many as run at once, so that they end together.
template <class Kernel>
unsigned blocks_at_once(Kernel* kernel, int64_t rows, const RowShape& shape, size_t shared_bytes,
                        int multiprocessors) {
  if (shared_bytes > 32 << 10)  // beside what a kernel declares, 48 KiB need no leave
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
  int each = 0;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &each, kernel, static_cast<int>(shape.threads * shape.rows), shared_bytes);
  return static_cast<unsigned>(
      std::min<int64_t>(ceil_div(rows, shape.rows), int64_t{std::max(1, each)} * multiprocessors));
}

// What a block can have beside what a kernel declares itself.
inline size_t shared_memory_of_a_block(const device::Device& device) {
  constexpr size_t kDeclared = 2048;
  int most = 0;
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device.index);
  return static_cast<size_t>(most) - kDeclared;
}

// Calls f with the number of packs as a constant.
template <class F>
void with_packs(int packs, const F& f) {
  switch (packs) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 3:
      return f(std::integral_constant<int, 3>());
    case 4:
      return f(std::integral_constant<int, 4>());
    case 7:
      return f(std::integral_constant<int, 7>());
    default:
      return f(std::integral_constant<int, 8>());
  }
}

// A thread's packs of one row, kept as they lie in memory: half the registers of widened values.
template <class T, int K>
class Part {
 public:
  static constexpr int N = kPack<T>;
  __device__ void read(const void* from, int64_t row, int64_t width) {
    const T* begin = static_cast<const T*>(from) + row * width;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k, static_cast<int>(width / N)))
        raw_[k] = *reinterpret_cast<const uint4*>(begin + index(k) * N);
    }
  }
  __device__ void write(void* to, int64_t row, int64_t width) const {
    T* begin = static_cast<T*>(to) + row * width;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k, static_cast<int>(width / N)))
        *reinterpret_cast<uint4*>(begin + index(k) * N) = raw_[k];
    }
  }
  __device__ static bool inside(int k, int packs) {
    return index(k) < packs;
  }
  __device__ static int index(int k) {
    return k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
  }
  __device__ Pack<T, N> operator[](int k) const {
    Pack<T, N> pack;
    memcpy(&pack, &raw_[k], sizeof pack);
    return pack;
  }
  __device__ void set(int k, const Pack<T, N>& pack) {
    memcpy(&raw_[k], &pack, sizeof pack);
  }
  // Keeps the compiler from carrying widened values from one pass over the row to the next.
  __device__ void forget_widened() {
#pragma unroll
    for (int k = 0; k < K; ++k)
      asm volatile("" : "+r"(raw_[k].x), "+r"(raw_[k].y), "+r"(raw_[k].z), "+r"(raw_[k].w));
  }

 private:
  uint4 raw_[K] = {};
};

// (x - mean) rstd weight + bias, as both passes make it.
template <class T, int N>
__device__ inline Pack<T, N> normalised(const Pack<T, N>& x, Wide<T> mean, Wide<T> rstd,
                                        const Pack<T, N>& weight, const Pack<T, N>& bias) {
  Pack<T, N> y;
#pragma unroll
  for (int i = 0; i < N; ++i)
    y.v[i] = narrow<T>((widen(x.v[i]) - mean) * rstd * widen(weight.v[i]) + widen(bias.v[i]));
  return y;
}

// Where a row is a block, those to come wait in shared memory: registers would leave room for one
// block only, whose warps all wait at once. Each pack lies in a place that the thread which reads
// it has filled, so no barrier is needed.
template <class T, int K>
class Waiting {
 public:
  static constexpr int N = kPack<T>;
  __device__ Waiting(uint4* shared, int arrays) : shared_(shared), arrays_(arrays) {}
  __device__ void send(int place, int array, const void* from, int64_t row, int64_t width) {
    const T* begin = static_cast<const T*>(from) + row * width;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (Part<T, K>::inside(k, static_cast<int>(width / N)))
        __pipeline_memcpy_async(at(place, array, k), begin + Part<T, K>::index(k) * N, 16);
    }
  }
  __device__ Pack<T, N>& operator()(int place, int array, int k) {
    return *reinterpret_cast<Pack<T, N>*>(at(place, array, k));
  }

 private:
  __device__ uint4* at(int place, int array, int k) {
    return shared_ + ((place * arrays_ + array) * K + k) * static_cast<int>(blockDim.x) +
           threadIdx.x;
  }
  uint4* shared_;
  int arrays_;
};

}  // namespace ocoee::kernels::cuda
