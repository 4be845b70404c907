// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include <algorithm>
#include <limits>

#include "kernels/parallel_for.h"
#include "kernels/row_buffer.h"
#include "kernels/simd_math.h"

namespace ocoee::kernels::cpu {
namespace {

int64_t grain_rows(int64_t columns) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, columns));
}

template <class W>
W row_maximum(const W* z, int64_t n) {
  W maximum = -std::numeric_limits<W>::infinity();
#pragma omp simd reduction(max : maximum)
  for (int64_t i = 0; i < n; ++i) maximum = z[i] > maximum ? z[i] : maximum;
  return maximum;
}

// exponentials[i] = exp(z[i] - maximum); returns their sum. A NaN among the logits makes it NaN.
// Summed by blocks, or the error would grow with the vocabulary.
template <class W>
W exponentials_of(const W* z, int64_t n, W maximum, W* exponentials) {
  constexpr int64_t kBlock = 1024;
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    W part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = begin; i < end; ++i) {
      exponentials[i] = exponential(z[i] - maximum);
      part += exponentials[i];
    }
    sum += part;
  }
  return static_cast<W>(sum);
}

// dz = factor * exponentials / sum, less `factor` at the target; `target` < 0: not in these
// columns.
template <class T, class W>
void write_gradient(T* logits, const W* exponentials, int64_t n, int64_t stride, W inverse_sum,
                    W factor, int64_t target) {
  const W share = factor * inverse_sum;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) logits[i] = narrow<T>(exponentials[i] * share);
  if (target >= 0 && target < n) logits[target] = narrow<T>(exponentials[target] * share - factor);
  for (int64_t i = n; i < stride; ++i) logits[i] = narrow<T>(W(0));
}

template <class T>
void zero_row(T* logits, int64_t stride) {
  for (int64_t i = 0; i < stride; ++i) logits[i] = narrow<T>(Wide<T>(0));
}

template <class T>
void whole_rows(const CrossEntropy& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const int64_t n = a.columns;
  const W scale = static_cast<W>(a.scale ? *a.scale : 1.0);
  RowBuffer<T> row_buffer(n);
  std::vector<W> exponentials(static_cast<size_t>(n));
  for (int64_t row = begin; row < end; ++row) {
    T* logits = static_cast<T*>(a.logits) + row * a.row_stride;
    W& loss = static_cast<W*>(a.losses)[row];
    const int64_t target = a.targets[row];
    if (target < 0) {
      loss = 0;
      if (a.gradient) zero_row(logits, a.row_stride);
      continue;
    }
    const W weight = a.weights ? static_cast<W>(a.weights[row]) : W(1);
    const W* z = row_buffer.read(logits);
    const W maximum = row_maximum(z, n);
    const W sum = exponentials_of(z, n, maximum, exponentials.data());
    loss = target < n ? weight * (std::log(sum) + (maximum - z[target]))
                      : std::numeric_limits<W>::quiet_NaN();
    if (a.gradient)
      write_gradient(logits, exponentials.data(), n, a.row_stride, W(1) / sum, scale * weight,
                     target);
  }
}

template <class T>
void statistics_rows(const PartialCrossEntropy& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  RowBuffer<T> row_buffer(a.columns);
  std::vector<W> exponentials(static_cast<size_t>(a.columns));
  for (int64_t row = begin; row < end; ++row) {
    const W* z = row_buffer.read(static_cast<const T*>(a.logits) + row * a.row_stride);
    const W maximum = row_maximum(z, a.columns);
    static_cast<W*>(a.maximum)[row] = maximum;
    static_cast<W*>(a.sum)[row] = exponentials_of(z, a.columns, maximum, exponentials.data());
    const int64_t target = a.targets[row] - a.first_column;
    static_cast<W*>(a.target_logit)[row] =
        a.targets[row] >= 0 && target >= 0 && target < a.columns ? z[target] : W(0);
  }
}

template <class T>
void gradient_rows(const PartialCrossEntropy& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const W scale = static_cast<W>(a.scale ? *a.scale : 1.0);
  RowBuffer<T> row_buffer(a.columns);
  std::vector<W> exponentials(static_cast<size_t>(a.columns));
  for (int64_t row = begin; row < end; ++row) {
    T* logits = static_cast<T*>(a.logits) + row * a.row_stride;
    W& loss = static_cast<W*>(a.losses)[row];
    const int64_t target = a.targets[row];
    if (target < 0) {
      loss = 0;
      zero_row(logits, a.row_stride);
      continue;
    }
    const W maximum = static_cast<const W*>(a.maximum)[row],
            sum = static_cast<const W*>(a.sum)[row];
    const W weight = a.weights ? static_cast<W>(a.weights[row]) : W(1);
    loss = target < a.all_columns
               ? weight * (std::log(sum) + (maximum - static_cast<const W*>(a.target_logit)[row]))
               : std::numeric_limits<W>::quiet_NaN();
    exponentials_of(row_buffer.read(logits), a.columns, maximum, exponentials.data());
    write_gradient(logits, exponentials.data(), a.columns, a.row_stride, W(1) / sum, scale * weight,
                   target - a.first_column);
  }
}

}  // namespace

void cross_entropy(const CrossEntropy& a) {
  with_float_type(a.dtype, "cross_entropy", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(a.rows, grain_rows(a.columns),
                 [&](int64_t begin, int64_t end) { whole_rows<T>(a, begin, end); });
  });
}

void cross_entropy_statistics(const PartialCrossEntropy& a) {
  with_float_type(a.dtype, "cross_entropy_statistics", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(a.rows, grain_rows(a.columns),
                 [&](int64_t begin, int64_t end) { statistics_rows<T>(a, begin, end); });
  });
}

void cross_entropy_rebase(const PartialCrossEntropy& a, const void* common) {
  with_master_type(wide_dtype(a.dtype), "cross_entropy_rebase", [&](auto tag) {
    using W = typename decltype(tag)::type;
    for (int64_t row = 0; row < a.rows; ++row) {
      const W from = static_cast<const W*>(a.maximum)[row], to = static_cast<const W*>(common)[row];
      static_cast<W*>(a.sum)[row] *= std::exp(from - to);
    }
  });
}

void cross_entropy_gradient(const PartialCrossEntropy& a) {
  with_float_type(a.dtype, "cross_entropy_gradient", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(a.rows, grain_rows(a.columns),
                 [&](int64_t begin, int64_t end) { gradient_rows<T>(a, begin, end); });
  });
}

}  // namespace ocoee::kernels::cpu
