// SPDX-License-Identifier: Apache-2.0
// Causal attention in its plain form, for those who need the probabilities between its two
// products: dropout on them.
//
//   p [B, heads, T, T] = softmax(q k' / sqrt(D)), mixed [B, T, heads, D] = dropped(p) v
//   q [B, T, heads, D]; k, v [B, T, kv_heads, D]; query heads share key-value heads in groups
#pragma once

#include <ATen/core/Tensor.h>

namespace ocoee::nn {

// In the memory of `into`, where that is defined.
at::Tensor probabilities(const at::Tensor& q, const at::Tensor& k, const at::Tensor& into = {});
at::Tensor mix(const at::Tensor& dropped, const at::Tensor& v);

// The backward pass, in steps, between which a caller lets go of what is not needed any more. The
// first and the last write into their last arguments; `grad_p` is the gradient of p itself.
void mix_backward(const at::Tensor& dropped, const at::Tensor& grad_mixed,
                  const at::Tensor& grad_v);
at::Tensor probabilities_gradient(const at::Tensor& grad_mixed, const at::Tensor& v);  // of dropped
void probabilities_backward(const at::Tensor& p, const at::Tensor& grad_p, const at::Tensor& q,
                            const at::Tensor& k, const at::Tensor& grad_q,
                            const at::Tensor& grad_k);

}  // namespace ocoee::nn
