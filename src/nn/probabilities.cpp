// SPDX-License-Identifier: Apache-2.0
#include "nn/probabilities.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "nn/heads.h"

namespace ocoee::nn {
namespace {

double scale_of(const at::Tensor& q) {
  return 1 / std::sqrt(static_cast<double>(q.size(3)));
}

}  // namespace

at::Tensor probabilities(const at::Tensor& q, const at::Tensor& k, const at::Tensor& into) {
  at::Tensor scores =
      at::matmul(heads_first(q), repeated(heads_first(k), q.size(2)).transpose(2, 3))
          .mul_(scale_of(q));
  const at::Tensor future = at::ones({q.size(1), k.size(1)}, q.options().dtype(at::kBool)).triu(1);
  scores.masked_fill_(future, -std::numeric_limits<double>::infinity());
  at::Tensor p = into.defined() ? into : at::empty(scores.sizes(), scores.options());
  return at::_softmax_out(p, scores, -1, /*half_to_float=*/false);
}

at::Tensor mix(const at::Tensor& dropped, const at::Tensor& v) {
  return heads_first(at::matmul(dropped, repeated(heads_first(v), dropped.size(1)))).contiguous();
}

void mix_backward(const at::Tensor& dropped, const at::Tensor& grad_mixed,
                  const at::Tensor& grad_v) {
  grad_v.copy_(heads_first(
      summed(at::matmul(dropped.transpose(2, 3), heads_first(grad_mixed)), grad_v.size(2))));
}

at::Tensor probabilities_gradient(const at::Tensor& grad_mixed, const at::Tensor& v) {
  return at::matmul(heads_first(grad_mixed),
                    repeated(heads_first(v), grad_mixed.size(2)).transpose(2, 3));
}

void probabilities_backward(const at::Tensor& p, const at::Tensor& grad_p, const at::Tensor& q,
                            const at::Tensor& k, const at::Tensor& grad_q,
                            const at::Tensor& grad_k) {
  const at::Tensor grad_scores =
      at::_softmax_backward_data(grad_p, p, -1, p.scalar_type()).mul_(scale_of(q));
  grad_q.copy_(heads_first(at::matmul(grad_scores, repeated(heads_first(k), q.size(2)))));
  grad_k.copy_(
      heads_first(summed(at::matmul(grad_scores.transpose(2, 3), heads_first(q)), k.size(2))));
}

}  // namespace ocoee::nn
