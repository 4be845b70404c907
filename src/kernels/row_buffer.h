// SPDX-License-Identifier: Apache-2.0
// CPU kernels read a row in the type they compute in: in place where the types agree, else through
// a scratch row.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/number.h"

namespace ocoee::kernels {

template <class T>
class RowBuffer {
  using W = Wide<T>;

 public:
  explicit RowBuffer(int64_t width)
      : scratch_(std::is_same_v<T, W> ? 0 : static_cast<size_t>(width)), width_(width) {}

  const W* read(const T* row) {
    if constexpr (std::is_same_v<T, W>) {
      return row;
    } else {
      W* out = scratch_.data();
#pragma omp simd
      for (int64_t i = 0; i < width_; ++i) out[i] = widen(row[i]);
      return out;
    }
  }

 private:
  std::vector<W> scratch_;
  int64_t width_;
};

}  // namespace ocoee::kernels
