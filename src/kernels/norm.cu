// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm on the GPU. A row lies in the registers of one warp, or of one block when
// it is wide, so it is read once. Blocks walk over many rows: while one is worked on, the next is
// on its way from memory, and a backward block keeps its share of the weight gradients in
// registers.
#include <cuda_pipeline_primitives.h>

#include <algorithm>

#include "kernels/column_partials.cuh"
#include "kernels/norm.h"

namespace ocoee::kernels::cuda {
namespace {

// How a row is laid over threads.
struct Shape {
  int packs;         // of 16 bytes in each thread; 0: any width, one element at a time
  unsigned threads;  // of a row
  unsigned rows;     // of a block
  bool over_block() const { return packs > 0 && rows == 1; }
  // Of shared memory, where rows wait in it.
  size_t waiting_bytes(int arrays) const {
    return over_block() ? size_t{16} * threads * static_cast<size_t>(packs * arrays) : 0;
  }
};
Shape any_width(int64_t width) {
  return {0, static_cast<unsigned>(std::clamp<int64_t>(ceil_div(width, 32) * 32, 32, 1024)), 1};
}

constexpr int kWarpRows = 4;  // rows of a block whose rows are warps
// More than three packs of x, dy and the passing gradient leave too few warps for the memory.
constexpr int kForwardInWarp = 8, kAddingInWarp = 4, kBackwardInWarp = 3;
// Where a row is a block: the most threads, and how many blocks a multiprocessor runs at least.
template <int K, bool Backward>
constexpr int kThreads = K == 2 || (K == 4 && Backward) ? 384 : 512;
template <int K, bool Backward>
constexpr int kBlocks = Backward ? (K <= 2 ? 2 : 1) : (K == 2 ? 4 : 3);

// `most_in_warp`: packs of a thread where a row is a warp.
Shape shape_for(int64_t width, int pack, bool aligned, bool backward, int most_in_warp) {
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

// Blocks that walk over all rows: as many as run at once, so that they end together. In a backward
// pass each leaves sums behind, so there are not too many.
unsigned most_blocks(int64_t rows, const Shape& shape, int multiprocessors) {
  const unsigned each = std::max(1u, 1024 / (shape.threads * shape.rows));
  return static_cast<unsigned>(
      std::min<int64_t>(ceil_div(rows, shape.rows), int64_t{each} * multiprocessors));
}
template <class Kernel>
unsigned blocks_at_once(Kernel* kernel, int64_t rows, const Shape& shape, size_t shared_bytes,
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
size_t shared_memory_of_a_block(const device::Device& device) {
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

// Rows on their way from memory while one is worked on: the fewer packs of each, the more.
template <int K>
constexpr int kForwardAhead = K == 1   ? 4
                              : K == 2 ? 2
                                       : 1;
template <int K>
constexpr int kBackwardAhead = K == 1 ? 2 : 1;  // of rows that are warps

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

template <class T, int K, bool Adds>
__global__ void __launch_bounds__(32 * kWarpRows) norm_forward_kernel(NormForward a) {
  using W = Wide<T>;
  constexpr int N = kPack<T>;
  const int packs = static_cast<int>(a.width / N);
  const W scale = W(1) / static_cast<W>(a.width);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.y;
  constexpr int kAhead = kForwardAhead<K>;
  constexpr bool kKeeps = K <= 4;  // weight and bias in registers, else read again for each row
  Part<T, K> weight, bias, next[kAhead], next_add[Adds ? kAhead : 1];
  if constexpr (kKeeps) {
    weight.read(a.weight, 0, a.width);
    if (a.bias) bias.read(a.bias, 0, a.width);
  }
  const auto fetch = [&](int slot, int64_t which) {
    if (which >= a.rows) return;
    next[slot].read(a.x, which, a.width);
    if constexpr (Adds) next_add[slot].read(a.add, which, a.width);
  };
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;  // whole warps only: rows of one block are warps of their own
#pragma unroll
  for (int i = 0; i < kAhead; ++i) fetch(i, row + i * stride);
  for (; row < a.rows; row += stride) {
    Part<T, K> x = next[0];
    if constexpr (Adds) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        Pack<T, N> sum = x[k];
        const Pack<T, N> add = next_add[0][k];
#pragma unroll
        for (int i = 0; i < N; ++i) sum.v[i] = narrow<T>(widen(sum.v[i]) + widen(add.v[i]));
        x.set(k, sum);
      }
      x.write(a.sum, row, a.width);
    }
#pragma unroll
    for (int i = 0; i + 1 < kAhead; ++i) {
      next[i] = next[i + 1];
      if constexpr (Adds) next_add[i] = next_add[i + 1];
    }
    fetch(kAhead - 1, row + kAhead * stride);
    W mean = 0;
    if (!a.rms) {
      W sum = 0;  // what lies beyond the row is zero
#pragma unroll
      for (int k = 0; k < K; ++k) {
        const Pack<T, N> pack = x[k];
#pragma unroll
        for (int i = 0; i < N; ++i) sum += widen(pack.v[i]);
      }
      mean = warp_combine(sum, SumOf<W>()) * scale;
      if constexpr (K > 2) x.forget_widened();
    }
    W square = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!x.inside(k, packs)) continue;
      const Pack<T, N> pack = x[k];
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const W d = widen(pack.v[i]) - mean;
        square += d * d;
      }
    }
    const W rstd =
        W(1) / sqrt(warp_combine(square, SumOf<W>()) * scale + static_cast<W>(a.epsilon));
    if constexpr (!kKeeps) {
      weight.read(a.weight, 0, a.width);
      if (a.bias) bias.read(a.bias, 0, a.width);
    }
    if constexpr (K > 2) {
      x.forget_widened();
      weight.forget_widened();
      bias.forget_widened();
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
      Pack<T, N> y = x[k];
      const Pack<T, N> w = weight[k], b = bias[k];
#pragma unroll
      for (int i = 0; i < N; ++i)
        y.v[i] = narrow<T>((widen(y.v[i]) - mean) * rstd * widen(w.v[i]) + widen(b.v[i]));
      x.set(k, y);
    }
    x.write(a.y, row, a.width);
    if (threadIdx.x == 0) {
      if (a.mean) static_cast<W*>(a.mean)[row] = mean;
      if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
    }
  }
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

constexpr int kForwardPlaces = 3;
template <class T, int K, bool Adds>
__global__ void __launch_bounds__(kThreads<K, false>, Adds ? 1 : kBlocks<K, false>)
    norm_forward_over_block(NormForward a) {
  using W = Wide<T>;
  using P = Part<T, K>;
  constexpr int N = kPack<T>;
  __shared__ W scratch[64];
  extern __shared__ uint4 shared[];
  int turn = 0, here = 0;
  const int packs = static_cast<int>(a.width / N);
  const W scale = W(1) / static_cast<W>(a.width);
  Waiting<T, K> waiting(shared, Adds ? 2 : 1);
  const auto send = [&](int place, int64_t row) {
    if (row < a.rows) {
      waiting.send(place, 0, a.x, row, a.width);
      if constexpr (Adds) waiting.send(place, 1, a.add, row, a.width);
    }
    __pipeline_commit();
  };
  const auto of = [&](const void* array, int k) {
    return load<N>(static_cast<const T*>(array) + P::index(k) * N);
  };
#pragma unroll
  for (int i = 0; i + 1 < kForwardPlaces; ++i)
    send(i, blockIdx.x + static_cast<int64_t>(i) * gridDim.x);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    send(here == 0 ? kForwardPlaces - 1 : here - 1,
         row + static_cast<int64_t>(kForwardPlaces - 1) * gridDim.x);
    __pipeline_wait_prior(kForwardPlaces - 1);
    W sum = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      Pack<T, N>& x = waiting(here, 0, k);
      if constexpr (Adds) {
        const Pack<T, N> add = waiting(here, 1, k);
        Pack<T, N> both = x;
#pragma unroll
        for (int i = 0; i < N; ++i) both.v[i] = narrow<T>(widen(both.v[i]) + widen(add.v[i]));
        store<N>(static_cast<T*>(a.sum) + row * a.width + P::index(k) * N, both);
        x = both;
      }
      const Pack<T, N> pack = x;
#pragma unroll
      for (int i = 0; i < N; ++i) sum += widen(pack.v[i]);
    }
    const W mean = a.rms ? W(0) : row_combine(sum, SumOf<W>(), scratch, turn) * scale;
    W square = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      const Pack<T, N> pack = waiting(here, 0, k);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const W d = widen(pack.v[i]) - mean;
        square += d * d;
      }
    }
    const W rstd = W(1) / sqrt(row_combine(square, SumOf<W>(), scratch, turn) * scale +
                               static_cast<W>(a.epsilon));
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      store<N>(static_cast<T*>(a.y) + row * a.width + P::index(k) * N,
               normalised<T, N>(waiting(here, 0, k), mean, rstd, of(a.weight, k),
                                a.bias ? of(a.bias, k) : Pack<T, N>{}));
    }
    if (threadIdx.x == 0) {
      if (a.mean) static_cast<W*>(a.mean)[row] = mean;
      if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
    }
    here = here + 1 == kForwardPlaces ? 0 : here + 1;
  }
}

// Any width and alignment: the row is read three times, out of the cache.
template <class T>
__global__ void __launch_bounds__(1024) norm_forward_any(NormForward a) {
  using W = Wide<T>;
  __shared__ W scratch[64];
  int turn = 0;
  const int64_t row = blockIdx.x, base = row * a.width;
  const T* x = static_cast<const T*>(a.x) + base;
  W sum = 0;
  if (a.add) {
    const T* add = static_cast<const T*>(a.add) + base;
    T* out = static_cast<T*>(a.sum) + base;
    for (int64_t i = threadIdx.x; i < a.width; i += blockDim.x)
      out[i] = narrow<T>(widen(x[i]) + widen(add[i]));
    x = out;  // each thread reads back only what it wrote
  }
  for (int64_t i = threadIdx.x; i < a.width; i += blockDim.x) sum += widen(x[i]);
  const W scale = W(1) / static_cast<W>(a.width);
  const W mean = a.rms ? W(0) : row_combine(sum, SumOf<W>(), scratch, turn) * scale;
  W square = 0;
  for (int64_t i = threadIdx.x; i < a.width; i += blockDim.x)
    square += (widen(x[i]) - mean) * (widen(x[i]) - mean);
  const W rstd = W(1) / sqrt(row_combine(square, SumOf<W>(), scratch, turn) * scale +
                             static_cast<W>(a.epsilon));
  for (int64_t i = threadIdx.x; i < a.width; i += blockDim.x) {
    const Pack<T, 1> bias = a.bias ? load<1>(static_cast<const T*>(a.bias) + i) : Pack<T, 1>{};
    store<1>(static_cast<T*>(a.y) + base + i,
             normalised<T, 1>(load<1>(x + i), mean, rstd,
                              load<1>(static_cast<const T*>(a.weight) + i), bias));
  }
  if (threadIdx.x == 0) {
    if (a.mean) static_cast<W*>(a.mean)[row] = mean;
    if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
  }
}

// With h = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - h mean(g h)), without
// mean(g) in RMSNorm.
template <class T, int N>
__device__ inline void add_to_sums(const Pack<T, N>& x, const Pack<T, N>& dy,
                                   const Pack<T, N>& weight, Wide<T> mean, Wide<T> rstd,
                                   Wide<T> (&d_weight)[N], Wide<T> (&d_bias)[N],
                                   Pair<Wide<T>>& sums) {
  using W = Wide<T>;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const W d = widen(dy.v[i]), h = (widen(x.v[i]) - mean) * rstd, g = d * widen(weight.v[i]);
    d_weight[i] += d * h;
    d_bias[i] += d;
    sums.a += g;
    sums.b += g * h;
  }
}
template <class T, int N>
__device__ inline Pack<T, N> input_gradient(const Pack<T, N>& x, const Pack<T, N>& dy,
                                            const Pack<T, N>& weight, const Pack<T, N>& passing,
                                            Wide<T> mean, Wide<T> rstd, Wide<T> mean_g,
                                            Wide<T> mean_gh) {
  using W = Wide<T>;
  Pack<T, N> dx;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const W h = (widen(x.v[i]) - mean) * rstd, g = widen(dy.v[i]) * widen(weight.v[i]);
    dx.v[i] = narrow<T>(widen(passing.v[i]) + rstd * (g - mean_g - h * mean_gh));
  }
  return dx;
}

// Rows are warps. `Again`: y is made once more.
template <class T, int K, bool Again>
__global__ void __launch_bounds__(32 * kWarpRows, 3) norm_backward_kernel(NormBackward a) {
  using W = Wide<T>;
  constexpr int N = kPack<T>;
  extern __shared__ unsigned char shared_bytes[];
  const int packs = static_cast<int>(a.width / N);
  const W scale = W(1) / static_cast<W>(a.width);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.y;
  W d_weight[K][N] = {}, d_bias[K][N] = {};
  constexpr int kAhead = kBackwardAhead<K>;
  struct Row {
    Part<T, K> x, dy, passing;
    W mean = 0, rstd = 0;
  };
  Part<T, K> weight;
  Row next[kAhead];
  weight.read(a.weight, 0, a.width);
  const auto fetch = [&](Row& into, int64_t which) {
    if (which >= a.rows) return;
    into.x.read(a.x, which, a.width);
    into.dy.read(a.dy, which, a.width);
    if (a.d_residual) into.passing.read(a.d_residual, which, a.width);
    if (!a.rms) into.mean = static_cast<const W*>(a.mean)[which];
    into.rstd = static_cast<const W*>(a.rstd)[which];
  };
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) fetch(next[i], row + i * stride);
  for (; row < a.rows; row += stride) {
    Part<T, K> x = next[0].x, dy = next[0].dy, passing = next[0].passing;
    const W mean = next[0].mean, rstd = next[0].rstd;
#pragma unroll
    for (int i = 0; i + 1 < kAhead; ++i) next[i] = next[i + 1];
    fetch(next[kAhead - 1], row + kAhead * stride);
    Pair<W> sums{0, 0};
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (x.inside(k, packs))
        add_to_sums<T, N>(x[k], dy[k], weight[k], mean, rstd, d_weight[k], d_bias[k], sums);
    }
    if (!a.dx) continue;
    sums = warp_combine(sums, PairSum<W>());
    const W mean_g = a.rms ? W(0) : sums.a * scale, mean_gh = sums.b * scale;
    if constexpr (K > 1) {
      x.forget_widened();
      dy.forget_widened();
      weight.forget_widened();
    }
#pragma unroll
    for (int k = 0; k < K; ++k)
      passing.set(
          k, input_gradient<T, N>(x[k], dy[k], weight[k], passing[k], mean, rstd, mean_g, mean_gh));
    passing.write(a.dx, row, a.width);
    if constexpr (Again) {
      x.forget_widened();
      weight.forget_widened();
#pragma unroll
      for (int k = 0; k < K; ++k) {
        if (!x.inside(k, packs)) continue;
        const int64_t at = x.index(k) * N;
        const Pack<T, N> bias = a.bias ? load<N>(static_cast<const T*>(a.bias) + at) : Pack<T, N>{};
        store<N>(static_cast<T*>(a.y) + row * a.width + at,
                 normalised<T, N>(x[k], mean, rstd, weight[k], bias));
      }
    }
  }
  if (!a.d_weight && !a.d_bias) return;
  // The rows of a block (its warps) add up in order; then the block's part goes out.
  W* block_sums = reinterpret_cast<W*>(shared_bytes);
  W* partial = static_cast<W*>(a.workspace) + static_cast<int64_t>(blockIdx.x) * 2 * a.width;
  for (unsigned turn_of = 0; turn_of < blockDim.y; ++turn_of) {
    if (threadIdx.y == turn_of) {
      const bool first = turn_of == 0, last = turn_of + 1 == blockDim.y;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        const int at = Part<T, K>::index(k) * N;
        if (at >= packs * N) continue;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const W w = d_weight[k][i] + (first ? W(0) : block_sums[at + i]);
          const W b = d_bias[k][i] + (first ? W(0) : block_sums[a.width + at + i]);
          (last ? partial : block_sums)[at + i] = w;
          (last ? partial : block_sums)[a.width + at + i] = b;
        }
      }
    }
    __syncthreads();
  }
}

// A row is a block.
enum Array : int { kX, kDy, kPassing, kArrays };
constexpr int kBackwardPlaces = 2;
template <class T, int K, bool Again>
__global__ void __launch_bounds__(kThreads<K, true>, kBlocks<K, true>)
    norm_backward_over_block(NormBackward a) {
  using W = Wide<T>;
  using P = Part<T, K>;
  constexpr int N = kPack<T>;
  __shared__ Pair<W> scratch[64];
  extern __shared__ uint4 shared[];
  int turn = 0, here = 0;
  const int packs = static_cast<int>(a.width / N);
  const W scale = W(1) / static_cast<W>(a.width);
  W d_weight[K][N] = {}, d_bias[K][N] = {};
  Waiting<T, K> waiting(shared, kArrays);
  W next_mean = 0, next_rstd = 0;
  const auto send = [&](int place, int64_t row) {
    if (row < a.rows) {
      waiting.send(place, kX, a.x, row, a.width);
      waiting.send(place, kDy, a.dy, row, a.width);
      if (a.d_residual) waiting.send(place, kPassing, a.d_residual, row, a.width);
      if (!a.rms) next_mean = static_cast<const W*>(a.mean)[row];
      next_rstd = static_cast<const W*>(a.rstd)[row];
    }
    __pipeline_commit();
  };
  const auto of = [&](const void* array, int k) {
    return load<N>(static_cast<const T*>(array) + P::index(k) * N);
  };
  send(here, blockIdx.x);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x, here ^= 1) {
    const W mean = next_mean, rstd = next_rstd;
    send(here ^ 1, row + gridDim.x);
    __pipeline_wait_prior(kBackwardPlaces - 1);
    Pair<W> sums{0, 0};
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (P::inside(k, packs))
        add_to_sums<T, N>(waiting(here, kX, k), waiting(here, kDy, k), of(a.weight, k), mean, rstd,
                          d_weight[k], d_bias[k], sums);
    }
    if (!a.dx) continue;
    sums = row_combine(sums, PairSum<W>(), scratch, turn);
    const W mean_g = a.rms ? W(0) : sums.a * scale, mean_gh = sums.b * scale;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      const Pack<T, N> x = waiting(here, kX, k), weight = of(a.weight, k);
      const Pack<T, N> passing = a.d_residual ? waiting(here, kPassing, k) : Pack<T, N>{};
      const int64_t at = row * a.width + P::index(k) * N;
      store<N>(static_cast<T*>(a.dx) + at,
               input_gradient<T, N>(x, waiting(here, kDy, k), weight, passing, mean, rstd, mean_g,
                                    mean_gh));
      if constexpr (Again)
        store<N>(static_cast<T*>(a.y) + at,
                 normalised<T, N>(x, mean, rstd, weight, a.bias ? of(a.bias, k) : Pack<T, N>{}));
    }
  }
  if (!a.d_weight && !a.d_bias) return;
  W* partial = static_cast<W*>(a.workspace) + static_cast<int64_t>(blockIdx.x) * 2 * a.width;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int at = P::index(k) * N;
    if (!P::inside(k, packs)) continue;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      partial[at + i] = d_weight[k][i];
      partial[a.width + at + i] = d_bias[k][i];
    }
  }
}

template <class T>
__global__ void __launch_bounds__(1024) norm_backward_any(NormBackward a) {
  using W = Wide<T>;
  __shared__ Pair<W> scratch[64];
  int turn = 0;
  const W scale = W(1) / static_cast<W>(a.width);
  W* d_weight = static_cast<W*>(a.workspace) + static_cast<int64_t>(blockIdx.x) * 2 * a.width;
  W* d_bias = d_weight + a.width;
  for (int64_t i = threadIdx.x; i < a.width; i += blockDim.x) d_weight[i] = d_bias[i] = W(0);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const int64_t base = row * a.width;
    const W mean = a.rms ? W(0) : static_cast<const W*>(a.mean)[row];
    const W rstd = static_cast<const W*>(a.rstd)[row];
    Pair<W> sums{0, 0};
    for (int64_t i = threadIdx.x; i < a.width; i += blockDim.x) {
      const W d = widen(static_cast<const T*>(a.dy)[base + i]);
      const W h = (widen(static_cast<const T*>(a.x)[base + i]) - mean) * rstd;
      const W g = d * widen(static_cast<const T*>(a.weight)[i]);
      d_weight[i] += d * h;
      d_bias[i] += d;
      sums.a += g;
      sums.b += g * h;
    }
    if (!a.dx) continue;
    sums = row_combine(sums, PairSum<W>(), scratch, turn);
    const W mean_g = a.rms ? W(0) : sums.a * scale, mean_gh = sums.b * scale;
    for (int64_t i = threadIdx.x; i < a.width; i += blockDim.x) {
      const W h = (widen(static_cast<const T*>(a.x)[base + i]) - mean) * rstd;
      const W g =
          widen(static_cast<const T*>(a.dy)[base + i]) * widen(static_cast<const T*>(a.weight)[i]);
      const W passing = a.d_residual ? widen(static_cast<const T*>(a.d_residual)[base + i]) : W(0);
      static_cast<T*>(a.dx)[base + i] = narrow<T>(passing + rstd * (g - mean_g - h * mean_gh));
      if (!a.y) continue;
      const Pack<T, 1> bias = a.bias ? load<1>(static_cast<const T*>(a.bias) + i) : Pack<T, 1>{};
      store<1>(static_cast<T*>(a.y) + base + i,
               normalised<T, 1>(load<1>(static_cast<const T*>(a.x) + base + i), mean, rstd,
                                load<1>(static_cast<const T*>(a.weight) + i), bias));
    }
  }
}

}  // namespace

void norm_forward(const NormForward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int arrays = a.add ? 2 : 1;
    const Shape shape =
        shape_for(a.width, kPack<T>, aligned16(a.x, a.add, a.sum, a.weight, a.bias, a.y), false,
                  a.add ? kAddingInWarp : kForwardInWarp);
    const auto launch = [&](auto* kernel, const Shape& taken, size_t bytes) {
      const unsigned blocks =
          blocks_at_once(kernel, a.rows, taken, bytes, multiprocessor_count(stream.device));
      kernel<<<blocks, dim3(taken.threads, taken.rows), bytes, handle_of(stream)>>>(a);
    };
    const size_t bytes = shape.waiting_bytes(kForwardPlaces * arrays);
    if (shape.packs == 0 || bytes > shared_memory_of_a_block(stream.device)) {
      const dim3 block(any_width(a.width).threads);
      norm_forward_any<T><<<static_cast<unsigned>(a.rows), block, 0, handle_of(stream)>>>(a);
    } else {
      with_packs(shape.packs, [&](auto packs) {
        constexpr int K = decltype(packs)::value;
        if constexpr (K == 1 || K == 2 || K == 4) {
          if (shape.over_block())
            return a.add ? launch(norm_forward_over_block<T, K, true>, shape, bytes)
                         : launch(norm_forward_over_block<T, K, false>, shape, bytes);
        }
        if constexpr (K <= kAddingInWarp) {
          if (a.add) return launch(norm_forward_kernel<T, K, true>, shape, 0);
        }
        launch(norm_forward_kernel<T, K, false>, shape, 0);
      });
    }
    check_launch("norm_forward");
  });
}

void norm_backward(const NormBackward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    Shape shape =
        shape_for(a.width, kPack<T>,
                  aligned16(a.x, a.dy, a.weight, a.d_residual, a.dx, a.y, a.bias, a.workspace),
                  true, kBackwardInWarp);
    if (shape.waiting_bytes(kBackwardPlaces * kArrays) > shared_memory_of_a_block(stream.device))
      shape = any_width(a.width);
    const int multiprocessors = multiprocessor_count(stream.device);
    unsigned blocks = 0;
    const auto launch = [&](auto* kernel, size_t bytes) {
      blocks = std::min(blocks_at_once(kernel, a.rows, shape, bytes, multiprocessors),
                        most_blocks(a.rows, shape, multiprocessors));
      kernel<<<blocks, dim3(shape.threads, shape.rows), bytes, handle_of(stream)>>>(a);
    };
    if (shape.packs == 0) {
      launch(norm_backward_any<T>, 0);
    } else {
      with_packs(shape.packs, [&](auto packs) {
        constexpr int K = decltype(packs)::value;
        if constexpr (K == 1 || K == 2 || K == 4) {
          const size_t bytes = shape.waiting_bytes(kBackwardPlaces * kArrays);
          if (shape.over_block())
            return a.y ? launch(norm_backward_over_block<T, K, true>, bytes)
                       : launch(norm_backward_over_block<T, K, false>, bytes);
        }
        if constexpr (K <= kBackwardInWarp) {
          const size_t bytes = 2 * static_cast<size_t>(a.width) * sizeof(W);
          a.y ? launch(norm_backward_kernel<T, K, true>, bytes)
              : launch(norm_backward_kernel<T, K, false>, bytes);
        }
      });
    }
    check_launch("norm_backward");
    if (!a.d_weight && !a.d_bias) return;
    launch_column_partials(static_cast<const W*>(a.workspace), static_cast<int>(blocks), 2, a.width,
                           a.d_weight, a.d_bias, a.bf16_gradients, handle_of(stream));
  });
}

// The most blocks that any alignment of the pointers would take.
size_t norm_backward_workspace(DType dtype, int64_t rows, int64_t width,
                               const device::Device& device) {
  const auto pack = static_cast<int>(16 / size_of(dtype));
  const int multiprocessors = multiprocessor_count(device);
  const unsigned blocks = std::max(
      most_blocks(rows, shape_for(width, pack, true, true, kBackwardInWarp), multiprocessors),
      most_blocks(rows, any_width(width), multiprocessors));
  return static_cast<size_t>(blocks) * 2 * static_cast<size_t>(width) * size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cuda
