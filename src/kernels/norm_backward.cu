// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm backward on the GPU. A block keeps its share of the weight gradients in
// registers.
#include "kernels/column_partials.cuh"
#include "kernels/norm.h"
#include "kernels/norm_rows.cuh"

namespace ocoee::kernels::cuda {
namespace {

// Packs of a thread: where a row is a warp as few as hold it, where it is a block as many as leave
// room for the sums of as many columns.
constexpr int kMostPacks = 4;
template <int K>
constexpr int kMostThreads = K == kMostPacks ? 384 : 32 * kWarpRows;
template <int K>
constexpr int kLeastBlocks = K == 1   ? 7
                             : K == 2 ? 5
                             : K == 3 ? 4
                                      : 1;

RowShape backward_shape(int64_t width, int pack, bool aligned) {
  const int64_t packs = width / pack;
  if (!aligned || width % pack != 0 || packs > kMostPacks * kMostThreads<kMostPacks>)
    return any_width(width);
  const int64_t in_a_warp = ceil_div(packs, 32);
  if (in_a_warp <= kMostPacks) return {static_cast<int>(in_a_warp), 32, kWarpRows};
  return {kMostPacks, static_cast<unsigned>(32 * ceil_div(packs, 32 * kMostPacks)), 1};
}

// Of a multiprocessor. Each block leaves sums behind, so there are not too many.
int blocks_each(const RowShape& shape) {
  const int threads = static_cast<int>(shape.threads * shape.rows);
  if (shape.packs == 0) return std::max(1, 1024 / threads);
  constexpr int kLeast[] = {0, kLeastBlocks<1>, kLeastBlocks<2>, kLeastBlocks<3>};
  return shape.packs < kMostPacks ? kLeast[shape.packs] : kMostThreads<kMostPacks> / threads;
}
unsigned most_blocks(int64_t rows, const RowShape& shape, int multiprocessors) {
  return static_cast<unsigned>(
      std::min<int64_t>(ceil_div(rows, shape.rows), int64_t{blocks_each(shape)} * multiprocessors));
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

// `Places` of rows in shared memory: one that is worked on, the others on their way. `Again`: y is
// made once more.
enum Array : int { kX, kDy, kPassing, kArrays };
template <class T, int K, int Threads, bool Again, int Places>
__global__ void __launch_bounds__(kMostThreads<K>, kLeastBlocks<K>)
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
  Waiting<T, K, kArrays, Threads> waiting(shared +
                                          threadIdx.y * (Places * kArrays * K * P::threads()));
  W means[Places] = {}, rstds[Places] = {};  // of the row that is worked on, and of those to come
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y, sent = row;
  // This thread's first packs, of the row that is sent next, of the one that is worked on, and of
  // every row.
  int64_t sent_at = row * a.width + P::index(0) * N, at = sent_at;
  const int64_t step = stride * a.width;
  const T* const weights = static_cast<const T*>(a.weight) + P::index(0) * N;
  const auto send = [&](int place, int ahead) {
    if (sent < a.rows) {
      waiting.send(place, kX, static_cast<const T*>(a.x) + sent_at, packs);
      waiting.send(place, kDy, static_cast<const T*>(a.dy) + sent_at, packs);
      if (a.d_residual)
        waiting.send(place, kPassing, static_cast<const T*>(a.d_residual) + sent_at, packs);
      if (!a.rms) means[ahead] = static_cast<const W*>(a.mean)[sent];
      rstds[ahead] = static_cast<const W*>(a.rstd)[sent];
    }
    __pipeline_commit();
    sent += stride, sent_at += step;
  };
  const auto weight = [&](int k) { return load<N>(weights + k * P::threads() * N); };
#pragma unroll
  for (int i = 0; i + 1 < Places; ++i) send(i, i + 1);
  for (; row < a.rows; row += stride, at += step, here = here + 1 == Places ? 0 : here + 1) {
#pragma unroll
    for (int i = 0; i + 1 < Places; ++i) means[i] = means[i + 1], rstds[i] = rstds[i + 1];
    const W mean = means[0], rstd = rstds[0];
    send(here == 0 ? Places - 1 : here - 1, Places - 1);
    __pipeline_wait_prior(Places - 1);
    Pair<W> sums{0, 0};
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (P::inside(k, packs))
        add_to_sums<T, N>(waiting(here, kX, k), waiting(here, kDy, k), weight(k), mean, rstd,
                          d_weight[k], d_bias[k], sums);
    }
    if (!a.dx) continue;
    sums = Threads == 32 ? warp_combine(sums, PairSum<W>())
                         : row_combine(sums, PairSum<W>(), scratch, turn);
    const W mean_g = a.rms ? W(0) : sums.a * scale, mean_gh = sums.b * scale;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      const Pack<T, N> x = waiting(here, kX, k);
      Pack<W, N> passing{};
      if (a.d_residual) passing = widen_all(waiting(here, kPassing, k));
      const int64_t here_at = at + k * P::threads() * N;
      store<N>(static_cast<T*>(a.dx) + here_at,
               input_gradient<T, N>(x, waiting(here, kDy, k), weight(k), passing, mean, rstd,
                                    mean_g, mean_gh));
      if constexpr (Again)
        store<N>(
            static_cast<T*>(a.y) + here_at,
            normalised<T, N>(x, mean, rstd, weight(k),
                             widened_or_zeros<N>(static_cast<const T*>(a.bias), P::index(k) * N)));
    }
  }
  if (!a.d_weight && !a.d_bias) return;
  // The rows of a block add up in order; then the block's part goes out.
  if (blockDim.y > 1) __syncthreads();  // no row waits any more
  W* block_sums = reinterpret_cast<W*>(shared);
  W* partial = static_cast<W*>(a.workspace) + static_cast<int64_t>(blockIdx.x) * 2 * a.width;
  for (unsigned turn_of = 0; turn_of < blockDim.y; ++turn_of) {
    if (threadIdx.y == turn_of) {
      const bool first = turn_of == 0, last = turn_of + 1 == blockDim.y;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        if (!P::inside(k, packs)) continue;
        const int at = P::index(k) * N;
        if (!first) {
          add_stored<W, N>(d_weight[k], block_sums + at);
          add_stored<W, N>(d_bias[k], block_sums + a.width + at);
        }
        W* const to = last ? partial : block_sums;
        store_sums(to + at, d_weight[k]);
        store_sums(to + a.width + at, d_bias[k]);
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

}  // namespace

void norm_backward(const NormBackward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    RowShape shape = backward_shape(
        a.width, kPack<T>,
        aligned16(a.x, a.dy, a.weight, a.d_residual, a.dx, a.y, a.bias, a.workspace));
    if (shape.waiting_bytes(2 * kArrays) > shared_memory_of_a_block(stream.device))
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
        if constexpr (K <= kMostPacks) {
          const size_t two = shape.waiting_bytes(2 * kArrays),
                       three = shape.waiting_bytes(3 * kArrays);
          const bool fit = static_cast<size_t>(blocks_each(shape)) * (three + kDeclared) <=
                           shared_memory_of_a_multiprocessor(stream.device);
          const auto launch_with = [&](auto threads, auto again) {
            constexpr int kThreads = decltype(threads)::value;
            constexpr bool kAgain = decltype(again)::value;
            fit ? launch(norm_backward_kernel<T, K, kThreads, kAgain, 3>, three)
                : launch(norm_backward_kernel<T, K, kThreads, kAgain, 2>, two);
          };
          const auto launch_of = [&](auto threads) {
            a.y ? launch_with(threads, std::true_type()) : launch_with(threads, std::false_type());
          };
          // Known to the compiler, so that most addresses are a constant away from another.
          if (shape.threads == 32) return launch_of(std::integral_constant<int, 32>());
          if constexpr (K == kMostPacks) {
            if (shape.threads == 64) return launch_of(std::integral_constant<int, 64>());
            launch_of(std::integral_constant<int, 0>());
          }
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
  const unsigned blocks =
      std::max(most_blocks(rows, backward_shape(width, pack, true), multiprocessors),
               most_blocks(rows, any_width(width), multiprocessors));
  return static_cast<size_t>(blocks) * 2 * static_cast<size_t>(width) * size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cuda
