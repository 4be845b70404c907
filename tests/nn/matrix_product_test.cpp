// SPDX-License-Identifier: Apache-2.0
// Products of both libraries, below and above the size at which one takes over, against float64.
#include "nn/matrix_product.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

namespace ocoee::nn {
namespace {

struct Case {
  at::Tensor a, b, bias, c;
};

// Operands as layers hand them over: dense, transposed, or columns of something wider.
Case random_case(int64_t m, int64_t k, int64_t n, int view) {
  Case made;
  made.a = view & 1 ? at::randn({k, m}).t() : at::randn({m, k});
  made.b = view & 2 ? at::randn({n, k}).t() : at::randn({k, n});
  if (view & 4) made.a = at::randn({m, k + 16}).narrow(1, 8, k);
  made.bias = at::randn({n});
  made.c = view & 8 ? at::randn({m, n + 16}).narrow(1, 8, n) : at::randn({m, n});
  return made;
}

double error(const at::Tensor& c, const at::Tensor& truth) {
  return ((c.to(at::kDouble) - truth).norm() / truth.norm()).item<double>();
}

TEST(MatrixProduct, EverySizeAndViewAgreesWithFloat64) {
  at::manual_seed(1);
  for (const auto& [m, k, n] : {std::array<int64_t, 3>{5, 7, 3},
                                {256, 128, 160},
                                {130, 515, 66},
                                {128, 2048, 64},
                                {0, 4, 3},
                                {4, 3, 0}}) {
    for (int view = 0; view < 16; ++view) {
      SCOPED_TRACE(testing::Message() << m << "x" << k << "x" << n << ", view " << view);
      const Case made = random_case(m, k, n, view);
      const at::Tensor product = at::mm(made.a.to(at::kDouble), made.b.to(at::kDouble)),
                       before = made.c.to(at::kDouble).clone();
      matrix_product(made.a, made.b, made.c);
      if (product.numel() == 0) continue;
      EXPECT_LT(error(made.c, product), 1e-6);
      made.c.copy_(before);
      matrix_product(made.a, made.b, made.c, /*adds=*/true);
      EXPECT_LT(error(made.c, product + before), 1e-6);
      matrix_product(made.a, made.b, made.bias, made.c);
      EXPECT_LT(error(made.c, product + made.bias), 1e-6);
    }
  }
}

TEST(MatrixProduct, SmallOnesAndOtherTypesStayWhereTheyWere) {
  const auto takes = [](int64_t m, int64_t k, int64_t n, at::ScalarType type) {
    const auto of = [&](int64_t rows, int64_t columns) { return at::empty({rows, columns}, type); };
    return takes_onednn(of(m, k), of(k, n), of(m, n));
  };
  const bool here = takes(256, 128, 160, at::kFloat);
  EXPECT_EQ(takes(512, 512, 512, at::kFloat), here);
  EXPECT_FALSE(takes(64, 64, 64, at::kFloat));
  EXPECT_FALSE(takes(512, 512, 512, at::kDouble));
  EXPECT_FALSE(takes(512, 512, 512, at::kBFloat16));
  RecordProperty("onednn", here);
  std::printf("[ NOTE     ] large float32 products of this processor: %s\n",
              here ? "oneDNN" : "MKL");
}

TEST(MatrixProduct, IsTheSameToTheBitEachTime) {
  const Case made = random_case(512, 1024, 96, 3);
  matrix_product(made.a, made.b, made.c);
  const at::Tensor first = made.c.clone();
  matrix_product(made.a, made.b, made.c);
  EXPECT_TRUE(at::equal(first, made.c));
}

}  // namespace
}  // namespace ocoee::nn
