// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm forward on the GPU.
#include "kernels/norm.h"
#include "kernels/norm_rows.cuh"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kForwardInWarp = 8, kAddingInWarp = 4;  // packs of a thread where a row is a warp
// Rows on their way from memory while one is worked on: the fewer packs of each, the more.
template <int K>
constexpr int kForwardAhead = K == 1   ? 4
                              : K == 2 ? 2
                                       : 1;

// Where a row is a block, of two packs a thread or four: the most threads, and how many blocks a
// multiprocessor runs at least.
template <int K>
constexpr int kThreads = K == 2 ? 384 : 512;
template <int K>
constexpr int kBlocks = K == 2 ? 4 : 3;

// `most_in_warp`: packs of a thread where a row is a warp.
RowShape forward_shape(int64_t width, int pack, bool aligned, int most_in_warp) {
  const int64_t packs = width / pack;
  if (!aligned || width % pack != 0 || packs > 4 * kThreads<4>) return any_width(width);
  const int in_a_warp = static_cast<int>(ceil_div(packs, 32));
  if (in_a_warp <= most_in_warp)
    return {in_a_warp <= 4 ? in_a_warp : in_a_warp <= 7 ? 7 : 8, 32, kWarpRows};
  const int each = packs <= 2 * kThreads<2> ? 2 : 4;
  return {each, static_cast<unsigned>(32 * ceil_div(ceil_div(packs, each), 32)), 1};
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
class Part : public RowPlaces<> {
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
        const Pack<W, N> old = widen_all(x[k]), add = widen_all(next_add[0][k]);
        W sum[N];
#pragma unroll
        for (int i = 0; i < N; ++i) sum[i] = old.v[i] + add.v[i];
        x.set(k, narrow_all<T>(sum));
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
        const Pack<W, N> pack = widen_all(x[k]);
#pragma unroll
        for (int i = 0; i < N; ++i) sum += pack.v[i];
      }
      mean = warp_combine(sum, SumOf<W>()) * scale;
      if constexpr (K > 2) x.forget_widened();
    }
    W square = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!x.inside(k, packs)) continue;
      const Pack<W, N> pack = widen_all(x[k]);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const W d = pack.v[i] - mean;
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
      x.set(k, normalised<T, N>(x[k], mean, rstd, weight[k], widen_all(bias[k])));
    }
    x.write(a.y, row, a.width);
    if (threadIdx.x == 0) {
      if (a.mean) static_cast<W*>(a.mean)[row] = mean;
      if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
    }
  }
}

constexpr int kForwardPlaces = 3;
template <class T, int K, bool Adds>
__global__ void __launch_bounds__(kThreads<K>, Adds ? 1 : kBlocks<K>)
    norm_forward_over_block(NormForward a) {
  using W = Wide<T>;
  using P = RowPlaces<>;
  constexpr int N = kPack<T>;
  __shared__ W scratch[64];
  extern __shared__ uint4 shared[];
  int turn = 0, here = 0;
  const int packs = static_cast<int>(a.width / N);
  const W scale = W(1) / static_cast<W>(a.width);
  Waiting<T, K, Adds ? 2 : 1> waiting(shared);
  const auto send = [&](int place, int64_t row) {
    if (row < a.rows) {
      const int64_t at = row * a.width + P::index(0) * N;
      waiting.send(place, 0, static_cast<const T*>(a.x) + at, packs);
      if constexpr (Adds) waiting.send(place, 1, static_cast<const T*>(a.add) + at, packs);
    }
    __pipeline_commit();
  };
  constexpr bool kKeeps = Adds && K <= 2;  // weight and bias in registers, else read for each row
  Pack<T, N> weight[kKeeps ? K : 1], bias[kKeeps ? K : 1];
  const auto of = [&](const void* array, int k) {
    return array && P::inside(k, packs) ? load<N>(static_cast<const T*>(array) + P::index(k) * N)
                                        : Pack<T, N>{};
  };
  if constexpr (kKeeps) {
#pragma unroll
    for (int k = 0; k < K; ++k) weight[k] = of(a.weight, k), bias[k] = of(a.bias, k);
  }
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
      Pack<T, N> x = waiting(here, 0, k);
      if constexpr (Adds) {
        const Pack<W, N> old = widen_all(x), add = widen_all(waiting(here, 1, k));
        W both[N];
#pragma unroll
        for (int i = 0; i < N; ++i) both[i] = old.v[i] + add.v[i];
        x = narrow_all<T>(both);
        waiting.set(here, 0, k, x);
        store<N>(static_cast<T*>(a.sum) + row * a.width + P::index(k) * N, x);
      }
      const Pack<W, N> pack = widen_all(x);
#pragma unroll
      for (int i = 0; i < N; ++i) sum += pack.v[i];
    }
    const W mean = a.rms ? W(0) : row_combine(sum, SumOf<W>(), scratch, turn) * scale;
    W square = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      const Pack<W, N> pack = widen_all(waiting(here, 0, k));
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const W d = pack.v[i] - mean;
        square += d * d;
      }
    }
    const W rstd = W(1) / sqrt(row_combine(square, SumOf<W>(), scratch, turn) * scale +
                               static_cast<W>(a.epsilon));
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!P::inside(k, packs)) continue;
      if constexpr (!kKeeps) weight[0] = of(a.weight, k), bias[0] = of(a.bias, k);
      const int kept = kKeeps ? k : 0;
      store<N>(
          static_cast<T*>(a.y) + row * a.width + P::index(k) * N,
          normalised<T, N>(waiting(here, 0, k), mean, rstd, weight[kept], widen_all(bias[kept])));
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
    store<1>(
        static_cast<T*>(a.y) + base + i,
        normalised<T, 1>(load<1>(x + i), mean, rstd, load<1>(static_cast<const T*>(a.weight) + i),
                         widened_or_zeros<1>(static_cast<const T*>(a.bias), i)));
  }
  if (threadIdx.x == 0) {
    if (a.mean) static_cast<W*>(a.mean)[row] = mean;
    if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
  }
}

}  // namespace

void norm_forward(const NormForward& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int arrays = a.add ? 2 : 1;
    const RowShape shape =
        forward_shape(a.width, kPack<T>, aligned16(a.x, a.add, a.sum, a.weight, a.bias, a.y),
                      a.add ? kAddingInWarp : kForwardInWarp);
    const auto launch = [&](auto* kernel, const RowShape& taken, size_t bytes) {
      const unsigned blocks =
          blocks_at_once(kernel, a.rows, taken, bytes, multiprocessor_count(stream.device));
      kernel<<<blocks, dim3(taken.threads, taken.rows), bytes, handle_of(stream)>>>(a);
    };
    const size_t bytes = shape.over_block() ? shape.waiting_bytes(kForwardPlaces * arrays) : 0;
    if (shape.packs == 0 || bytes > shared_memory_of_a_block(stream.device)) {
      const dim3 block(any_width(a.width).threads);
      norm_forward_any<T><<<static_cast<unsigned>(a.rows), block, 0, handle_of(stream)>>>(a);
    } else {
      with_packs(shape.packs, [&](auto packs) {
        constexpr int K = decltype(packs)::value;
        if constexpr (K == 2 || K == 4) {
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

}  // namespace ocoee::kernels::cuda
