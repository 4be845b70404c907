// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

struct Case {
  DType dtype;
  int64_t batch, length, keys, heads, kv_heads, head_dim;
  bool causal;
};

// Queries, keys and values of one token lie side by side: [batch, tokens, heads + 2 kv_heads,
// head_dim], as long as there are as many queries as keys.
struct Layout {
  int64_t heads_in_row, first;
  size_t at(int64_t batch, int64_t tokens, int64_t token, int64_t head, int64_t head_dim,
            int64_t d) const {
    return static_cast<size_t>(((batch * tokens + token) * heads_in_row + first + head) * head_dim +
                               d);
  }
};

struct Result {
  std::vector<double> out, log_sum_exp, d_qkv;
};

Result reference(const Case& c, const std::vector<double>& qkv, const std::vector<double>& d_out) {
  const int64_t row = c.heads + 2 * c.kv_heads, group = c.heads / c.kv_heads;
  const Layout q{row, 0}, k{row, c.heads}, v{row, c.heads + c.kv_heads}, o{c.heads, 0};
  const double scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  Result r;
  r.out.resize(d_out.size()), r.d_qkv.resize(qkv.size());
  r.log_sum_exp.resize(static_cast<size_t>(c.batch * c.heads * c.length));
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t h = 0; h < c.heads; ++h) {
      for (int64_t t = 0; t < c.length; ++t) {
        const int64_t last = c.causal ? t + 1 : c.keys;
        const auto query = [&](int64_t d) { return q.at(b, c.length, t, h, c.head_dim, d); };
        const auto key = [&](int64_t s, int64_t d) {
          return k.at(b, c.keys, s, h / group, c.head_dim, d);
        };
        const auto value = [&](int64_t s, int64_t d) {
          return v.at(b, c.keys, s, h / group, c.head_dim, d);
        };
        const auto mixed = [&](int64_t d) { return o.at(b, c.length, t, h, c.head_dim, d); };
        std::vector<double> p(static_cast<size_t>(last));
        double sum = 0;
        for (int64_t s = 0; s < last; ++s) {
          double z = 0;
          for (int64_t d = 0; d < c.head_dim; ++d) z += qkv[query(d)] * qkv[key(s, d)];
          sum += p[static_cast<size_t>(s)] = std::exp(z * scale);
        }
        r.log_sum_exp[static_cast<size_t>((b * c.heads + h) * c.length + t)] = std::log(sum);
        double inner = 0;
        for (int64_t s = 0; s < last; ++s) {
          p[static_cast<size_t>(s)] /= sum;
          for (int64_t d = 0; d < c.head_dim; ++d)
            r.out[mixed(d)] += p[static_cast<size_t>(s)] * qkv[value(s, d)];
        }
        for (int64_t d = 0; d < c.head_dim; ++d) inner += r.out[mixed(d)] * d_out[mixed(d)];
        for (int64_t s = 0; s < last; ++s) {
          double dp = 0;
          for (int64_t d = 0; d < c.head_dim; ++d) dp += d_out[mixed(d)] * qkv[value(s, d)];
          const double dz = p[static_cast<size_t>(s)] * (dp - inner) * scale;
          for (int64_t d = 0; d < c.head_dim; ++d) {
            r.d_qkv[query(d)] += dz * qkv[key(s, d)];
            r.d_qkv[key(s, d)] += dz * qkv[query(d)];
            r.d_qkv[value(s, d)] += p[static_cast<size_t>(s)] * d_out[mixed(d)];
          }
        }
      }
    }
  }
  return r;
}

void check(const Case& c, bool deterministic) {
  const int64_t row = c.heads + 2 * c.kv_heads;
  const auto qkv = rounded(c.dtype, normal_values(c.batch * c.keys * row * c.head_dim, 1)),
             d_out = rounded(c.dtype, normal_values(c.batch * c.length * c.heads * c.head_dim, 2));
  const Result want = reference(c, qkv, d_out);
  const Array in(c.dtype, qkv), grad(c.dtype, d_out);
  const Array out(c.dtype, grad.count()), d_qkv(c.dtype, in.count()),
      sums(DType::f32, static_cast<int64_t>(want.log_sum_exp.size()));
  const auto view = [&](const Array& array, int64_t first, int64_t heads_in_row, int64_t tokens) {
    const int64_t stride = heads_in_row * c.head_dim;
    return HeadsView{static_cast<char*>(array.data()) + first * c.head_dim * 2,
                     {stride * tokens, stride, c.head_dim}};
  };
  Attention a;
  a.dtype = c.dtype;
  a.batch = c.batch, a.length = c.length, a.keys = c.keys;
  a.heads = c.heads, a.kv_heads = c.kv_heads, a.head_dim = c.head_dim;
  a.causal = c.causal;
  a.scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  a.deterministic = deterministic;
  a.measure = !deterministic;
  a.q = view(in, 0, row, c.keys), a.k = view(in, c.heads, row, c.keys),
  a.v = view(in, c.heads + c.kv_heads, row, c.keys), a.out = view(out, 0, c.heads, c.length);
  a.d_q = view(d_qkv, 0, row, c.keys), a.d_k = view(d_qkv, c.heads, row, c.keys),
  a.d_v = view(d_qkv, c.heads + c.kv_heads, row, c.keys);
  a.d_out = view(grad, 0, c.heads, c.length);
  a.log_sum_exp = sums.as<float>();
  std::vector<unsigned char> bits;
  for (const bool backward : {false, true}) {
    const int64_t bytes = cuda::attention_workspace(a, backward, test_stream());
    if (bytes < 0) GTEST_SKIP() << "built without cuDNN, or none for this GPU";
    for (int run = 0; run < (backward && deterministic ? 3 : 1); ++run) {
      const Array space = workspace(static_cast<size_t>(std::max<int64_t>(bytes, 8)));
      a.workspace = space.data();
      if (backward) {
        cuda::attention_backward(a, test_stream());
      } else {
        cuda::attention_forward(a, test_stream());
      }
      if (!backward) continue;
      if (run > 0) {
        EXPECT_EQ(bits, d_qkv.bits());
      }
      bits = d_qkv.bits();
    }
  }
  // Probabilities are rounded to the compute type between the two products.
  EXPECT_NEAR_ARRAY(out.read(), want.out, 2 * tolerance(c.dtype));
  EXPECT_NEAR_ARRAY(sums.read(), want.log_sum_exp, 1e-4);
  EXPECT_NEAR_ARRAY(d_qkv.read(), want.d_qkv, 3 * tolerance(c.dtype));
}

TEST(FusedAttention, AgainstPlainLoopsInDoublePrecision) {
  if (!on_gpu()) GTEST_SKIP() << "a GPU library";
  for (const bool deterministic : {false, true}) {
    check({DType::bf16, 2, 128, 128, 4, 4, 64, true}, deterministic);
    check({DType::bf16, 2, 96, 96, 4, 2, 64, true}, deterministic);
    check({DType::f16, 1, 160, 160, 2, 2, 128, true}, deterministic);
    check({DType::bf16, 1, 128, 128, 4, 1, 32, false}, deterministic);
  }
}

}  // namespace
}  // namespace ocoee::kernels::test
