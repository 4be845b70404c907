// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm on the GPU. A row lies in the registers of one warp, or of one block when
// it is wide, so it is read once. Blocks walk over many rows: while one is worked on, the next is
// on its way from memory, and a backward block keeps its share of the weight gradients in
// registers.
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
};

// Most threads of a block, as each kernel's registers allow.
constexpr int kWarpRows = 4;  // rows of a block whose rows are warps
constexpr int kForwardThreads = 512;
template <int K>
constexpr int kForwardBound = K <= 4 ? kForwardThreads : 32 * kWarpRows;
// More than three packs of x, dy and the passing gradient leave too few warps for the memory.
constexpr int kForwardInWarp = 8, kAddingInWarp = 4, kBackwardInWarp = 3;
template <int K>
constexpr int kBackwardThreads = K == 1   ? 512
                                 : K == 2 ? 384
                                          : 128;  // more packs only in a warp

// `most_in_warp`: packs of a thread where a row is a warp.
Shape shape_for(int64_t width, int pack, bool aligned, bool backward, int most_in_warp) {
  const int64_t packs = width / pack;
  const auto warps_of = [packs](int64_t each) { return ceil_div(ceil_div(packs, each), 32); };
  const int64_t most = backward ? 2 * kBackwardThreads<2> : 4 * kForwardThreads;
  if (!aligned || width % pack != 0 || packs > most) {
    const int64_t threads = std::clamp<int64_t>(ceil_div(width, 32) * 32, 32, 1024);
    return {0, static_cast<unsigned>(threads), 1};
  }
  const int in_a_warp = static_cast<int>(ceil_div(packs, 32));
  if (in_a_warp <= most_in_warp)
    return {in_a_warp <= 4 ? in_a_warp : in_a_warp <= 7 ? 7 : 8, 32, kWarpRows};
  const int each = packs <= kForwardThreads ? 1 : packs <= 2 * kBackwardThreads<2> ? 2 : 4;
  return {each, static_cast<unsigned>(32 * warps_of(each)), 1};
}

// Blocks that walk over all rows: as many as run at once, so that they end together.
unsigned most_blocks(int64_t rows, const Shape& shape, int multiprocessors) {
  const unsigned each = std::max(1u, 1024 / (shape.threads * shape.rows));
  return static_cast<unsigned>(
      std::min<int64_t>(ceil_div(rows, shape.rows), int64_t{each} * multiprocessors));
}
template <class Kernel>
unsigned blocks_at_once(Kernel* kernel, int64_t rows, const Shape& shape, size_t shared_bytes,
                        int multiprocessors) {
  int each = 0;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &each, kernel, static_cast<int>(shape.threads * shape.rows), shared_bytes);
  return std::min(most_blocks(rows, shape, multiprocessors),
                  static_cast<unsigned>(std::max(1, each) * multiprocessors));
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
constexpr int kBackwardAhead = K == 1 ? 2 : 1;

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
  __device__ static int index(int k) {
    return k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
  }
  uint4 raw_[K] = {};
};

template <class T, int K, bool Adds>
__global__ void __launch_bounds__(kForwardBound<K>) norm_forward_kernel(NormForward a) {
  using W = Wide<T>;
  constexpr int N = kPack<T>;
  __shared__ W scratch[64];
  int turn = 0;
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
      mean = row_combine(sum, SumOf<W>(), scratch, turn) * scale;
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
    const W rstd = W(1) / sqrt(row_combine(square, SumOf<W>(), scratch, turn) * scale +
                               static_cast<W>(a.epsilon));
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
    const W bias = a.bias ? widen(static_cast<const T*>(a.bias)[i]) : W(0);
    static_cast<T*>(a.y)[base + i] =
        narrow<T>((widen(x[i]) - mean) * rstd * widen(static_cast<const T*>(a.weight)[i]) + bias);
  }
  if (threadIdx.x == 0) {
    if (a.mean) static_cast<W*>(a.mean)[row] = mean;
    if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
  }
}

// With h = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - h mean(g h)), without
// mean(g) in RMSNorm.
template <class T, int K>
__global__ void __launch_bounds__(kBackwardThreads<K>) norm_backward_kernel(NormBackward a) {
  using W = Wide<T>;
  constexpr int N = kPack<T>;
  __shared__ Pair<W> scratch[64];
  extern __shared__ unsigned char shared_bytes[];
  int turn = 0;
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
      if (!x.inside(k, packs)) continue;
      const Pack<T, N> own = x[k], given = dy[k], scaled = weight[k];
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const W d = widen(given.v[i]), h = (widen(own.v[i]) - mean) * rstd,
                g = d * widen(scaled.v[i]);
        d_weight[k][i] += d * h;
        d_bias[k][i] += d;
        sums.a += g;
        sums.b += g * h;
      }
    }
    if (!a.dx) continue;
    sums = row_combine(sums, PairSum<W>(), scratch, turn);
    const W mean_g = a.rms ? W(0) : sums.a * scale, mean_gh = sums.b * scale;
    if constexpr (K > 1) {
      x.forget_widened();
      dy.forget_widened();
      weight.forget_widened();
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const Pack<T, N> own = x[k], given = dy[k], scaled = weight[k];
      Pack<T, N> dx = passing[k];
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const W h = (widen(own.v[i]) - mean) * rstd, g = widen(given.v[i]) * widen(scaled.v[i]);
        dx.v[i] = narrow<T>(widen(dx.v[i]) + rstd * (g - mean_g - h * mean_gh));
      }
      passing.set(k, dx);
    }
    passing.write(a.dx, row, a.width);
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
        const int at = (k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * N;
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
    if (blockDim.y > 1) __syncthreads();
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
    }
  }
}

}  // namespace

void norm_forward(const NormForward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Shape shape =
        shape_for(a.width, kPack<T>, aligned16(a.x, a.add, a.sum, a.weight, a.bias, a.y), false,
                  a.add ? kAddingInWarp : kForwardInWarp);
    const dim3 block(shape.threads, shape.rows);
    const auto launch = [&](auto* kernel) {
      const unsigned blocks =
          blocks_at_once(kernel, a.rows, shape, 0, multiprocessor_count(stream.device));
      kernel<<<blocks, block, 0, handle_of(stream)>>>(a);
    };
    if (shape.packs == 0) {
      norm_forward_any<T><<<static_cast<unsigned>(a.rows), block, 0, handle_of(stream)>>>(a);
    } else {
      with_packs(shape.packs, [&](auto packs) {
        constexpr int K = decltype(packs)::value;
        if constexpr (K <= kAddingInWarp) {
          if (a.add) return launch(norm_forward_kernel<T, K, true>);
        }
        launch(norm_forward_kernel<T, K, false>);
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
    const Shape shape = shape_for(a.width, kPack<T>,
                                  aligned16(a.x, a.dy, a.weight, a.d_residual, a.dx, a.workspace),
                                  true, kBackwardInWarp);
    const dim3 block(shape.threads, shape.rows);
    const size_t bytes = shape.rows > 1 ? 2 * static_cast<size_t>(a.width) * sizeof(W) : 0;
    unsigned blocks = 0;
    const auto launch = [&](auto* kernel) {
      blocks = blocks_at_once(kernel, a.rows, shape, bytes, multiprocessor_count(stream.device));
      kernel<<<blocks, block, bytes, handle_of(stream)>>>(a);
    };
    if (shape.packs == 0) {
      launch(norm_backward_any<T>);
    } else {
      with_packs(shape.packs, [&](auto packs) {
        constexpr int K = decltype(packs)::value;
        if constexpr (K <= kBackwardInWarp) launch(norm_backward_kernel<T, K>);
      });
    }
    check_launch("norm_backward");
    if (!a.d_weight && !a.d_bias) return;
    launch_column_partials(static_cast<const W*>(a.workspace), static_cast<int>(blocks), 2, a.width,
                           static_cast<W*>(a.d_weight), static_cast<W*>(a.d_bias),
                           handle_of(stream));
  });
}

// The most blocks that any alignment of the pointers would take.
size_t norm_backward_workspace(DType dtype, int64_t rows, int64_t width,
                               const device::Device& device) {
  const auto pack = static_cast<int>(16 / size_of(dtype));
  const int multiprocessors = multiprocessor_count(device);
  const unsigned blocks = std::max(
      most_blocks(rows, shape_for(width, pack, true, true, kBackwardInWarp), multiprocessors),
      most_blocks(rows, shape_for(width, pack, false, true, kBackwardInWarp), multiprocessors));
  return static_cast<size_t>(blocks) * 2 * static_cast<size_t>(width) * size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cuda
