// SPDX-License-Identifier: Apache-2.0
#include "nn/fused_attention.h"

#include <cmath>
#include <limits>

namespace ocoee::nn {
namespace {

// The library wants [B, heads, T, D].
at::Tensor heads_first(const at::Tensor& t) {
  return t.transpose(1, 2);
}

// Key-value heads repeated for each query head of their group.
at::Tensor repeated(const at::Tensor& t, int64_t groups) {
  return groups == 1 ? t : t.repeat_interleave(groups, 1);
}

// [B, heads, S, D] -> [B, kv_heads, S, D]: what a shared head received from its group.
at::Tensor summed(const at::Tensor& t, int64_t groups) {
  if (groups == 1) return t;
  return t.view({t.size(0), t.size(1) / groups, groups, t.size(2), t.size(3)}).sum(2);
}

bool has_flash_kernel(const at::Tensor& q) {
  return !q.is_cuda() || q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
}

at::Tensor scores_of(const at::Tensor& q, const at::Tensor& k, bool causal) {
  at::Tensor scores =
      at::matmul(q, k.transpose(2, 3)).div_(std::sqrt(static_cast<double>(q.size(3))));
  if (causal) {
    const at::Tensor future =
        at::ones({q.size(2), k.size(2)}, q.options().dtype(at::kBool)).triu(1);
    scores.masked_fill_(future, -std::numeric_limits<double>::infinity());
  }
  return scores;
}

}  // namespace

at::Tensor attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             bool causal, AttentionSaved* saved) {
  const int64_t groups = q.size(2) / k.size(2);
  const at::Tensor query = heads_first(q), key = repeated(heads_first(k), groups),
                   value = repeated(heads_first(v), groups);
  at::Tensor out, log_sum_exp;
  std::vector<at::Tensor> random_state;
  if (!has_flash_kernel(q)) {
    const at::Tensor scores = scores_of(query, key, causal);
    log_sum_exp = at::logsumexp(scores, {3});
    out = at::matmul(at::exp(scores - log_sum_exp.unsqueeze(3)), value);
  } else if (q.is_cuda()) {
    auto [o, l, ignored1, ignored2, ignored3, ignored4, seed, offset, ignored5] =
        at::_scaled_dot_product_flash_attention(query, key, value, 0.0, causal, false);
    out = o, log_sum_exp = l, random_state = {seed, offset};
  } else {
    std::tie(out, log_sum_exp) =
        at::_scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal);
  }
  out = out.transpose(1, 2).contiguous();
  if (saved) *saved = {out, log_sum_exp, std::move(random_state)};
  return out;
}

void attention_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v, bool causal, const AttentionSaved& saved,
                        const at::Tensor& grad_q, const at::Tensor& grad_k,
                        const at::Tensor& grad_v) {
  const int64_t groups = q.size(2) / k.size(2);
  const at::Tensor g = heads_first(grad_out), out = heads_first(saved.out), query = heads_first(q),
                   key = repeated(heads_first(k), groups), value = repeated(heads_first(v), groups);
  at::Tensor dq, dk, dv;
  if (!has_flash_kernel(q)) {
    const at::Tensor p = at::exp(scores_of(query, key, causal) - saved.log_sum_exp.unsqueeze(3));
    const at::Tensor dp =
        at::matmul(g, value.transpose(2, 3)) - (g * out).sum({3}, /*keepdim=*/true);
    const at::Tensor ds = (p * dp).div_(std::sqrt(static_cast<double>(q.size(3))));
    dq = at::matmul(ds, key);
    dk = at::matmul(ds.transpose(2, 3), query);
    dv = at::matmul(p.transpose(2, 3), g);
  } else if (q.is_cuda()) {
    std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_backward(
        g, query, key, value, out, saved.log_sum_exp, {}, {}, q.size(1), k.size(1), 0.0, causal,
        saved.random_state[0], saved.random_state[1]);
  } else {
    std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        g, query, key, value, out, saved.log_sum_exp, 0.0, causal);
  }
  grad_q.copy_(dq.transpose(1, 2));
  grad_k.copy_(summed(dk, groups).transpose(1, 2));
  grad_v.copy_(summed(dv, groups).transpose(1, 2));
}

}  // namespace ocoee::nn
