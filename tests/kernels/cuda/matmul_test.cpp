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
      Matmul narrow = call(half, 64, 64, 8192, true, false, Epilogue::none, half);  // k is split
      narrow.exact_sums = true;
      check(narrow, adds, false);
      check(narrow, adds, true);
    }
    check(call(half, 256, 384, 128, false, true, Epilogue::gelu, half), false, false);
    check(call(half, 256, 384, 128, false, false, Epilogue::gelu_gradient, half), false, false);
    check(call(half, 256, 128, 384, false, false, Epilogue::none, half), false, true);
  }
}

// Small whole numbers, which float8 holds: the sums are exact but for the rounding of the result.
void check_float8(Float8 a_format, DType d_dtype, Epilogue epilogue, bool adds, bool exact_sums) {
  const int64_t m = 128, n = 192, k = 160;
  const auto whole_numbers = [](int64_t count, int from) {
    std::vector<double> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<double>((i * from) % 7 - 3));
    return out;
  };
  const auto a = whole_numbers(m * k, 5), b = whole_numbers(n * k, 3),
             add = rounded(d_dtype, normal_values(m * n, 3)),
             bias = rounded(DType::bf16, normal_values(n, 4));
  const auto bytes = [](const std::vector<double>& values, Float8 format, double scale) {
    std::vector<double> out;
    for (const double v : values) out.push_back(float8_from(static_cast<float>(v * scale), format));
    return Array(DType::u8, out);
  };
  const Array first = bytes(a, a_format, 8), second = bytes(b, Float8::e4m3, 0.25),
              a_inverse(DType::f32, std::vector<double>{1.0 / 8}),
              b_inverse(DType::f32, std::vector<double>{4}), terms(DType::bf16, bias),
              d(d_dtype, add), space = workspace(kMatmulWorkspace);
  Matmul c;
  c.float8 = true, c.a_format = a_format, c.exact_sums = exact_sums;
  c.d_dtype = d_dtype;
  c.m = m, c.n = n, c.k = k, c.b_transposed = true;
  std::vector<double> want = plain(c, a, b);
  for (size_t i = 0; i < want.size(); ++i) {
    if (adds) want[i] += add[i];
    if (epilogue == Epilogue::bias) want[i] += bias[i % static_cast<size_t>(n)];
  }
  c.epilogue = epilogue;
  c.a = first.data(), c.b = second.data(), c.d = d.data();
  c.c = adds ? d.data() : nullptr;
  c.bias = epilogue == Epilogue::bias ? terms.data() : nullptr;
  c.a_inverse = a_inverse.as<float>(), c.b_inverse = b_inverse.as<float>();
  c.workspace = space.data(), c.workspace_bytes = kMatmulWorkspace;
  ASSERT_TRUE(cuda::matmul(c, test_stream()));
  EXPECT_NEAR_ARRAY(d.read(), want, 2 * tolerance(d_dtype));
}

TEST(Matmul, Float8AsLayersAsk) {
  if (!on_gpu()) GTEST_SKIP() << "a GPU library";
  if (!cuda::has_float8_products(test_device())) GTEST_SKIP() << "no float8 on this GPU";
  for (const bool adds : {false, true}) {
    check_float8(Float8::e4m3, DType::bf16, Epilogue::none, adds, false);
    check_float8(Float8::e4m3, DType::bf16, Epilogue::bias, adds, false);
    check_float8(Float8::e5m2, DType::bf16, Epilogue::none, adds, true);
    check_float8(Float8::e5m2, DType::f32, Epilogue::none, adds, true);
  }
}

}  // namespace
}  // namespace ocoee::kernels::test
