// SPDX-License-Identifier: Apache-2.0
#include "nn/products.h"

namespace ocoee::nn {
namespace {

at::Tensor rows_of(const at::Tensor& t) {
  return t.reshape({-1, t.size(-1)});
}

}  // namespace

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& residual) {
  at::Tensor y = bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
  if (residual.defined()) y.add_(residual);
  return y;
}

at::Tensor product_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        at::Tensor* before) {
  const at::Tensor argument = product(x, weight, bias);
  if (before) *before = argument;
  return at::gelu(argument, "tanh");
}

at::Tensor product_input_gradient(const at::Tensor& g, const at::Tensor& weight) {
  return at::matmul(g, weight);
}

at::Tensor product_input_gradient_gelu(const at::Tensor& g, const at::Tensor& weight,
                                       const at::Tensor& before) {
  return at::gelu_backward(product_input_gradient(g, weight), before, "tanh");
}

void product_weight_gradient(const at::Tensor& g, const at::Tensor& x,
                             const at::Tensor& weight_gradient, const at::Tensor& bias_gradient) {
  const at::Tensor rows = rows_of(g);
  if (g.scalar_type() == weight_gradient.scalar_type())
    weight_gradient.addmm_(rows.t(), rows_of(x));
  else
    weight_gradient.add_(at::mm(rows.t(), rows_of(x)));
  if (bias_gradient.defined())
    bias_gradient.add_(at::sum(rows, {0}, /*keepdim=*/false, bias_gradient.scalar_type()));
}

}  // namespace ocoee::nn
