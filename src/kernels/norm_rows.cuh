// SPDX-License-Identifier: Apache-2.0
// How the norms' kernels lay rows over threads. A row is a warp's, or a block's when it is wide,
// and lies in its registers or in its part of shared memory, so that it is read once. Blocks walk
// over many rows: while one is worked on, the next are on their way from memory.
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
    return size_t{16} * threads * rows * static_cast<size_t>(packs * arrays);
  }
};
inline RowShape any_width(int64_t width) {
  return {0, static_cast<unsigned>(std::clamp<int64_t>(ceil_div(width, 32) * 32, 32, 1024)), 1};
}

constexpr int kWarpRows = 4;  // rows of a block whose rows are warps

// Blocks that walk over all rows: as many as run at once, so that they end together.
template <class Kernel>
unsigned blocks_at_once(Kernel* kernel, int64_t rows, const RowShape& shape, size_t shared_bytes,
                        int multiprocessors) {
  allow_shared_memory(kernel, shared_bytes);
  int each = 0;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &each, kernel, static_cast<int>(shape.threads * shape.rows), shared_bytes);
  return static_cast<unsigned>(
      std::min<int64_t>(ceil_div(rows, shape.rows), int64_t{std::max(1, each)} * multiprocessors));
}

// What a block can have beside what a kernel declares itself and what CUDA keeps of it.
inline size_t shared_memory_of_a_block(const device::Device& device) {
  constexpr size_t kDeclared = 2048;  // bytes of both, at most
  int most = 0;
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device.index);
  return static_cast<size_t>(most) - kDeclared;
}

// Where the packs of a thread lie in a row of `Threads` threads; 0: of blockDim.x.
template <int Threads = 0>
struct RowPlaces {
  __device__ static int threads() { return Threads > 0 ? Threads : static_cast<int>(blockDim.x); }
  __device__ static int index(int k) { return k * threads() + static_cast<int>(threadIdx.x); }
  __device__ static bool inside(int k, int packs) { return index(k) < packs; }
};

// Zeros where there is no such array.
template <int N, class T>
__device__ inline Pack<Wide<T>, N> widened_or_zeros(const T* p, int64_t at) {
  Pack<Wide<T>, N> out{};
  if (p) out = widen_all(load<N>(p + at));
  return out;
}

// (x - mean) rstd weight + bias, as both passes make it.
template <class T, int N>
__device__ inline Pack<T, N> normalised(const Pack<T, N>& x, Wide<T> mean, Wide<T> rstd,
                                        const Pack<T, N>& weight, const Pack<Wide<T>, N>& bias) {
  const Pack<Wide<T>, N> wide = widen_all(x), w = widen_all(weight);
  Wide<T> y[N];
#pragma unroll
  for (int i = 0; i < N; ++i) y[i] = (wide.v[i] - mean) * rstd * w.v[i] + bias.v[i];
  return narrow_all<T>(y);
}

// Rows to come wait in shared memory where registers would leave room for too few warps. Each pack
// lies in a place that the thread which reads it has filled, so no barrier is needed.
template <class T, int K, int Arrays, int Threads = 0>
class Waiting {
 public:
  using Where = RowPlaces<Threads>;
  static constexpr int N = kPack<T>;
  __device__ explicit Waiting(uint4* shared)
      : shared_(static_cast<uint32_t>(__cvta_generic_to_shared(shared + threadIdx.x))) {}
  // `from`: this thread's first pack of the row.
  __device__ void send(int place, int array, const T* from, int packs) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!Where::inside(k, packs)) continue;
#if __CUDA_ARCH__ >= 800
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at(place, array, k)),
                   "l"(from + k * Where::threads() * N)
                   : "memory");
#else  // no copies on their own
      set(place, array, k, load<N>(from + k * Where::threads() * N));
#endif
    }
  }
  // By name: the compiler would read a pack in pieces, for which 4 threads want the same bank at
  // once.
  __device__ Pack<T, N> operator()(int place, int array, int k) const {
    uint4 word;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word.x), "=r"(word.y), "=r"(word.z), "=r"(word.w)
                 : "r"(at(place, array, k))
                 : "memory");
    Pack<T, N> pack;
    memcpy(&pack, &word, sizeof pack);
    return pack;
  }
  __device__ void set(int place, int array, int k, const Pack<T, N>& pack) {
    uint4 word;
    memcpy(&word, &pack, sizeof word);
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(at(place, array, k)), "r"(word.x),
                 "r"(word.y), "r"(word.z), "r"(word.w)
                 : "memory");
  }

 private:
  __device__ uint32_t at(int place, int array, int k) const {
    return shared_ +
           static_cast<uint32_t>(((place * Arrays + array) * K + k) * Where::threads() * 16);
  }
  uint32_t shared_;  // an address of shared memory
};

}  // namespace ocoee::kernels::cuda
