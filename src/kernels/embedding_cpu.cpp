// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include <algorithm>
#include <limits>

#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::cpu {
namespace {

template <class T>
void forward_rows(const Embedding& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const int64_t n = a.width;
  for (int64_t row = begin; row < end; ++row) {
    T* y = static_cast<T*>(a.y) + row * n;
    const int64_t id = a.ids[row] - a.first_id;
    if (id < 0 || id >= a.vocabulary) {
      const bool elsewhere = a.ids[row] >= 0 && a.ids[row] < a.all_ids;
      std::fill(y, y + n, narrow<T>(elsewhere ? W(0) : std::numeric_limits<W>::quiet_NaN()));
      continue;
    }
    const T* token = static_cast<const T*>(a.token_table) + id * n;
    if (!a.position_table) {
      std::copy(token, token + n, y);
      continue;
    }
    const T* position =
        static_cast<const T*>(a.position_table) + (a.first_position + row % a.length) * n;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = narrow<T>(widen(token[i]) + widen(position[i]));
  }
}

// A thread owns columns [begin, end) of both tables and walks through all rows: no two threads
// share an output.
template <class T>
void backward_columns(const EmbeddingBackward& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const int64_t n = a.width, rows = a.batch * a.length;
  W* d_token = static_cast<W*>(a.d_token);
  W* d_position = static_cast<W*>(a.d_position);
  for (int64_t row = 0; row < rows; ++row) {
    const T* dy = static_cast<const T*>(a.dy) + row * n;
    const int64_t id = a.ids[row] - a.first_id;
    if (d_token && id >= 0 && id < a.vocabulary) {
      W* out = d_token + id * n;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) out[i] += widen(dy[i]);
    }
    if (d_position) {
      W* out = d_position + (a.first_position + row % a.length) * n;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) out[i] += widen(dy[i]);
    }
  }
}

}  // namespace

void embedding_forward(const Embedding& a) {
  with_float_type(a.dtype, "embedding_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(a.batch * a.length, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, a.width)),
                 [&](int64_t begin, int64_t end) { forward_rows<T>(a, begin, end); });
  });
}

void embedding_backward(const EmbeddingBackward& a) {
  with_float_type(a.dtype, "embedding_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int64_t kColumns = 16;  // of the tables' type: one or two cache lines
    parallel_for((a.width + kColumns - 1) / kColumns, 1, [&](int64_t begin, int64_t end) {
      backward_columns<T>(a, begin * kColumns, std::min(a.width, end * kColumns));
    });
  });
}

}  // namespace ocoee::kernels::cpu
