// SPDX-License-Identifier: Apache-2.0
#include <cuda_fp8.h>

#include <algorithm>

#include "kernels/cuda_support.cuh"
#include "kernels/float8_scale.h"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256, kTileRows = 128, kTileColumns = 64, kBytes = 8;

struct Largest {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Of a block's threads, into *seen: what is not negative has the order of its bits.
__device__ inline void note_largest(float mine, float* seen) {
  mine = warp_combine(mine, Largest());
  if (threadIdx.x % 32 == 0 && mine > 0)
    atomicMax(reinterpret_cast<unsigned*>(seen), __float_as_uint(mine));
}

template <class T>
__device__ inline uint8_t rounded(T x, float scale, __nv_fp8_interpretation_t format,
                                  float& largest) {
  const float value = static_cast<float>(widen(x));
  largest = fmaxf(largest, fabsf(value));
  return __nv_cvt_float_to_fp8(value * scale, __NV_SATFINITE, format);
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    straight_kernel(ToFloat8 a, __nv_fp8_interpretation_t format) {
  const T* x = static_cast<const T*>(a.x);
  const int64_t count = a.rows * a.width;
  const float scale = a.out ? *a.scale : 1;
  float largest = 0;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N; i < count;
       i += static_cast<int64_t>(gridDim.x) * kThreads * N) {
    if (N > 1 && i + N <= count) {
      const Pack<T, N> in = load<N>(x + i);
      Pack<uint8_t, N> out;
#pragma unroll
      for (int k = 0; k < N; ++k) out.v[k] = rounded(in.v[k], scale, format, largest);
      if (a.out) store<N>(a.out + i, out);
    } else {
      for (int64_t k = i; k < count && k < i + N; ++k) {
        const uint8_t out = rounded(x[k], scale, format, largest);
        if (a.out) a.out[k] = out;
      }
    }
  }
  if (a.seen) note_largest(largest, a.seen);
}

// A tile of 128 rows by 64 columns: a thread takes four rows of eight columns, packs what lies
// below each other into words, and a warp writes a column's 128 bytes at once.
template <class T, bool kWhole>
__global__ void __launch_bounds__(kThreads)
    transposed_kernel(ToFloat8 a, __nv_fp8_interpretation_t format) {
  __shared__ uint32_t words[kTileColumns][kTileRows / 4 + 1];
  const T* x = static_cast<const T*>(a.x);
  const int64_t row0 = static_cast<int64_t>(blockIdx.y) * kTileRows,
                column0 = static_cast<int64_t>(blockIdx.x) * kTileColumns;
  const int group = static_cast<int>(threadIdx.x) / 8,
            first = static_cast<int>(threadIdx.x) % 8 * kBytes;
  const float scale = *a.scale;
  float largest = 0;
  uint32_t packed[kBytes] = {};
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int64_t row = row0 + group * 4 + r;
    if constexpr (kWhole) {
      const Pack<T, kBytes> in = load<kBytes>(x + row * a.width + column0 + first);
#pragma unroll
      for (int k = 0; k < kBytes; ++k)
        packed[k] |= static_cast<uint32_t>(rounded(in.v[k], scale, format, largest)) << (8 * r);
    } else {
      for (int k = 0; k < kBytes; ++k) {
        const int64_t column = column0 + first + k;
        if (row < a.rows && column < a.width)
          packed[k] |=
              static_cast<uint32_t>(rounded(x[row * a.width + column], scale, format, largest))
              << (8 * r);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kBytes; ++k) words[first + k][group] = packed[k];
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int c = warp; c < kTileColumns; c += kThreads / 32) {
    const uint32_t word = words[c][lane];
    uint8_t* out = a.out + (column0 + c) * a.rows + row0 + lane * 4;
    if constexpr (kWhole) {
      *reinterpret_cast<uint32_t*>(out) = word;
    } else {
      for (int r = 0; r < 4; ++r) {
        if (column0 + c < a.width && row0 + lane * 4 + r < a.rows)
          out[r] = static_cast<uint8_t>(word >> (8 * r));
      }
    }
  }
  if (a.seen) note_largest(largest, a.seen);
}

__global__ void scales_kernel(Float8Scales a) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < a.count) float8_scale_at(a, i);
}

}  // namespace

void to_float8(const ToFloat8& a, const device::Stream& stream) {
  const int64_t count = a.rows * a.width;
  if (count == 0) return;
  const __nv_fp8_interpretation_t format = a.format == Float8::e4m3 ? __NV_E4M3 : __NV_E5M2;
  with_float_type(a.dtype, "to_float8", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (a.out && a.transposed) {
      const dim3 grid(blocks_for(a.width, kTileColumns), blocks_for(a.rows, kTileRows));
      const bool whole =
          a.rows % kTileRows == 0 && a.width % kTileColumns == 0 && aligned16(a.x, a.out);
      if (whole)
        transposed_kernel<T, true><<<grid, kThreads, 0, handle_of(stream)>>>(a, format);
      else
        transposed_kernel<T, false><<<grid, kThreads, 0, handle_of(stream)>>>(a, format);
    } else {
      constexpr int N = 16;
      const bool packs = aligned16(a.x, a.out);
      const unsigned most = static_cast<unsigned>(8 * multiprocessor_count(stream.device));
      const unsigned blocks =
          std::min(most, blocks_for(count, static_cast<int64_t>(kThreads) * (packs ? N : 1)));
      if (packs)
        straight_kernel<T, N><<<blocks, kThreads, 0, handle_of(stream)>>>(a, format);
      else
        straight_kernel<T, 1><<<blocks, kThreads, 0, handle_of(stream)>>>(a, format);
    }
    check_launch("to_float8");
  });
}

void float8_scales(const Float8Scales& a, const device::Stream& stream) {
  if (a.count == 0) return;
  scales_kernel<<<blocks_for(a.count, kThreads), kThreads, 0, handle_of(stream)>>>(a);
  check_launch("float8_scales");
}

}  // namespace ocoee::kernels::cuda
