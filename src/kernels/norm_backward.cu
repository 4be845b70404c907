// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm backward on the GPU. A block keeps its share of the weight gradients in
// registers.
#include "kernels/column_partials.cuh"
#include "kernels/norm.h"
#include "kernels/norm_rows.cuh"

namespace ocoee::kernels::cuda {
namespace {

// Packs of a thread: few, so that many rows are on their way; their share of the weight, of the
// bias and of both's gradients stays in registers. `Threads` of a row; 0: known at run time.
constexpr int kMostThreads = 384;
// Threads of a multiprocessor that leave room for these registers; `Again`: with the bias.
template <int K, bool Again>
constexpr int kThreadsAtOnce = K == 1   ? (Again ? 640 : 768)
                               : K == 2 ? 512
                               : K == 3 ? 256
                                        : kMostThreads;
template <int Threads>
constexpr int kBlockThreads = Threads == 0    ? kMostThreads
                              : Threads == 32 ? 32 * kWarpRows
                                              : Threads;

RowShape backward_shape(int64_t width, int pack, bool aligned) {
  const int64_t packs = width / pack;
  if (!aligned || width % pack != 0 || packs > 4 * kMostThreads) return any_width(width);
  const auto in_a_warp = static_cast<int>(ceil_div(packs, 32));
  if (in_a_warp <= 3) return {in_a_warp, 32, kWarpRows};
  const int each = packs <= 2 * kMostThreads ? 2 : 4;
  return {each, static_cast<unsigned>(32 * ceil_div(packs, 32 * each)), 1};
}

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
  const Pack<W, N> wide = widen_all(x), gradient = widen_all(dy), w = widen_all(weight);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const W d = gradient.v[i], h = (wide.v[i] - mean) * rstd, g = d * w.v[i];
    d_weight[i] += d * h;
    d_bias[i] += d;
    sums.a += g;
    sums.b += g * h;
  }
}
template <class T, int N>
__device__ inline Pack<T, N> input_gradient(const Pack<T, N>& x, const Pack<T, N>& dy,
                                            const Pack<T, N>& weight,
                                            const Pack<Wide<T>, N>& passing, Wide<T> mean,
                                            Wide<T> rstd, Wide<T> mean_g, Wide<T> mean_gh) {
  using W = Wide<T>;
  const Pack<W, N> wide = widen_all(x), gradient = widen_all(dy), w = widen_all(weight);
  const W by_x = -rstd * rstd * mean_gh, by_one = rstd * mean_g;
  W dx[N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const W g = gradient.v[i] * w.v[i];
    dx[i] = (wide.v[i] - mean) * by_x + (passing.v[i] + (rstd * g - by_one));
  }
  return narrow_all<T>(dx);
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

// Two rows wait in shared memory: one that is worked on, the other on its way; more of them are no
// quicker.
enum Array : int { kX, kDy, kPassing, kArrays };
constexpr int kPlaces = 2;

// `Again`: y is made once more.
template <class T, int K, int Threads, bool Again>
__global__ void __launch_bounds__(kBlockThreads<Threads>,
                                  kThreadsAtOnce<K, Again> / kBlockThreads<Threads>)
    norm_backward_kernel(NormBackward a) {
  using W = Wide<T>;
  using P = RowPlaces<Threads>;
  constexpr int N = kPack<T>;
  __shared__ Pair<W> scratch[64];
  extern __shared__ uint4 shared[];
  int turn = 0, here = 0;
  const int packs = static_cast<int>(a.width / N);
  const W scale = W(1) / static_cast<W>(a.width);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.y;
  W d_weight[K][N] = {}, d_bias[K][N] = {};
  // Read once: read again for each row, they cost a tenth of the time.
  Pack<T, N> weight[K], bias[Again ? K : 1];
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const bool inside = P::inside(k, packs);
    const int column = P::index(k) * N;
    weight[k] = inside ? load<N>(static_cast<const T*>(a.weight) + column) : Pack<T, N>{};
    if constexpr (Again)
      bias[k] = inside && a.bias ? load<N>(static_cast<const T*>(a.bias) + column) : Pack<T, N>{};
  }
  Waiting<T, K, kArrays, Threads> waiting(shared +
                                          threadIdx.y * (kPlaces * kArrays * K * P::threads()));
  W next_mean = 0, next_rstd = 0;
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y, sent = row;
  // This thread's first packs, of the row that is sent next and of the one that is worked on.
  int64_t sent_at = row * a.width + P::index(0) * N, at = sent_at;
  const int64_t step = stride * a.width;
  const auto send = [&](int place) {
    if (sent < a.rows) {
      waiting.send(place, kX, static_cast<const T*>(a.x) + sent_at, packs);
      waiting.send(place, kDy, static_cast<const T*>(a.dy) + sent_at, packs);
      if (a.d_residual)
        waiting.send(place, kPassing, static_cast<const T*>(a.d_residual) + sent_at, packs);
      if (!a.rms) next_mean = static_cast<const W*>(a.mean)[sent];
      next_rstd = static_cast<const W*>(a.rstd)[sent];
    }
    __pipeline_commit();
    sent += stride, sent_at += step;
  };
  send(here);
  for (; row < a.rows; row += stride, at += step, here ^= 1) {
    const W mean = next_mean, rstd = next_rstd;
    send(here ^ 1);
    __pipeline_wait_prior(kPlaces - 1);
    Pair<W> sums{0, 0};
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (P::inside(k, packs))
        add_to_sums<T, N>(waiting(here, kX, k), waiting(here, kDy, k), weight[k], mean, rstd,
                          d_weight[k], d_bias[k], sums);
    }
    if (!a.dx) continue;
    sums = row_combine<Threads>(sums, PairSum<W>(), scratch, turn);
    const W mean_g = a.rms ? W(0) : sums.a * scale, mean_gh = sums.b * scale;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      const Pack<T, N> x = waiting(here, kX, k);
      Pack<W, N> passing{};
      if (a.d_residual) passing = widen_all(waiting(here, kPassing, k));
      const int64_t here_at = at + k * P::threads() * N;
      store<N>(static_cast<T*>(a.dx) + here_at,
               input_gradient<T, N>(x, waiting(here, kDy, k), weight[k], passing, mean, rstd,
                                    mean_g, mean_gh));
      if constexpr (Again)
        store<N>(static_cast<T*>(a.y) + here_at,
                 normalised<T, N>(x, mean, rstd, weight[k], widen_all(bias[k])));
    }
  }
  if (!a.d_weight && !a.d_bias) return;
  // The rows of a block add up in order; then the block's part goes out.
  if (blockDim.y > 1) __syncthreads();  // no row waits any more
  W* block_sums = reinterpret_cast<W*>(shared);
  W* partial = static_cast<W*>(a.workspace) + static_cast<int64_t>(blockIdx.x) * 2 * a.width;
  for (unsigned y = 0; y < blockDim.y; ++y) {
    if (threadIdx.y == y) {
      const bool first = y == 0, last = y + 1 == blockDim.y;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        if (!P::inside(k, packs)) continue;
        const int column = P::index(k) * N;
        if (!first) {
          add_stored<W, N>(d_weight[k], block_sums + column);
          add_stored<W, N>(d_bias[k], block_sums + a.width + column);
        }
        W* const to = last ? partial : block_sums;
        store_sums(to + column, d_weight[k]);
        store_sums(to + a.width + column, d_bias[k]);
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
      if (!a.y) continue;
      store<1>(static_cast<T*>(a.y) + base + i,
               normalised<T, 1>(load<1>(static_cast<const T*>(a.x) + base + i), mean, rstd,
                                load<1>(static_cast<const T*>(a.weight) + i),
                                widened_or_zeros<1>(static_cast<const T*>(a.bias), i)));
    }
  }
}

template <int I>
using Constant = std::integral_constant<int, I>;

}  // namespace

void norm_backward(const NormBackward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    RowShape shape = backward_shape(
        a.width, kPack<T>,
        aligned16(a.x, a.dy, a.weight, a.d_residual, a.dx, a.y, a.bias, a.workspace));
    const size_t waiting = shape.waiting_bytes(kPlaces * kArrays);
    if (waiting > shared_memory_of_a_block(stream.device)) shape = any_width(a.width);
    const int multiprocessors = multiprocessor_count(stream.device);
    unsigned blocks = 0;
    const auto launch = [&](auto* kernel, size_t bytes) {
      blocks = std::min(blocks_at_once(kernel, a.rows, shape, bytes, multiprocessors),
                        most_blocks(a.rows, shape, multiprocessors));
      kernel<<<blocks, dim3(shape.threads, shape.rows), bytes, handle_of(stream)>>>(a);
    };
    const auto launch_of = [&](auto packs, auto threads) {
      constexpr int K = decltype(packs)::value, kThreads = decltype(threads)::value;
      a.y ? launch(norm_backward_kernel<T, K, kThreads, true>, waiting)
          : launch(norm_backward_kernel<T, K, kThreads, false>, waiting);
    };
    // Threads that are known to the compiler make most addresses a constant away from another, and
    // the sum over warps is not a loop.
    if (shape.packs == 0) {
      launch(norm_backward_any<T>, 0);
    } else if (shape.threads == 32) {
      if (shape.packs == 1) launch_of(Constant<1>(), Constant<32>());
      if (shape.packs == 2) launch_of(Constant<2>(), Constant<32>());
      if (shape.packs == 3) launch_of(Constant<3>(), Constant<32>());
    } else if (shape.packs == 2) {
      if (shape.threads == 64)
        launch_of(Constant<2>(), Constant<64>());
      else if (shape.threads == 128)
        launch_of(Constant<2>(), Constant<128>());
      else if (shape.threads == 384)
        launch_of(Constant<2>(), Constant<384>());
      else
        launch_of(Constant<2>(), Constant<0>());
    } else {
      launch_of(Constant<4>(), Constant<0>());
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
  const unsigned blocks =
      std::max(most_blocks(rows, backward_shape(width, pack, true), multiprocessors),
               most_blocks(rows, any_width(width), multiprocessors));
  return static_cast<size_t>(blocks) * 2 * static_cast<size_t>(width) * size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cuda
