// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/column_partials.cuh"
#include "kernels/reduce.h"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int64_t kMostBlocks = 1024;

// A function of the count alone, so the sum is the same on every GPU.
int64_t sum_blocks(int64_t count) {
  return std::clamp<int64_t>(ceil_div(count, kThreads * 8), 1, kMostBlocks);
}

__device__ double block_sum(double value) {
  __shared__ double scratch[64];
  int turn = 0;
  return row_combine(value, SumOf<double>(), scratch, turn);
}

template <class T, int N>
__global__ void squares_kernel(const T* x, int64_t count, double* partials) {
  const int64_t packs = count / N;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  double sum = 0;
  const auto add = [&sum](T value) {
    const auto wide = static_cast<double>(widen(value));
    sum += wide * wide;
  };
#pragma unroll 4
  for (int64_t i = first; i < packs; i += threads) {
    const Pack<T, N> pack = load<N>(x + i * N);
#pragma unroll
    for (int k = 0; k < N; ++k) add(pack.v[k]);
  }
  if (first < count - packs * N) add(x[packs * N + first]);
  const double total = block_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

__global__ void finish_squares(const double* partials, int count, double factor, double* out) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    sum += partials[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *out += factor * sum;
}

// Thread (x, y) adds rows y, y + 8, ... of the block's share for the columns of pack x.
template <class T, int N>
__global__ void column_sum_kernel(const T* x, int64_t rows, int64_t width, Wide<T>* partials) {
  using W = Wide<T>;
  __shared__ W scratch[8][32 * N];
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x) * N;
  const int64_t each = (rows + gridDim.y - 1) / gridDim.y;
  const int64_t begin = each * blockIdx.y, end = begin + each < rows ? begin + each : rows;
  W sum[N] = {};
  if (column < width) {
#pragma unroll 4
    for (int64_t row = begin + threadIdx.y; row < end; row += 8) {
      const Pack<W, N> pack = widen_all(load<N>(x + row * width + column));
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += pack.v[k];
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) scratch[threadIdx.y][threadIdx.x * N + k] = sum[k];
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  W total[N] = {};
#pragma unroll
  for (int k = 0; k < N; ++k)
    for (int y = 0; y < 8; ++y) total[k] += scratch[y][threadIdx.x * N + k];
  store_sums(partials + blockIdx.y * width + column, total);
}

}  // namespace

void sum_of_squares(const SumOfSquares& a, const device::Stream& stream) {
  with_float_type(a.dtype, "sum_of_squares", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto blocks = static_cast<unsigned>(sum_blocks(a.count));
    const T* x = static_cast<const T*>(a.x);
    auto* partials = static_cast<double*>(a.workspace);
    if (aligned16(a.x)) {
      squares_kernel<T, kPack<T>><<<blocks, kThreads, 0, handle_of(stream)>>>(x, a.count, partials);
    } else {
      squares_kernel<T, 1><<<blocks, kThreads, 0, handle_of(stream)>>>(x, a.count, partials);
    }
    check_launch("sum_of_squares");
    finish_squares<<<1, kThreads, 0, handle_of(stream)>>>(partials, static_cast<int>(blocks),
                                                          a.factor, a.out);
    check_launch("sum_of_squares (finish)");
  });
}

size_t sum_of_squares_workspace(int64_t count, const device::Device&) {
  return static_cast<size_t>(sum_blocks(count)) * sizeof(double);
}

void column_sum(const ColumnSum& a, const device::Stream& stream) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "column_sum", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    const int parts = row_parts(a.rows);
    W* partials = static_cast<W*>(a.workspace);
    const T* x = static_cast<const T*>(a.x);
    const dim3 block(32, 8);
    if (aligned16(a.x, a.workspace) && a.width % kPack<T> == 0) {
      const dim3 grid(blocks_for(a.width, 32 * kPack<T>), static_cast<unsigned>(parts));
      column_sum_kernel<T, kPack<T>>
          <<<grid, block, 0, handle_of(stream)>>>(x, a.rows, a.width, partials);
    } else {
      const dim3 grid(blocks_for(a.width, 32), static_cast<unsigned>(parts));
      column_sum_kernel<T, 1><<<grid, block, 0, handle_of(stream)>>>(x, a.rows, a.width, partials);
    }
    check_launch("column_sum");
    launch_column_partials<W>(partials, parts, 1, a.width, a.out, nullptr, a.bf16_out,
                              handle_of(stream));
  });
}

size_t column_sum_workspace(DType dtype, int64_t rows, int64_t width, const device::Device&) {
  return static_cast<size_t>(row_parts(rows)) * static_cast<size_t>(width) *
         size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cuda
