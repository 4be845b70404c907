// SPDX-License-Identifier: Apache-2.0
#include "kernels/reduce.h"

#include <algorithm>

#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::cpu {
namespace {

constexpr int64_t kChunk = 8192;  // elements of one partial sum

int64_t chunks_of(int64_t count) {
  return (count + kChunk - 1) / kChunk;
}

// In float64, in 32 running sums that fill the vector registers.
template <class T>
double chunk_sum(const T* x, int64_t count) {
  constexpr int64_t kLanes = 32;
  double lanes[kLanes] = {};
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
#pragma omp simd
    for (int64_t k = 0; k < kLanes; ++k) {
      const auto wide = static_cast<double>(widen(x[i + k]));
      lanes[k] += wide * wide;
    }
  }
  double sum = 0;
  for (int64_t i = whole; i < count; ++i) {
    const auto wide = static_cast<double>(widen(x[i]));
    sum += wide * wide;
  }
  for (const double lane : lanes) sum += lane;
  return sum;
}

int64_t rows_of_chunk(int64_t rows) {
  return std::max<int64_t>(32, (rows + 63) / 64);
}
int64_t row_chunks(int64_t rows) {
  return (rows + rows_of_chunk(rows) - 1) / rows_of_chunk(rows);
}

}  // namespace

void sum_of_squares(const SumOfSquares& a) {
  with_float_type(a.dtype, "sum_of_squares", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* x = static_cast<const T*>(a.x);
    auto* partials = static_cast<double*>(a.workspace);
    parallel_for(chunks_of(a.count), 4, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        partials[c] = chunk_sum(x + c * kChunk, std::min(kChunk, a.count - c * kChunk));
      }
    });
    double sum = 0;
    for (int64_t c = 0; c < chunks_of(a.count); ++c) sum += partials[c];
    *a.out += a.factor * sum;
  });
}

size_t sum_of_squares_workspace(int64_t count) {
  return static_cast<size_t>(chunks_of(count)) * sizeof(double);
}

void column_sum(const ColumnSum& a) {
  if (a.rows == 0) return;
  with_float_type(a.dtype, "column_sum", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using W = Wide<T>;
    const int64_t n = a.width, chunks = row_chunks(a.rows), each = rows_of_chunk(a.rows);
    auto* partials = static_cast<W*>(a.workspace);
    parallel_for(chunks, std::max<int64_t>(1, 16384 / (each * n + 1)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t c = begin; c < end; ++c) {
                     W* partial = partials + c * n;
                     std::fill(partial, partial + n, W(0));
                     for (int64_t row = c * each; row < std::min(a.rows, (c + 1) * each); ++row) {
                       const T* x = static_cast<const T*>(a.x) + row * n;
#pragma omp simd
                       for (int64_t i = 0; i < n; ++i) partial[i] += widen(x[i]);
                     }
                   }
                 });
    // Into 16 bits goes the sum of all chunks, which gathers in the first.
    W* out = a.bf16_out ? partials : static_cast<W*>(a.out);
    for (int64_t c = a.bf16_out ? 1 : 0; c < chunks; ++c) {
      const W* partial = partials + c * n;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) out[i] += partial[i];
    }
    if (!a.bf16_out) return;
    for (int64_t i = 0; i < n; ++i) add_to(static_cast<BFloat16*>(a.out)[i], out[i]);
  });
}

size_t column_sum_workspace(DType dtype, int64_t rows, int64_t width) {
  return static_cast<size_t>(row_chunks(rows) * width) * size_of(wide_dtype(dtype));
}

}  // namespace ocoee::kernels::cpu
