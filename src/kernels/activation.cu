// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.h"
#include "kernels/activation_math.h"
#include "kernels/column_partials.cuh"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// `kAgain`: a backward pass that makes y once more.
enum Pass : int { kForward, kBackward, kAgain };

template <class T, int N, Pass P>
__global__ void gelu_kernel(Gelu a) {
  using W = Wide<T>;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i >= a.rows * a.width) return;
  const DeviceExponential exponential;
  const Pack<W, N> x = widen_all(load<N>(static_cast<const T*>(a.x) + i));
  Pack<W, N> bias{};
  if (a.bias) bias = widen_all(load<N>(static_cast<const T*>(a.bias) + remainder_of(i, a.width)));
  W y[N];
  if constexpr (P == kForward) {
#pragma unroll
    for (int k = 0; k < N; ++k) y[k] = gelu(x.v[k] + bias.v[k], exponential);
    store<N>(static_cast<T*>(a.out) + i, narrow_all<T>(y));
  } else {
    const Pack<W, N> dy = widen_all(load<N>(static_cast<const T*>(a.dy) + i));
    W dx[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const auto gelu = gelu_and_slope(x.v[k] + bias.v[k], exponential);
      y[k] = gelu.y;
      dx[k] = dy.v[k] * gelu.slope;
    }
    if constexpr (P == kAgain) store<N>(static_cast<T*>(a.y) + i, narrow_all<T>(y));
    store<N>(static_cast<T*>(a.out) + i, narrow_all<T>(dx));
  }
}

template <Pass P>
void launch_gelu(const Gelu& a, const char* name, const device::Stream& stream) {
  if (a.rows * a.width == 0) return;
  with_float_type(a.dtype, name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = kPack<T>;
    if (a.width % N == 0 && aligned16(a.x, a.bias, a.dy, a.out, a.y)) {
      gelu_kernel<T, N, P>
          <<<blocks_for(a.rows * a.width, kThreads * N), kThreads, 0, handle_of(stream)>>>(a);
    } else {
      gelu_kernel<T, 1, P>
          <<<blocks_for(a.rows * a.width, kThreads), kThreads, 0, handle_of(stream)>>>(a);
    }
    check_launch(name);
  });
}

// Thread (x, y) of a block takes rows y, y + 8, ... of the block's share for the columns of pack x,
// and keeps their sums.
template <class T, int N, bool Again>
__global__ void __launch_bounds__(256) gelu_backward_sums(Gelu a, Wide<T>* partials) {
  using W = Wide<T>;
  __shared__ W scratch[8][32 * N];
  const DeviceExponential exponential;
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x) * N;
  const int64_t each = (a.rows + gridDim.y - 1) / gridDim.y;
  const int64_t begin = each * blockIdx.y, end = begin + each < a.rows ? begin + each : a.rows;
  W sum[N] = {};
  if (column < a.width) {
    Pack<W, N> bias{};
    if (a.bias) bias = widen_all(load<N>(static_cast<const T*>(a.bias) + column));
    constexpr int kAhead = 2;  // rows that are asked for before one of them is written
    for (int64_t first = begin + threadIdx.y; first < end; first += 8 * kAhead) {
      Pack<T, N> x[kAhead], dy[kAhead];
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        const int64_t i = (first + 8 * u) * a.width + column;
        if (first + 8 * u >= end) continue;
        x[u] = load<N>(static_cast<const T*>(a.x) + i);
        dy[u] = load<N>(static_cast<const T*>(a.dy) + i);
      }
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        const int64_t i = (first + 8 * u) * a.width + column;
        if (first + 8 * u >= end) continue;
        const Pack<W, N> z = widen_all(x[u]), d = widen_all(dy[u]);
        W y[N], slope[N];
#pragma unroll
        for (int k = 0; k < N; ++k) {
          const auto gelu = gelu_and_slope(z.v[k] + bias.v[k], exponential);
          y[k] = gelu.y;
          slope[k] = d.v[k] * gelu.slope;
        }
        const Pack<T, N> dx = narrow_all<T>(slope);
        const Pack<W, N> rounded = widen_all(dx);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += rounded.v[k];
        if constexpr (Again) store<N>(static_cast<T*>(a.y) + i, narrow_all<T>(y));
        store<N>(static_cast<T*>(a.out) + i, dx);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) scratch[threadIdx.y][threadIdx.x * N + k] = sum[k];
  __syncthreads();
  if (threadIdx.y != 0 || column >= a.width) return;
  W total[N] = {};
#pragma unroll
  for (int k = 0; k < N; ++k)
    for (int y = 0; y < 8; ++y) total[k] += scratch[y][threadIdx.x * N + k];
  store_sums(partials + blockIdx.y * a.width + column, total);
}

void launch_gelu_backward_sums(const Gelu& a, const device::Stream& stream) {
  if (a.rows * a.width == 0) return;
  with_float_type(a.dtype, "gelu_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    const int parts = row_parts(a.rows);
    W* partials = static_cast<W*>(a.workspace);
    const auto launch = [&](auto pack) {
      constexpr int N = decltype(pack)::value;
      const dim3 grid(blocks_for(a.width, 32 * N), static_cast<unsigned>(parts));
      if (a.y)
        gelu_backward_sums<T, N, true><<<grid, dim3(32, 8), 0, handle_of(stream)>>>(a, partials);
      else
        gelu_backward_sums<T, N, false><<<grid, dim3(32, 8), 0, handle_of(stream)>>>(a, partials);
    };
    if (a.width % kPack<T> == 0 && aligned16(a.x, a.bias, a.dy, a.out, a.y, a.workspace)) {
      launch(std::integral_constant<int, kPack<T>>());
    } else {
      launch(std::integral_constant<int, 1>());
    }
    check_launch("gelu_backward");
    launch_column_partials<W>(partials, parts, 1, a.width, a.d_bias, nullptr, false,
                              handle_of(stream));
  });
}

template <class T, int N, Pass P>
__global__ void swiglu_kernel(Swiglu a) {
  const int64_t packs = a.inner / N;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= a.rows * packs) return;
  const int64_t row = quotient_of(index, packs), column = (index - row * packs) * N;
  const DeviceExponential exponential;
  const T* x = static_cast<const T*>(a.x) + row * 2 * a.inner + column;
  using W = Wide<T>;
  const Pack<W, N> gate = widen_all(load<N>(x)), up = widen_all(load<N>(x + a.inner));
  Pack<W, N> dy{};
  if constexpr (P != kForward)
    dy = widen_all(load<N>(static_cast<const T*>(a.dy) + row * a.inner + column));
  W y[N], d_gate[N], d_up[N];
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const W z = gate.v[k], u = up.v[k], d = dy.v[k];
    const auto s = sigmoid(z, exponential);
    y[k] = z * s * u;
    d_gate[k] = d * u * (s + z * s * (1 - s));
    d_up[k] = d * z * s;
  }
  if constexpr (P != kForward) {
    T* out = static_cast<T*>(a.out) + row * 2 * a.inner + column;
    store<N>(out, narrow_all<T>(d_gate));
    store<N>(out + a.inner, narrow_all<T>(d_up));
  }
  if constexpr (P != kBackward)
    store<N>(static_cast<T*>(P == kForward ? a.out : a.y) + row * a.inner + column,
             narrow_all<T>(y));
}

template <Pass P>
void launch_swiglu(const Swiglu& a, const char* name, const device::Stream& stream) {
  if (a.rows * a.inner == 0) return;
  with_float_type(a.dtype, name, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = kPack<T>;
    if (a.inner % N == 0 && aligned16(a.x, a.dy, a.out, a.y)) {
      swiglu_kernel<T, N, P>
          <<<blocks_for(a.rows * (a.inner / N), kThreads), kThreads, 0, handle_of(stream)>>>(a);
    } else {
      swiglu_kernel<T, 1, P>
          <<<blocks_for(a.rows * a.inner, kThreads), kThreads, 0, handle_of(stream)>>>(a);
    }
    check_launch(name);
  });
}

}  // namespace

void gelu_forward(const Gelu& a, const device::Stream& stream) {
  launch_gelu<kForward>(a, "gelu_forward", stream);
}
void gelu_backward(const Gelu& a, const device::Stream& stream) {
  if (a.d_bias) return launch_gelu_backward_sums(a, stream);
  if (a.y) return launch_gelu<kAgain>(a, "gelu_backward", stream);
  launch_gelu<kBackward>(a, "gelu_backward", stream);
}
void swiglu_forward(const Swiglu& a, const device::Stream& stream) {
  launch_swiglu<kForward>(a, "swiglu_forward", stream);
}
void swiglu_backward(const Swiglu& a, const device::Stream& stream) {
  if (a.y) return launch_swiglu<kAgain>(a, "swiglu_backward", stream);
  launch_swiglu<kBackward>(a, "swiglu_backward", stream);
}

}  // namespace ocoee::kernels::cuda
