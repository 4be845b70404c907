// SPDX-License-Identifier: Apache-2.0
// Products and attention without a tape, against autograd in float64.
#include "nn/products.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nn/fused_attention.h"

namespace ocoee::nn {
namespace {

void expect_close(const at::Tensor& a, const at::Tensor& b, const std::string& what,
                  double tolerance = 1e-11) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_LE((a - b).norm().item<double>(), tolerance * std::max(0.1, b.norm().item<double>()))
      << what;
}

struct ProductCase {
  at::Tensor x = at::randn({2, 3, 5}, at::kDouble), weight = at::randn({7, 5}, at::kDouble),
             bias = at::randn({7}, at::kDouble), g = at::randn({2, 3, 7}, at::kDouble);
};

TEST(Products, HalvesOfTheBackwardEqualAutograd) {
  at::manual_seed(1);
  const ProductCase c;
  const at::Tensor x = c.x.clone().requires_grad_(true), w = c.weight.clone().requires_grad_(true),
                   b = c.bias.clone().requires_grad_(true);
  const at::Tensor residual = at::randn({2, 3, 7}, at::kDouble);
  const at::Tensor expected = at::linear(x, w, b) + residual;
  expected.backward(c.g);
  expect_close(product(c.x, c.weight, c.bias, residual), expected, "product");
  expect_close(product_input_gradient(c.g, c.weight), x.grad(), "input gradient");
  // Added to what is there.
  const at::Tensor dw = at::ones_like(c.weight), db = at::ones_like(c.bias);
  product_weight_gradient(c.g, c.x, dw, db);
  expect_close(dw - 1, w.grad(), "weight gradient");
  expect_close(db - 1, b.grad(), "bias gradient");
  // With a factor.
  const at::Tensor scale = at::full({}, 0.375, at::kFloat);
  expect_close(product_input_gradient(c.g, c.weight, scale), x.grad() * 0.375, "scaled");
  product_weight_gradient(c.g, c.x, dw, {}, /*adds=*/true, scale);
  expect_close(dw - 1, w.grad() * 1.375, "scaled weight gradient");
  dw.fill_(std::nan(""));
  product_weight_gradient(c.g, c.x, dw, {}, /*adds=*/false);
  expect_close(dw, w.grad(), "written weight gradient");
}

TEST(Products, GeluStandsBetweenTwoOfThem) {
  at::manual_seed(2);
  const ProductCase c;
  const at::Tensor x = c.x.clone().requires_grad_(true);
  const at::Tensor down = at::randn({4, 7}, at::kDouble), g = at::randn({2, 3, 4}, at::kDouble);
  const at::Tensor bias = c.bias.clone().requires_grad_(true);
  const at::Tensor argument = at::linear(x, c.weight, bias);
  const at::Tensor expected = at::gelu(argument, "tanh");
  at::linear(expected, down).backward(g);
  at::Tensor before;
  expect_close(product_gelu(c.x, c.weight, c.bias, &before), expected, "gelu");
  expect_close(before, argument, "argument of gelu");
  const at::Tensor db = at::ones_like(c.bias);
  const at::Tensor d_before = product_input_gradient_gelu(g, down, before, db);
  expect_close(product_input_gradient(d_before, c.weight), x.grad(), "gradient through gelu");
  expect_close(db - 1, bias.grad(), "bias gradient through gelu");
  expect_close(product_input_gradient_gelu(g, down, before), d_before, "without a bias");
}

TEST(Products, LowPrecisionGradientsGatherInFloat32) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({64, 16}).to(at::kBFloat16),
                   g = at::randn({64, 8}).to(at::kBFloat16);
  const at::Tensor dw = at::zeros({8, 16}), db = at::zeros({8});
  for (int i = 0; i < 3; ++i) product_weight_gradient(g, x, dw, db);
  expect_close(dw, 3 * at::mm(g.t().to(at::kFloat), x.to(at::kFloat)), "weight gradient", 4e-3);
  expect_close(db, 3 * g.to(at::kFloat).sum({0}), "bias gradient", 1e-5);
}

// Numbers with three digits are float8 numbers: rounding them changes nothing.
TEST(Products, Float8IsExactWhereItsNumbersAre) {
  at::manual_seed(4);
  const auto few_digits = [](at::IntArrayRef shape, double unit) {
    return (at::randint(-7, 8, shape) * unit).to(at::kBFloat16);
  };
  Float8Table table(3, at::kCPU);
  const Float8 float8{&table, 1};
  for (int step = 0; step < 2; ++step) {  // first looked at, then by the scales of the step before
    const at::Tensor x = few_digits({2, 8, 5}, 0.25), weight = few_digits({7, 5}, 0.125);
    expect_close(product(x, weight, {}, {}, float8).to(at::kDouble),
                 product(x, weight).to(at::kDouble), "product", 0);
    const at::Tensor coarse = (at::randint(-3, 4, {2, 8, 7}) * 0.5).to(at::kBFloat16);
    expect_close(product_input_gradient(coarse, weight, {}, float8).to(at::kDouble),
                 product_input_gradient(coarse, weight).to(at::kDouble), "input gradient", 0);
    const at::Tensor dw = at::ones({7, 5}), want = at::ones({7, 5}), db = at::zeros({7});
    product_weight_gradient(coarse, x, dw, db, true, {}, float8);
    product_weight_gradient(coarse, x, want);
    expect_close(dw.to(at::kDouble), want.to(at::kDouble), "weight gradient", 0);
    expect_close(db, coarse.to(at::kFloat).flatten(0, 1).sum(0), "bias gradient", 1e-6);
    table.finish_step({});
    EXPECT_GT(table.largest()[1][0].item<float>(), 1);
    EXPECT_EQ(table.largest()[0].abs().max().item<float>(), 0);  // the place of another product
  }
}

TEST(Products, Float8IsNearAndDiffersElsewhere) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({64, 32}).to(at::kBFloat16),
                   weight = at::randn({48, 32}).to(at::kBFloat16),
                   g = (at::randn({64, 48}) * 1e-6).to(at::kBFloat16);
  Float8Table table(1, at::kCPU);
  const Float8 float8{&table, 0};
  for (int step = 0; step < 2; ++step) {
    const at::Tensor y = product(x, weight, {}, {}, float8), plain = product(x, weight);
    EXPECT_FALSE(y.equal(plain));
    expect_close(y.to(at::kFloat), plain.to(at::kFloat), "product", 0.05);
    const at::Tensor dw = at::zeros({48, 32}), want = at::zeros({48, 32});
    product_weight_gradient(g * 1e6, x, dw, {}, true, {}, float8);
    product_weight_gradient(g * 1e6, x, want);
    expect_close(dw, want, "weight gradient", 0.1);
    table.finish_step({});
  }
  // Gradients far below what the format holds without a scale.
  Float8Table small(1, at::kCPU);
  const at::Tensor tiny = product_input_gradient(g, weight, {}, Float8{&small, 0}) * 1e6;
  expect_close(tiny.to(at::kFloat), product_input_gradient(g * 1e6, weight).to(at::kFloat), "tiny",
               0.1);
}

// q, k, v as parts of one product, as layers hold them.
struct AttentionCase {
  int64_t heads, kv_heads;
  at::Tensor qkv, grad = {};
  AttentionCase(int64_t h, int64_t kv)
      : heads(h), kv_heads(kv), qkv(at::randn({2, 6, h + 2 * kv, 4}, at::kDouble)) {}
  static at::Tensor part(const at::Tensor& t, int64_t first, int64_t count) {
    return t.narrow(2, first, count);
  }
  at::Tensor q(const at::Tensor& t) const { return part(t, 0, heads); }
  at::Tensor k(const at::Tensor& t) const { return part(t, heads, kv_heads); }
  at::Tensor v(const at::Tensor& t) const { return part(t, heads + kv_heads, kv_heads); }
  at::Tensor reference(const at::Tensor& t, bool causal) const {
    const int64_t groups = heads / kv_heads;
    const at::Tensor query = q(t).transpose(1, 2),
                     key = k(t).transpose(1, 2).repeat_interleave(groups, 1),
                     value = v(t).transpose(1, 2).repeat_interleave(groups, 1);
    at::Tensor scores = at::matmul(query, key.transpose(2, 3)) / 2.0;  // sqrt(4)
    if (causal)
      scores = scores.masked_fill(at::ones({6, 6}, at::kBool).triu(1),
                                  -std::numeric_limits<double>::infinity());
    return at::matmul(at::softmax(scores, -1), value).transpose(1, 2);
  }
};

TEST(FusedAttention, EqualsAutogradForHeadsAndGroups) {
  for (const auto& [heads, kv_heads] : {std::pair<int64_t, int64_t>{4, 4}, {4, 2}, {4, 1}}) {
    for (const bool causal : {true, false}) {
      at::manual_seed(heads + kv_heads);
      const AttentionCase c(heads, kv_heads);
      const at::Tensor leaf = c.qkv.clone().requires_grad_(true);
      const at::Tensor expected = c.reference(leaf, causal);
      const at::Tensor g = at::randn(expected.sizes(), at::kDouble);
      expected.backward(g);
      AttentionSaved saved;
      const at::Tensor out = attention_forward(c.q(c.qkv), c.k(c.qkv), c.v(c.qkv), causal, &saved);
      expect_close(out, expected, "attention");
      const at::Tensor grad = at::empty_like(c.qkv);
      attention_backward(g, c.q(c.qkv), c.k(c.qkv), c.v(c.qkv), causal, saved, c.q(grad), c.k(grad),
                         c.v(grad));
      expect_close(grad, leaf.grad(), "gradient of q, k, v");
    }
  }
}

// What ring attention stands on: with the output and log-sum-exp over all keys, the gradients of
// parts of the keys are the parts of the gradients.
TEST(FusedAttention, PartsOfTheKeysAddUp) {
  at::manual_seed(9);
  const AttentionCase c(4, 2);
  const at::Tensor q = c.q(c.qkv), k = c.k(c.qkv), v = c.v(c.qkv);
  AttentionSaved saved;
  const at::Tensor out = attention_forward(q, k, v, false, &saved);
  const at::Tensor g = at::randn(out.sizes(), at::kDouble);
  const at::Tensor grad = at::empty_like(c.qkv), parts = at::empty_like(c.qkv);
  attention_backward(g, q, k, v, false, saved, c.q(grad), c.k(grad), c.v(grad));
  at::Tensor dq = at::zeros_like(q);
  for (const int64_t first : {0, 3}) {
    const at::Tensor some_q = at::empty_like(q);
    attention_backward(g, q, k.narrow(1, first, 3), v.narrow(1, first, 3), false, saved, some_q,
                       c.k(parts).narrow(1, first, 3), c.v(parts).narrow(1, first, 3));
    dq += some_q;
  }
  expect_close(dq, c.q(grad), "gradient of q");
  expect_close(c.k(parts), c.k(grad), "gradient of k");
  expect_close(c.v(parts), c.v(grad), "gradient of v");
}

}  // namespace
}  // namespace ocoee::nn
