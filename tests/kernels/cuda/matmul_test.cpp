// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

double at(const std::vector<double>& values, int64_t row, int64_t column, int64_t rows,
          int64_t columns, bool transposed) {
  return values[static_cast<size_t>(transposed ? column * rows + row : row * columns + column)];
}

std::vector<double> plain(const Matmul& c, const std::vector<double>& a,
                          const std::vector<double>& b) {
  std::vector<double> d(static_cast<size_t>(c.m * c.n));
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < c.k; ++l)
        sum += at(a, i, l, c.m, c.k, c.a_transposed) * at(b, l, j, c.k, c.n, c.b_transposed);
      d[static_cast<size_t>(i * c.n + j)] = sum;
    }
  }
  return d;
}

double gelu(double z) {
  return z / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
}
double gelu_slope(double z) {
  const double h = 1e-5;
  return (gelu(z + h) - gelu(z - h)) / (2 * h);
}

// Runs one product both with the first answer of the library and with its fastest.
void check(Matmul c, bool adds, bool scaled) {
  const DType wide = c.d_dtype;
  const auto a = rounded(c.dtype, normal_values(c.m * c.k, 1, 0.3)),
             b = rounded(c.dtype, normal_values(c.k * c.n, 2, 0.3)),
             add = rounded(wide, normal_values(c.m * c.n, 3)),
             bias = rounded(c.dtype, normal_values(c.n, 4)),
             z = rounded(c.dtype, normal_values(c.m * c.n, 5));
  std::vector<double> want = plain(c, a, b), want_z;
  for (size_t i = 0; i < want.size(); ++i) {
    if (scaled) want[i] *= 0.375;
    if (adds) want[i] += add[i];
    if (c.epilogue == Epilogue::bias || c.epilogue == Epilogue::gelu)
      want[i] += bias[i % static_cast<size_t>(c.n)];
    if (c.epilogue == Epilogue::gelu_gradient) want[i] *= gelu_slope(z[i]);
  }
  if (c.epilogue == Epilogue::gelu) {
    want_z = want;
    for (double& value : want) value = gelu(value);
  }
  for (const bool measure : {false, true}) {
    const Array first(c.dtype, a), second(c.dtype, b), added(wide, add), terms(c.dtype, bias),
        scale(DType::f32, std::vector<double>{0.375});
    // The gradient of a weight is added to in place.
    const bool in_place = adds && wide == DType::f32;
    const Array d = in_place ? Array(wide, add) : Array(wide, c.m * c.n);
    const Array aux =
        c.epilogue == Epilogue::gelu_gradient ? Array(c.dtype, z) : Array(c.dtype, c.m * c.n);
    const Array space = workspace(kMatmulWorkspace);
    c.a = first.data(), c.b = second.data(), c.d = d.data();
    c.c = !adds ? nullptr : in_place ? d.data() : added.data();
    c.alpha = scaled ? scale.as<float>() : nullptr;
    const bool has_bias = c.epilogue == Epilogue::bias || c.epilogue == Epilogue::gelu;
    c.bias = has_bias ? terms.data() : nullptr;
    c.aux = c.epilogue == Epilogue::gelu || c.epilogue == Epilogue::gelu_gradient ? aux.data()
                                                                                  : nullptr;
    c.workspace = space.data(), c.workspace_bytes = kMatmulWorkspace;
    c.measure = measure;
    ASSERT_TRUE(cuda::matmul(c, test_stream()));
    EXPECT_NEAR_ARRAY(d.read(), want, wide == DType::f32 ? 1e-5 : tolerance(wide));
    if (!want_z.empty()) {
      EXPECT_NEAR_ARRAY(aux.read(), want_z, tolerance(c.dtype));
    }
  }
}

Matmul call(DType dtype, int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed,
            Epilogue epilogue, DType d_dtype) {
  Matmul c;
  c.dtype = dtype, c.d_dtype = d_dtype;
  c.m = m, c.n = n, c.k = k;
  c.a_transposed = a_transposed, c.b_transposed = b_transposed;
  c.epilogue = epilogue;
  return c;
}

TEST(Matmul, EveryKindThatALayerAsksFor) {
  if (!on_gpu()) GTEST_SKIP() << "a GPU library";
  for (const DType half : {DType::bf16, DType::f16}) {
    for (const bool adds : {false, true}) {
      check(call(half, 256, 192, 128, false, true, Epilogue::none, half), adds, false);
      check(call(half, 256, 192, 128, false, true, Epilogue::bias, half), adds, false);
      check(call(half, 128, 256, 320, true, false, Epilogue::none, DType::f32), adds, false);
      check(call(half, 128, 256, 320, true, false, Epilogue::none, DType::f32), adds, true);
    }
    check(call(half, 256, 384, 128, false, true, Epilogue::gelu, half), false, false);
    check(call(half, 256, 384, 128, false, false, Epilogue::gelu_gradient, half), false, false);
    check(call(half, 256, 128, 384, false, false, Epilogue::none, half), false, true);
  }
}

}  // namespace
}  // namespace ocoee::kernels::test
