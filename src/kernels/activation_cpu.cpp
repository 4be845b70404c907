// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.h"

#include <algorithm>
#include <type_traits>

#include "kernels/activation_math.h"
#include "kernels/parallel_for.h"
#include "kernels/reduce.h"
#include "kernels/row_buffer.h"
#include "kernels/simd_math.h"

namespace ocoee::kernels::cpu {
namespace {

constexpr int64_t kGrain = 4096;

struct HostExponential {
  static constexpr double kLog = 1;
  template <class W>
  W operator()(W x) const {
    return exponential(x);
  }
};
constexpr HostExponential kExp;

int64_t grain_rows(int64_t width) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width));
}

// out[i] = f(z[i], i), z = x + bias, i over all elements.
template <class T, class F>
void map_rows(const Gelu& a, const F& f) {
  using W = Wide<T>;
  const int64_t n = a.width;
  parallel_for(a.rows, grain_rows(n), [&](int64_t begin, int64_t end) {
    RowBuffer<T> bias_row(n);
    const W* bias = a.bias ? bias_row.read(static_cast<const T*>(a.bias)) : nullptr;
    for (int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(a.x) + row * n;
      T* out = static_cast<T*>(a.out) + row * n;
      const int64_t base = row * n;
      if (bias) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) out[i] = f(widen(x[i]) + bias[i], base + i);
      } else {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) out[i] = f(widen(x[i]), base + i);
      }
    }
  });
}

}  // namespace

void gelu_forward(const Gelu& a) {
  with_float_type(a.dtype, "gelu_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    map_rows<T>(a, [](auto z, int64_t) { return narrow<T>(gelu(z, kExp)); });
  });
}

void gelu_backward(const Gelu& a) {
  with_float_type(a.dtype, "gelu_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* dy = static_cast<const T*>(a.dy);
    T* y = static_cast<T*>(a.y);
    if (y) {
      map_rows<T>(a, [dy, y](auto z, int64_t i) {
        const auto gelu = gelu_and_slope(z, kExp);
        const T dx = narrow<T>(widen(dy[i]) * gelu.slope);
        y[i] = narrow<T>(gelu.y);  // perhaps over dy
        return dx;
      });
    } else {
      map_rows<T>(
          a, [dy](auto z, int64_t i) { return narrow<T>(widen(dy[i]) * gelu_slope(z, kExp)); });
    }
  });
  if (!a.d_bias) return;
  ColumnSum sum;
  sum.dtype = a.dtype;
  sum.rows = a.rows;
  sum.width = a.width;
  sum.x = a.out;
  sum.out = a.d_bias;
  sum.workspace = a.workspace;
  column_sum(sum);
}

void swiglu_forward(const Swiglu& a) {
  with_float_type(a.dtype, "swiglu_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t n = a.inner;
    parallel_for(a.rows, grain_rows(n), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* gate = static_cast<const T*>(a.x) + row * 2 * n;
        const T* up = gate + n;
        T* y = static_cast<T*>(a.out) + row * n;
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
          const auto z = widen(gate[i]);
          y[i] = narrow<T>(z * sigmoid(z, kExp) * widen(up[i]));
        }
      }
    });
  });
}

void swiglu_backward(const Swiglu& a) {
  with_float_type(a.dtype, "swiglu_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const int64_t n = a.inner;
    parallel_for(a.rows, grain_rows(n), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* gate = static_cast<const T*>(a.x) + row * 2 * n;
        const T* dy = static_cast<const T*>(a.dy) + row * n;
        T* out = static_cast<T*>(a.out) + row * 2 * n;
        T* y = a.y ? static_cast<T*>(a.y) + row * n : nullptr;
        const auto element = [=](int64_t i, auto again) {
          const auto z = widen(gate[i]), up = widen(gate[n + i]), d = widen(dy[i]);
          const auto s = sigmoid(z, kExp);
          out[i] = narrow<T>(d * up * (s + z * s * (1 - s)));
          out[n + i] = narrow<T>(d * z * s);
          if constexpr (decltype(again)::value) y[i] = narrow<T>(z * s * up);
        };
        if (y) {
#pragma omp simd
          for (int64_t i = 0; i < n; ++i) element(i, std::true_type());
        } else {
#pragma omp simd
          for (int64_t i = 0; i < n; ++i) element(i, std::false_type());
        }
      }
    });
  });
}

}  // namespace ocoee::kernels::cpu
