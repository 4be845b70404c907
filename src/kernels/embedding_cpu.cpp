// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include <algorithm>
#include <limits>
#include <vector>

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

// Columns [begin, begin + columns) of a table of gradients while terms are added to them. A table
// in bf16 gets their sums at the end: a token that occurs often is rounded once.
template <class W>
class Columns {
 public:
  Columns(const EmbeddingBackward& a, void* table, int64_t rows, int64_t begin, int64_t columns)
      : table_(table),
        bf16_(a.bf16_gradients),
        width_(a.width),
        rows_(table ? rows : 0),
        begin_(begin),
        columns_(columns),
        sums_(bf16_ ? static_cast<size_t>(rows_ * columns) : 0) {}
  explicit operator bool() const { return table_ != nullptr; }
  W* row(int64_t row) {
    return bf16_ ? sums_.data() + row * columns_ : static_cast<W*>(table_) + row * width_ + begin_;
  }
  void finish() const {
    if (!bf16_) return;
    for (int64_t row = 0; row < rows_; ++row) {
      BFloat16* out = static_cast<BFloat16*>(table_) + row * width_ + begin_;
      for (int64_t i = 0; i < columns_; ++i)
        add_to(out[i], sums_[static_cast<size_t>(row * columns_ + i)]);
    }
  }

 private:
  void* table_;
  bool bf16_;
  int64_t width_, rows_, begin_, columns_;
  std::vector<W> sums_;
};

// A thread owns columns [begin, end) of both tables and walks through all rows: no two threads
// share an output.
template <class T>
void backward_columns(const EmbeddingBackward& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const int64_t rows = a.batch * a.length, columns = end - begin;
  Columns<W> tokens(a, a.d_token, a.vocabulary, begin, columns),
      positions(a, a.d_position, a.first_position + a.length, begin, columns);
  for (int64_t row = 0; row < rows; ++row) {
    const T* dy = static_cast<const T*>(a.dy) + row * a.width + begin;
    const auto add = [dy, columns](W* out) {
#pragma omp simd
      for (int64_t i = 0; i < columns; ++i) out[i] += widen(dy[i]);
    };
    const int64_t id = a.ids[row] - a.first_id;
    if (tokens && id >= 0 && id < a.vocabulary) add(tokens.row(id));
    if (positions) add(positions.row(a.first_position + row % a.length));
  }
  tokens.finish();
  positions.finish();
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
