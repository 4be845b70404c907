// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm backward on the GPU. A block keeps its share of the weight gradients in
// registers.
#include "kernels/column_partials.cuh"
#include "kernels/norm.h"
#include "kernels/norm_rows.cuh"

namespace ocoee::kernels::cuda {
namespace {

// More than three packs of x, dy and the passing gradient leave too few warps for the memory.
constexpr int kBackwardInWarp = 3;
// Rows on their way from memory while one is worked on, where they are warps.
template <int K>
constexpr int kBackwardAhead = K == 1 ? 2 : 1;

// Each block leaves sums behind, so there are not too many.
unsigned most_blocks(int64_t rows, const RowShape& shape, int multiprocessors) {
  const unsigned each = std::max(1u, 1024 / (shape.threads * shape.rows));
  return static_cast<unsigned>(
      std::min<int64_t>(ceil_div(rows, shape.rows), int64_t{each} * multiprocessors));
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

template <class W, int N>
__device__ inline void add_stored(W (&sums)[N], const W* from) {
  constexpr int kEach = 16 / static_cast<int>(sizeof(W));
#pragma unroll
  for (int i = 0; i < N; i += kEach) {
    const Pack<W, kEach> pack = load<kEach>(from + i);
#pragma unroll
    for (int j = 0; j < kEach; ++j) sums[i + j] += pack.v[j];
  }
}

// Rows are warps. `Again`: y is made once more.
template <class T, int K, bool Again>
__global__ void __launch_bounds__(32 * kWarpRows, 3) norm_backward_kernel(NormBackward a) {
  using W = Wide<T>;
  constexpr int N = kPack<T>;
  extern __shared__ __align__(16) unsigned char shared_bytes[];
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
        if (!first) {
          add_stored<W, N>(d_weight[k], block_sums + at);
          add_stored<W, N>(d_bias[k], block_sums + a.width + at);
        }
        W* const to = last ? partial : block_sums;
        store_sums(to + at, d_weight[k]);
        store_sums(to + a.width + at, d_bias[k]);
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
    store_sums(partial + at, d_weight[k]);
    store_sums(partial + a.width + at, d_bias[k]);
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

void norm_backward(const NormBackward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    RowShape shape =
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
