// SPDX-License-Identifier: Apache-2.0
#include "nn/fused_attention.h"

#include <cmath>
#include <limits>

#include "nn/gpu_calls.h"
#include "nn/heads.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

bool has_flash_kernel(const at::Tensor& q) {
  return !q.is_cuda() || q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
}

kernels::HeadsView view_of(const at::Tensor& t) {
  return {t.data_ptr(), {t.stride(0), t.stride(1), t.stride(2)}};
}

// cuDNN's kernels; all but the arrays of one direction.
kernels::Attention library_call(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& out, const at::Tensor& log_sum_exp, bool causal) {
  kernels::Attention call;
  call.dtype = dtype_of(q.scalar_type());
  call.batch = q.size(0);
  call.length = q.size(1);
  call.heads = q.size(2);
  call.head_dim = q.size(3);
  call.keys = k.size(1);
  call.kv_heads = k.size(2);
  call.causal = causal;
  call.scale = 1 / std::sqrt(static_cast<double>(call.head_dim));
  call.q = view_of(q);
  call.k = view_of(k);
  call.v = view_of(v);
  call.out = view_of(out);
  call.log_sum_exp = log_sum_exp.defined() ? log_sum_exp.data_ptr<float>() : nullptr;
  return call;
}

bool suits_library(const at::Tensor& q) {
  return q.is_cuda() && (q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf) &&
         q.size(3) % 8 == 0 && q.size(3) <= 128 && q.numel() > 0;
}

// Making cuDNN ready for a new shape takes many milliseconds, which pays where the shape comes
// again (training) or the work is large; sampling, with another length for each token, has neither.
bool pays(const at::Tensor& q, const at::Tensor& k, const AttentionSaved* saved) {
  return saved || static_cast<double>(q.numel()) * static_cast<double>(k.size(1)) > 2e9;
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
  AttentionSaved made;
  if (suits_library(q) && pays(q, k, saved)) {
    if (saved) made = *saved;
    if (!made.out.defined()) made.out = at::empty(q.sizes(), q.options());
    if (saved && !made.log_sum_exp.defined())
      made.log_sum_exp =
          at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat));
    if (gpu_attention(library_call(q, k, v, made.out, made.log_sum_exp, causal), false, q)) {
      if (saved) *saved = made;
      return made.out;
    }
  }
  const int64_t heads = q.size(2);
  const at::Tensor query = heads_first(q), key = repeated(heads_first(k), heads),
                   value = repeated(heads_first(v), heads);
  made = {};
  if (!has_flash_kernel(q)) {
    at::Tensor p = scores_of(query, key, causal);
    made.log_sum_exp = at::logsumexp(p, {3});
    made.out = at::matmul(p.sub_(made.log_sum_exp.unsqueeze(3)).exp_(), value);
  } else if (q.is_cuda()) {
    auto [o, l, ignored1, ignored2, ignored3, ignored4, seed, offset, ignored5] =
        at::_scaled_dot_product_flash_attention(query, key, value, 0.0, causal, false);
    made = {o, l, {seed, offset}};
  } else {
    std::tie(made.out, made.log_sum_exp) =
        at::_scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal);
  }
  made.out = made.out.transpose(1, 2);
  if (!saved) return made.out.contiguous();
  made.out = saved->out.defined() ? saved->out.copy_(made.out) : made.out.contiguous();
  if (saved->log_sum_exp.defined()) made.log_sum_exp = saved->log_sum_exp.copy_(made.log_sum_exp);
  *saved = std::move(made);
  return saved->out;
}

void attention_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v, bool causal, const AttentionSaved& saved,
                        const at::Tensor& grad_q, const at::Tensor& grad_k,
                        const at::Tensor& grad_v) {
  if (suits_library(q) && saved.log_sum_exp.is_contiguous()) {
    kernels::Attention call = library_call(q, k, v, saved.out, saved.log_sum_exp, causal);
    call.d_out = view_of(grad_out);
    call.d_q = view_of(grad_q);
    call.d_k = view_of(grad_k);
    call.d_v = view_of(grad_v);
    if (gpu_attention(call, true, q)) return;
  }
  const int64_t heads = q.size(2), kv_heads = k.size(2);
  const at::Tensor g = heads_first(grad_out), out = heads_first(saved.out), query = heads_first(q),
                   key = repeated(heads_first(k), heads), value = repeated(heads_first(v), heads);
  at::Tensor dq, dk, dv;
  if (!has_flash_kernel(q)) {
    // In place: these are the largest arrays there are.
    const at::Tensor p = scores_of(query, key, causal).sub_(saved.log_sum_exp.unsqueeze(3)).exp_();
    at::Tensor ds = at::matmul(g, value.transpose(2, 3));
    ds.sub_((g * out).sum({3}, /*keepdim=*/true)).mul_(p);
    ds.div_(std::sqrt(static_cast<double>(q.size(3))));
    dq = at::matmul(ds, key);
    dk = at::matmul(ds.transpose(2, 3), query);
    dv = at::matmul(p.transpose(2, 3), g);
  } else if (q.is_cuda()) {
    std::vector<at::Tensor> random = saved.random_state;  // unused without dropout
    if (random.empty()) random.resize(2, at::zeros({}, q.options().dtype(at::kLong)));
    std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_backward(
        g, query, key, value, out, saved.log_sum_exp, {}, {}, q.size(1), k.size(1), 0.0, causal,
        random[0], random[1]);
  } else {
    std::tie(dq, dk, dv) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        g, query, key, value, out, saved.log_sum_exp, 0.0, causal);
  }
  grad_q.copy_(dq.transpose(1, 2));
  grad_k.copy_(summed(dk, kv_heads).transpose(1, 2));
  grad_v.copy_(summed(dv, kv_heads).transpose(1, 2));
}

}  // namespace ocoee::nn
