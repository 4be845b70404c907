// SPDX-License-Identifier: Apache-2.0
#include "kernels/rotary.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

struct Shape {
  int64_t samples, length, heads, others, head_dim;  // `others`: heads of a row that stay
};

TEST(Rotary, TurnsByTheAngleOfItsTokenAndBack) {
  for (const DType dtype : kFloatTypes) {
    for (const Shape& s : std::vector<Shape>{
             {2, 5, 3, 1, 64}, {1, 7, 2, 2, 6}, {3, 4, 1, 0, 2}, {2, 9, 4, 2, 128}}) {
      const int64_t half = s.head_dim / 2, tokens = s.samples * s.length,
                    row = (s.heads + s.others) * s.head_dim;
      const DType wide = wide_dtype(dtype);
      std::vector<double> cos, sin;
      for (int64_t i = 0; i < s.length * half; ++i) {
        cos.push_back(std::cos(0.37 * static_cast<double>(i)));
        sin.push_back(std::sin(0.37 * static_cast<double>(i)));
      }
      cos = rounded(wide, cos), sin = rounded(wide, sin);
      const auto x = rounded(dtype, normal_values(tokens * row, 1));
      for (const bool back : {false, true}) {
        std::vector<double> want = x;
        for (int64_t t = 0; t < tokens; ++t) {
          for (int64_t h = 0; h < s.heads; ++h) {
            for (int64_t i = 0; i < half; ++i) {
              const auto low = static_cast<size_t>(t * row + h * s.head_dim + i),
                         high = low + static_cast<size_t>(half),
                         angle = static_cast<size_t>(t % s.length * half + i);
              const double turn = back ? -sin[angle] : sin[angle];
              want[low] = x[low] * cos[angle] - x[high] * turn;
              want[high] = x[high] * cos[angle] + x[low] * turn;
            }
          }
        }
        const Array data(dtype, x), c(wide, cos), d(wide, sin);
        Rotary a;
        a.dtype = dtype;
        a.tokens = tokens, a.heads = s.heads, a.head_dim = s.head_dim;
        a.token_stride = row, a.length = s.length;
        a.cos = c.data(), a.sin = d.data(), a.back = back, a.x = data.data();
        rotary(a, test_stream());
        EXPECT_NEAR_ARRAY(data.read(), want, tolerance(dtype)) << label(dtype) << s.head_dim;
      }
    }
  }
}

}  // namespace
}  // namespace ocoee::kernels::test
