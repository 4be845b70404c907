// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention without a tape, by the library's fused kernels, forward and backward
// (Dao et al. 2022: the backward recomputes the probabilities from the log-sum-exp). Query heads
// share key-value heads in groups (Ainslie et al. 2023).
//
//   q [B, T, heads, D];  k, v [B, S, kv_heads, D], any strides with the last dimension contiguous
//   out [B, T, heads, D] = softmax(q k' / sqrt(D)) v; causal needs T = S
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ocoee::nn {

struct AttentionSaved {                  // what is defined before the forward pass is filled
  at::Tensor out;                        // [B, T, heads, D]
  at::Tensor log_sum_exp;                // [B, heads, T] float32 (float64 for float64)
  std::vector<at::Tensor> random_state;  // what a library kernel wants back
};

at::Tensor attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             bool causal, AttentionSaved* saved);

// Writes the gradients of q, k and v, which may be strided parts of one tensor. `saved` may hold
// the out and log_sum_exp of attention over more keys than these (ring attention): then the
// gradients are those of this part of the keys.
void attention_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v, bool causal, const AttentionSaved& saved,
                        const at::Tensor& grad_q, const at::Tensor& grad_k,
                        const at::Tensor& grad_v);

}  // namespace ocoee::nn
