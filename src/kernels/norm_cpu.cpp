// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/norm.h"
#include "kernels/parallel_for.h"
#include "kernels/row_buffer.h"
#include "kernels/simd_math.h"

namespace ocoee::kernels::cpu {
namespace {

constexpr int64_t kGrain = 16384;  // elements that are worth a thread

int64_t grain_rows(int64_t width) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width));
}

// Rows of one partial sum of the weight gradients: a function of the shape alone.
int64_t chunk_rows(int64_t rows) {
  return std::max<int64_t>(32, (rows + 63) / 64);
}
int64_t chunk_count(int64_t rows) {
  return (rows + chunk_rows(rows) - 1) / chunk_rows(rows);
}

template <class T>
void add_rows(const NormForward& a, int64_t row) {
  const T* x = static_cast<const T*>(a.x) + row * a.width;
  const T* add = static_cast<const T*>(a.add) + row * a.width;
  T* sum = static_cast<T*>(a.sum) + row * a.width;
#pragma omp simd
  for (int64_t i = 0; i < a.width; ++i) sum[i] = narrow<T>(widen(x[i]) + widen(add[i]));
}

// y of one row.
template <class T, class W>
void normalise(int64_t n, const W* x, W mean, W rstd, const W* weight, const W* bias, T* y) {
  if (bias) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = narrow<T>((x[i] - mean) * rstd * weight[i] + bias[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = narrow<T>((x[i] - mean) * rstd * weight[i]);
  }
}

template <class T>
void forward_rows(const NormForward& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const int64_t n = a.width;
  RowBuffer<T> x_row(n), weight_row(n), bias_row(n);
  const W* weight = weight_row.read(static_cast<const T*>(a.weight));
  const W* bias = a.bias ? bias_row.read(static_cast<const T*>(a.bias)) : nullptr;
  const T* source = static_cast<const T*>(a.add ? a.sum : a.x);
  const W scale = W(1) / static_cast<W>(n);
  for (int64_t row = begin; row < end; ++row) {
    if (a.add) add_rows<T>(a, row);
    const W* x = x_row.read(source + row * n);
    const W mean = a.rms ? W(0) : scale * strip_sum<W>(n, [x](int64_t i) { return x[i]; });
    const W square =
        strip_sum<W>(n, [x, mean](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    const W rstd = W(1) / std::sqrt(square * scale + static_cast<W>(a.epsilon));
    normalise<T>(n, x, mean, rstd, weight, bias, static_cast<T*>(a.y) + row * n);
    if (a.mean) static_cast<W*>(a.mean)[row] = mean;
    if (a.rstd) static_cast<W*>(a.rstd)[row] = rstd;
  }
}

// dx of one row. With h = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - h mean(g h)),
// without mean(g) in RMSNorm.
template <class T>
void input_gradient(const NormBackward& a, int64_t row, const Wide<T>* x, const Wide<T>* dy,
                    const Wide<T>* weight, Wide<T> mean, Wide<T> rstd) {
  using W = Wide<T>;
  const int64_t n = a.width;
  // Two strips of the row side by side: four independent chains of additions.
  const int64_t half = n / 2;
  W g0 = 0, g1 = 0, gh0 = 0, gh1 = 0;
#pragma omp simd reduction(+ : g0, g1, gh0, gh1)
  for (int64_t i = 0; i < half; ++i) {
    const W left = dy[i] * weight[i], right = dy[i + half] * weight[i + half];
    g0 += left;
    g1 += right;
    gh0 += left * ((x[i] - mean) * rstd);
    gh1 += right * ((x[i + half] - mean) * rstd);
  }
  if (n % 2 != 0) {
    const W last = dy[n - 1] * weight[n - 1];
    g0 += last;
    gh0 += last * ((x[n - 1] - mean) * rstd);
  }
  const W mean_g = a.rms ? W(0) : (g0 + g1) / static_cast<W>(n);
  const W mean_gh = (gh0 + gh1) / static_cast<W>(n);
  T* dx = static_cast<T*>(a.dx) + row * n;
  if (a.d_residual) {
    const T* passing = static_cast<const T*>(a.d_residual) + row * n;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const W h = (x[i] - mean) * rstd;
      dx[i] = narrow<T>(widen(passing[i]) + rstd * (dy[i] * weight[i] - mean_g - h * mean_gh));
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const W h = (x[i] - mean) * rstd;
      dx[i] = narrow<T>(rstd * (dy[i] * weight[i] - mean_g - h * mean_gh));
    }
  }
}

template <class T>
void backward_chunk(const NormBackward& a, int64_t chunk) {
  using W = Wide<T>;
  const int64_t n = a.width;
  RowBuffer<T> x_row(n), dy_row(n), weight_row(n), bias_row(n);
  const W* weight = weight_row.read(static_cast<const T*>(a.weight));
  const W* bias = a.y && a.bias ? bias_row.read(static_cast<const T*>(a.bias)) : nullptr;
  const bool sums = a.d_weight || a.d_bias;
  W* d_weight = static_cast<W*>(a.workspace) + chunk * 2 * n;
  W* d_bias = d_weight + n;
  if (sums) std::fill(d_weight, d_weight + 2 * n, W(0));
  const int64_t begin = chunk * chunk_rows(a.rows),
                end = std::min(a.rows, begin + chunk_rows(a.rows));
  for (int64_t row = begin; row < end; ++row) {
    const W* x = x_row.read(static_cast<const T*>(a.x) + row * n);
    const W* dy = dy_row.read(static_cast<const T*>(a.dy) + row * n);
    const W mean = a.rms ? W(0) : static_cast<const W*>(a.mean)[row];
    const W rstd = static_cast<const W*>(a.rstd)[row];
    if (sums) {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) {
        d_weight[i] += dy[i] * ((x[i] - mean) * rstd);
        d_bias[i] += dy[i];
      }
    }
    if (a.dx) input_gradient<T>(a, row, x, dy, weight, mean, rstd);
    if (a.y) normalise<T>(n, x, mean, rstd, weight, bias, static_cast<T*>(a.y) + row * n);
  }
}

// Into 16 bits goes the sum of all chunks, which gathers in the first.
template <class W>
void add_partials(const NormBackward& a) {
  W* partials = static_cast<W*>(a.workspace);
  const int64_t n = a.width, chunks = chunk_count(a.rows);
  parallel_for(n, std::max<int64_t>(16, kGrain / chunks), [&](int64_t begin, int64_t end) {
    for (int which = 0; which < 2; ++which) {
      void* target = which == 0 ? a.d_weight : a.d_bias;
      if (!target) continue;
      W* out = a.bf16_gradients ? partials + which * n : static_cast<W*>(target);
      for (int64_t c = a.bf16_gradients ? 1 : 0; c < chunks; ++c) {
        const W* partial = partials + (2 * c + which) * n;
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) out[i] += partial[i];
      }
      if (!a.bf16_gradients) continue;
      for (int64_t i = begin; i < end; ++i) add_to(static_cast<BFloat16*>(target)[i], out[i]);
    }
  });
}

}  // namespace

void norm_forward(const NormForward& a) {
  with_float_type(a.dtype, "norm_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(a.rows, grain_rows(a.width),
                 [&](int64_t begin, int64_t end) { forward_rows<T>(a, begin, end); });
  });
}

void norm_backward(const NormBackward& a) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "norm_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t grain = std::max<int64_t>(1, grain_rows(a.width) / chunk_rows(a.rows));
    parallel_for(chunk_count(a.rows), grain, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; ++chunk) backward_chunk<T>(a, chunk);
    });
    add_partials<Wide<T>>(a);
  });
}

size_t norm_backward_workspace(DType dtype, int64_t rows, int64_t width) {
  return static_cast<size_t>(chunk_count(rows) * 2 * width) * size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cpu
