// SPDX-License-Identifier: Apache-2.0
// One online pass finds maximum and sum of a row (Milakov, Gimelshein 2018); the second writes the
// gradient. A long row waits between them in shared memory; one that does not fit there, or is
// short, is read again, backwards through what the cache still holds. So the logits cross the
// memory bus once each way.
#include "kernels/cross_entropy.h"

#include <cuda_pipeline_primitives.h>

#include "kernels/cuda_support.cuh"

namespace ocoee::kernels::cuda {
namespace {

template <class W>
struct Online {  // sum of exp(z - maximum)
  W maximum, sum;
  __device__ Online shuffle_xor(int offset) const {
    return {__shfl_xor_sync(0xffffffffu, maximum, offset),
            __shfl_xor_sync(0xffffffffu, sum, offset)};
  }
};

__device__ inline float power_e(float x) {
  return exp2f(x * 1.44269504088896341f);
}
__device__ inline double power_e(double x) {
  return exp(x);
}

template <class W>
struct OnlineSum {
  __device__ Online<W> operator()(Online<W> a, Online<W> b) const {
    const W maximum = a.maximum > b.maximum ? a.maximum : b.maximum;
    // Equal maxima need no factor, and -infinity (a lane that saw masked columns or nothing) has
    // none; a NaN sum stays NaN.
    const W left = a.maximum == maximum ? a.sum : a.sum * power_e(a.maximum - maximum);
    const W right = b.maximum == maximum ? b.sum : b.sum * power_e(b.maximum - maximum);
    return {maximum, left + right};
  }
};

template <class T, int N, class F>
__device__ inline void for_each_pack_forward(const T* row, int64_t columns, const F& f) {
  const int64_t packs = columns / N;
#pragma unroll 4
  for (int64_t p = threadIdx.x; p < packs; p += blockDim.x) f(load<N>(row + p * N));
}

template <class T, int N>
__device__ Online<Wide<T>> row_statistics(const T* row, int64_t columns, Online<Wide<T>>* scratch,
                                          int& turn) {
  using W = Wide<T>;
  const W nothing = -static_cast<W>(INFINITY);
  Online<W> own{nothing, 0};
  const auto add = [&own](const W* z, int count) {
    W largest = z[0];
    for (int k = 1; k < count; ++k) largest = z[k] > largest ? z[k] : largest;
    if (largest > own.maximum) {
      own.sum = own.sum == W(0) ? W(0) : own.sum * power_e(own.maximum - largest);
      own.maximum = largest;
    }
    // A row of -infinity or NaN: keep the difference from becoming (-infinity) - (-infinity) for
    // the first alone.
    for (int k = 0; k < count; ++k)
      own.sum += z[k] == own.maximum ? W(1) : power_e(z[k] - own.maximum);
  };
  for_each_pack_forward<T, N>(row, columns, [&](const Pack<T, N>& pack) {
    W z[N];
#pragma unroll
    for (int k = 0; k < N; ++k) z[k] = widen(pack.v[k]);
    add(z, N);
  });
  for (int64_t i = columns / N * N + threadIdx.x; i < columns; i += blockDim.x) {
    const W z = widen(row[i]);
    add(&z, 1);
  }
  return row_combine(own, OnlineSum<W>(), scratch, turn);
}

// Writes factor * (exp(z - maximum) / sum - [column = target]), and zeros to the padding.
template <class T, int N>
__device__ void write_gradient(T* row, int64_t columns, int64_t stride, Online<Wide<T>> statistics,
                               Wide<T> factor, int64_t target) {
  using W = Wide<T>;
  const W share = factor / statistics.sum;
  const int64_t packs = columns / N;
  const auto gradient = [&](W z, int64_t column) {
    const W value = power_e(z - statistics.maximum) * share;
    return narrow<T>(column == target ? value - factor : value);
  };
  for (int64_t i = packs * N + threadIdx.x; i < stride; i += blockDim.x)
    row[i] = i < columns ? gradient(widen(row[i]), i) : narrow<T>(W(0));
  // The last packs were read last, so they are the most likely still in the cache.
  const int64_t rounds = (packs + blockDim.x - 1) / blockDim.x;
#pragma unroll 4
  for (int64_t round = rounds - 1; round >= 0; --round) {
    const int64_t p = round * blockDim.x + threadIdx.x;
    if (p >= packs) continue;
    Pack<T, N> pack = load<N>(row + p * N);
#pragma unroll
    for (int k = 0; k < N; ++k) pack.v[k] = gradient(widen(pack.v[k]), p * N + k);
    store<N>(row + p * N, pack);
  }
}

template <class T>
__device__ void zero_row(T* row, int64_t stride) {
  for (int64_t i = threadIdx.x; i < stride; i += blockDim.x) row[i] = narrow<T>(Wide<T>(0));
}

template <class T, int N>
__global__ void cross_entropy_kernel(CrossEntropy a) {
  using W = Wide<T>;
  __shared__ Online<W> scratch[64];
  int turn = 0;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;
  T* logits = static_cast<T*>(a.logits) + row * a.row_stride;
  W* losses = static_cast<W*>(a.losses);
  const int64_t target = a.targets[row];
  if (target < 0) {
    if (threadIdx.x == 0) losses[row] = 0;
    if (a.gradient) zero_row(logits, a.row_stride);
    return;
  }
  const W at_target = target < a.columns ? widen(logits[target]) : W(0);
  const W weight = a.weights ? static_cast<W>(a.weights[row]) : W(1);
  const W scale = static_cast<W>(a.scale ? *a.scale : 1.0);
  const Online<W> statistics = row_statistics<T, N>(logits, a.columns, scratch, turn);
  if (threadIdx.x == 0) {
    losses[row] = target < a.columns
                      ? weight * (log(statistics.sum) + (statistics.maximum - at_target))
                      : static_cast<W>(NAN);
  }
  if (!a.gradient) return;
  // The target's logit has been read by all threads before any of them overwrites it.
  if (blockDim.x == 32) {
    __syncwarp();
  } else {
    __syncthreads();
  }
  write_gradient<T, N>(logits, a.columns, a.row_stride, statistics, scale * weight, target);
}

constexpr int kRowThreads = 512;
constexpr int kAhead = 8;  // packs of a thread on their way from memory at once

// A block a row, which comes to shared memory by itself and lies there from the first pass to the
// second. `columns` is a multiple of N.
template <class T, int N>
__global__ void __launch_bounds__(kRowThreads, 2) cross_entropy_in_shared(CrossEntropy a) {
  using W = Wide<T>;
  constexpr W kLog2E = W(DeviceExponential::kLog);
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  T* kept = reinterpret_cast<T*>(shared_bytes);
  __shared__ Online<W> scratch[64];
  int turn = 0;
  const int64_t row = blockIdx.x;
  T* logits = static_cast<T*>(a.logits) + row * a.row_stride;
  W* losses = static_cast<W*>(a.losses);
  const int64_t target = a.targets[row];
  if (target < 0) {
    if (threadIdx.x == 0) losses[row] = 0;
    if (a.gradient) zero_row(logits, a.row_stride);
    return;
  }
  const int packs = static_cast<int>(a.columns / N);
  const auto send = [&](int p) {
    if (p < packs) __pipeline_memcpy_async(kept + p * N, logits + p * N, sizeof(Pack<T, N>));
    __pipeline_commit();
  };
#pragma unroll
  for (int u = 0; u < kAhead; ++u) send(static_cast<int>(threadIdx.x) + u * kRowThreads);
  Online<W> own{W(-2e38), 0};  // finite, as its shift is: -infinity less that is -infinity
  for (int p = static_cast<int>(threadIdx.x); p < packs; p += kRowThreads) {
    send(p + kAhead * kRowThreads);
    __pipeline_wait_prior(kAhead);
    const Pack<W, N> z = widen_all(load<N>(kept + p * N));
    W largest = z.v[0];
#pragma unroll
    for (int k = 1; k < N; ++k) largest = z.v[k] > largest ? z.v[k] : largest;
    if (largest > own.maximum) {
      own.sum *= power_two((own.maximum - largest) * kLog2E);
      own.maximum = largest;
    }
    const W shift = own.maximum * kLog2E;
#pragma unroll
    for (int k = 0; k < N; ++k) own.sum += power_two(z.v[k] * kLog2E - shift);
  }
  const Online<W> all = row_combine<kRowThreads>(own, OnlineSum<W>(), scratch, turn);
  __syncthreads();  // the row is there
  const W weight = a.weights ? static_cast<W>(a.weights[row]) : W(1);
  if (threadIdx.x == 0) {
    losses[row] = target < a.columns ? weight * (log(all.sum) + (all.maximum - widen(kept[target])))
                                     : static_cast<W>(NAN);
  }
  if (!a.gradient) return;
  const W factor = static_cast<W>(a.scale ? *a.scale : 1.0) * weight, share = factor / all.sum;
  const W shift = all.maximum * kLog2E;
  const int target_pack = target < a.columns ? static_cast<int>(target / N) : -1;
  for (int p = static_cast<int>(threadIdx.x); p < packs; p += kRowThreads) {
    const Pack<W, N> z = widen_all(load<N>(kept + p * N));
    W value[N];
#pragma unroll
    for (int k = 0; k < N; ++k) value[k] = power_two(z.v[k] * kLog2E - shift) * share;
    if (p == target_pack) {
#pragma unroll
      for (int k = 0; k < N; ++k) value[k] -= k == target % N ? factor : W(0);
    }
    store<N>(logits + static_cast<int64_t>(p) * N, narrow_all<T>(value));
  }
  for (int64_t i = a.columns + threadIdx.x; i < a.row_stride; i += blockDim.x)
    logits[i] = narrow<T>(W(0));
}

template <class T, int N>
__global__ void statistics_kernel(PartialCrossEntropy a) {
  using W = Wide<T>;
  __shared__ Online<W> scratch[64];
  int turn = 0;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;
  const T* logits = static_cast<const T*>(a.logits) + row * a.row_stride;
  const Online<W> statistics = row_statistics<T, N>(logits, a.columns, scratch, turn);
  if (threadIdx.x != 0) return;
  static_cast<W*>(a.maximum)[row] = statistics.maximum;
  static_cast<W*>(a.sum)[row] = statistics.sum;
  const int64_t target = a.targets[row] - a.first_column;
  const bool here = a.targets[row] >= 0 && target >= 0 && target < a.columns;
  static_cast<W*>(a.target_logit)[row] = here ? widen(logits[target]) : W(0);
}

template <class W>
__global__ void rebase_kernel(const W* from, const W* to, W* sum, int64_t rows) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < rows) sum[row] *= power_e(from[row] - to[row]);
}

template <class T, int N>
__global__ void partial_gradient_kernel(PartialCrossEntropy a) {
  using W = Wide<T>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.rows) return;
  T* logits = static_cast<T*>(a.logits) + row * a.row_stride;
  W* losses = static_cast<W*>(a.losses);
  const int64_t target = a.targets[row];
  if (target < 0) {
    if (threadIdx.x == 0) losses[row] = 0;
    zero_row(logits, a.row_stride);
    return;
  }
  const Online<W> statistics{static_cast<const W*>(a.maximum)[row],
                             static_cast<const W*>(a.sum)[row]};
  const W weight = a.weights ? static_cast<W>(a.weights[row]) : W(1);
  const W scale = static_cast<W>(a.scale ? *a.scale : 1.0);
  if (threadIdx.x == 0) {
    const W at_target = static_cast<const W*>(a.target_logit)[row];
    losses[row] = target < a.all_columns
                      ? weight * (log(statistics.sum) + (statistics.maximum - at_target))
                      : static_cast<W>(NAN);
  }
  write_gradient<T, N>(logits, a.columns, a.row_stride, statistics, scale * weight,
                       target - a.first_column);
}

// A warp for each row of a small vocabulary, a block for each row of a large one.
dim3 block_for(int64_t columns, int pack) {
  if (columns <= 1024) return dim3(32, 4);
  const int64_t packs = ceil_div(columns, pack);
  return dim3(packs >= 2048 ? 512 : 256, 1);
}

// Calls launch(TypeTag<T>, pack size, blocks, threads of a block).
template <class Arguments, class Launch>
void launch_rows(const Arguments& a, const char* name, const Launch& launch) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = kPack<T>;
    const bool packed = a.row_stride % N == 0 && aligned16(a.logits);
    const dim3 block = block_for(a.columns, packed ? N : 1);
    const dim3 grid(blocks_for(a.rows, block.y));
    if (packed) {
      launch(tag, std::integral_constant<int, N>(), grid, block);
    } else {
      launch(tag, std::integral_constant<int, 1>(), grid, block);
    }
    check_launch(name);
  });
}

}  // namespace

namespace {

// Bytes of shared memory that a row takes; 0: it is short, odd or too long.
template <class T>
size_t row_in_shared(const CrossEntropy& a) {
  constexpr int N = kPack<T>;
  constexpr size_t kReserved = 4096;  // for what the kernel declares itself, and the system
  const size_t bytes = static_cast<size_t>(a.columns) * sizeof(T);
  if (a.columns < 8 * kRowThreads || a.columns % N != 0 || a.row_stride % N != 0 ||
      !aligned16(a.logits))
    return 0;
  int device = 0, most = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return bytes + kReserved <= static_cast<size_t>(most) ? bytes : 0;
}

}  // namespace

void cross_entropy(const CrossEntropy& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  bool done = false;
  with_float_type(a.dtype, "cross_entropy", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const size_t bytes = row_in_shared<T>(a);
    if (bytes == 0) return;
    auto* kernel = cross_entropy_in_shared<T, kPack<T>>;
    allow_shared_memory(kernel, bytes);
    kernel<<<static_cast<unsigned>(a.rows), kRowThreads, bytes, handle_of(stream)>>>(a);
    check_launch("cross_entropy");
    done = true;
  });
  if (done) return;
  launch_rows(a, "cross_entropy", [&](auto tag, auto pack, dim3 grid, dim3 block) {
    cross_entropy_kernel<typename decltype(tag)::type, decltype(pack)::value>
        <<<grid, block, 0, handle_of(stream)>>>(a);
  });
}

void cross_entropy_statistics(const PartialCrossEntropy& a, const device::Stream& stream) {
  launch_rows(a, "cross_entropy_statistics", [&](auto tag, auto pack, dim3 grid, dim3 block) {
    statistics_kernel<typename decltype(tag)::type, decltype(pack)::value>
        <<<grid, block, 0, handle_of(stream)>>>(a);
  });
}

void cross_entropy_gradient(const PartialCrossEntropy& a, const device::Stream& stream) {
  launch_rows(a, "cross_entropy_gradient", [&](auto tag, auto pack, dim3 grid, dim3 block) {
    partial_gradient_kernel<typename decltype(tag)::type, decltype(pack)::value>
        <<<grid, block, 0, handle_of(stream)>>>(a);
  });
}

void cross_entropy_rebase(const PartialCrossEntropy& a, const void* common,
                          const device::Stream& stream) {
  if (a.rows == 0) return;
  with_master_type(wide_dtype(a.dtype), "cross_entropy_rebase", [&](auto tag) {
    using W = typename decltype(tag)::type;
    rebase_kernel<W><<<blocks_for(a.rows, 256), 256, 0, handle_of(stream)>>>(
        static_cast<const W*>(a.maximum), static_cast<const W*>(common), static_cast<W*>(a.sum),
        a.rows);
    check_launch("cross_entropy_rebase");
  });
}

}  // namespace ocoee::kernels::cuda
