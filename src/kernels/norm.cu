// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm on the GPU. A row lies in the registers of one warp, or of one block when
// it is wide, so it is read once. Backward blocks walk over many rows and keep their share of the
// weight gradients in registers.
#include <algorithm>

#include "kernels/column_partials.cuh"
#include "kernels/norm.h"

namespace ocoee::kernels::cuda {
namespace {

// How a row is laid over threads.
struct Shape {
  int packs;         // of 16 bytes in each thread: 1, 2 or 4; 0: any width, one element at a time
  unsigned threads;  // of a row
  unsigned rows;     // of a block
};

// Most threads of a block, as each kernel's registers allow.
constexpr int kForwardThreads = 1024;
template <int K>
constexpr int kBackwardThreads = K == 4 ? 128 : 512;  // four packs only where a row is one warp

Shape shape_for(int64_t width, int pack, bool aligned, bool backward) {
  const int64_t packs = width / pack;
  const int64_t most = backward ? 2 * kBackwardThreads<2> : 4 * kForwardThreads;
  if (!aligned || width % pack != 0 || packs > most) {
    const int64_t threads = std::clamp<int64_t>(ceil_div(width, 32) * 32, 32, 1024);
    return {0, static_cast<unsigned>(threads), 1};
  }
  if (packs <= 32) return {1, 32, 4};
  if (packs <= 64) return {2, 32, 4};
  if (packs <= 128) return {4, 32, 4};
  const int each = packs <= 2 * kForwardThreads ? 2 : 4;
  return {each, static_cast<unsigned>(ceil_div(ceil_div(packs, each), 32) * 32), 1};
}

// Blocks of the backward: enough to fill the device, few enough that their partials stay small.
unsigned backward_blocks(int64_t rows, const Shape& shape, int multiprocessors) {
  const unsigned each = std::max(1u, 512 / (shape.threads * shape.rows));
  return static_cast<unsigned>(
      std::min<int64_t>(ceil_div(rows, shape.rows), int64_t{each} * multiprocessors));
}

template <class T, int K>
__global__ void __launch_bounds__(kForwardThreads) norm_forward_kernel(NormForward a) {
  using W = Wide<T>;
  constexpr int N = kPack<T>;
  __shared__ W scratch[64];
  int turn = 0;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;  // whole warps only: rows of one block are warps of their own
  const int64_t base = row * a.width;
  const int packs = static_cast<int>(a.width / N);
  W x[K][N];
  W sum = 0;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int at = k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
    if (at >= packs) continue;
    Pack<T, N> in = load<N>(static_cast<const T*>(a.x) + base + at * N);
    if (a.add) {
      const Pack<T, N> add = load<N>(static_cast<const T*>(a.add) + base + at * N);
#pragma unroll
      for (int i = 0; i < N; ++i) in.v[i] = narrow<T>(widen(in.v[i]) + widen(add.v[i]));
      store<N>(static_cast<T*>(a.sum) + base + at * N, in);
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
      x[k][i] = widen(in.v[i]);
      sum += x[k][i];
    }
  }
  const W scale = W(1) / static_cast<W>(a.width);
  const W mean = a.rms ? W(0) : row_combine(sum, SumOf<W>(), scratch, turn) * scale;
  W square = 0;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x) >= packs) continue;
#pragma unroll
    for (int i = 0; i < N; ++i) square += (x[k][i] - mean) * (x[k][i] - mean);
  }
  const W rstd = W(1) / sqrt(row_combine(square, SumOf<W>(), scratch, turn) * scale +
                             static_cast<W>(a.epsilon));
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int at = k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
    if (at >= packs) continue;
    const Pack<T, N> weight = load<N>(static_cast<const T*>(a.weight) + at * N);
    Pack<T, N> bias{}, y;
    if (a.bias) bias = load<N>(static_cast<const T*>(a.bias) + at * N);
#pragma unroll
    for (int i = 0; i < N; ++i)
      y.v[i] = narrow<T>((x[k][i] - mean) * rstd * widen(weight.v[i]) + widen(bias.v[i]));
    store<N>(static_cast<T*>(a.y) + base + at * N, y);
  }
  if (threadIdx.x == 0) {
    if (a.mean) static_cast<W*>(a.mean)[row] = mean;
    if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
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
  W d_weight[K][N] = {}, d_bias[K][N] = {};
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.y;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; row < a.rows;
       row += stride) {
    const int64_t base = row * a.width;
    const W mean = a.rms ? W(0) : static_cast<const W*>(a.mean)[row];
    const W rstd = static_cast<const W*>(a.rstd)[row];
    W h[K][N], g[K][N];
    Pair<W> sums{0, 0};
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int at = k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
      if (at >= packs) continue;
      const Pack<T, N> x = load<N>(static_cast<const T*>(a.x) + base + at * N);
      const Pack<T, N> dy = load<N>(static_cast<const T*>(a.dy) + base + at * N);
      const Pack<T, N> weight = load<N>(static_cast<const T*>(a.weight) + at * N);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const W d = widen(dy.v[i]);
        h[k][i] = (widen(x.v[i]) - mean) * rstd;
        g[k][i] = d * widen(weight.v[i]);
        d_weight[k][i] += d * h[k][i];
        d_bias[k][i] += d;
        sums.a += g[k][i];
        sums.b += g[k][i] * h[k][i];
      }
    }
    if (!a.dx) continue;
    sums = row_combine(sums, PairSum<W>(), scratch, turn);
    const W mean_g = a.rms ? W(0) : sums.a * scale, mean_gh = sums.b * scale;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int at = k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
      if (at >= packs) continue;
      Pack<T, N> passing{}, dx;
      if (a.d_residual) passing = load<N>(static_cast<const T*>(a.d_residual) + base + at * N);
#pragma unroll
      for (int i = 0; i < N; ++i)
        dx.v[i] = narrow<T>(widen(passing.v[i]) + rstd * (g[k][i] - mean_g - h[k][i] * mean_gh));
      store<N>(static_cast<T*>(a.dx) + base + at * N, dx);
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
        shape_for(a.width, kPack<T>, aligned16(a.x, a.add, a.sum, a.weight, a.bias, a.y), false);
    const dim3 block(shape.threads, shape.rows);
    const unsigned blocks = blocks_for(a.rows, shape.rows);
    switch (shape.packs) {
      case 1:
        norm_forward_kernel<T, 1><<<blocks, block, 0, handle_of(stream)>>>(a);
        break;
      case 2:
        norm_forward_kernel<T, 2><<<blocks, block, 0, handle_of(stream)>>>(a);
        break;
      case 4:
        norm_forward_kernel<T, 4><<<blocks, block, 0, handle_of(stream)>>>(a);
        break;
      default:
        norm_forward_any<T><<<blocks, block, 0, handle_of(stream)>>>(a);
    }
    check_launch("norm_forward");
  });
}

void norm_backward(const NormBackward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    const Shape shape = shape_for(
        a.width, kPack<T>, aligned16(a.x, a.dy, a.weight, a.d_residual, a.dx, a.workspace), true);
    const dim3 block(shape.threads, shape.rows);
    const unsigned blocks = backward_blocks(a.rows, shape, multiprocessor_count(stream.device));
    const size_t bytes = shape.rows > 1 ? 2 * static_cast<size_t>(a.width) * sizeof(W) : 0;
    switch (shape.packs) {
      case 1:
        norm_backward_kernel<T, 1><<<blocks, block, bytes, handle_of(stream)>>>(a);
        break;
      case 2:
        norm_backward_kernel<T, 2><<<blocks, block, bytes, handle_of(stream)>>>(a);
        break;
      case 4:
        norm_backward_kernel<T, 4><<<blocks, block, bytes, handle_of(stream)>>>(a);
        break;
      default:
        norm_backward_any<T><<<blocks, block, 0, handle_of(stream)>>>(a);
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
  const unsigned blocks =
      std::max(backward_blocks(rows, shape_for(width, pack, true, true), multiprocessors),
               backward_blocks(rows, shape_for(width, pack, false, true), multiprocessors));
  return static_cast<size_t>(blocks) * 2 * static_cast<size_t>(width) * size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cuda
