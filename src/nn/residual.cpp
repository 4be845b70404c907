// SPDX-License-Identifier: Apache-2.0
#include "nn/residual.h"

#include "nn/dropout.h"
#include "nn/products.h"

namespace ocoee::nn {

at::Tensor add_update(const Layer& layer, const at::Tensor& y, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& x, Context& context,
                      const Float8& float8) {
  const bool drops = context.training && dropout_rate(layer) > 0,
             alone = tensor_ranks(context) == 1;
  if (alone && !drops) return product(y, weight, bias, x, float8);
  at::Tensor update = alone ? product(y, weight, bias, {}, float8)
                            : sum_rows(product(y, weight, {}, {}, float8), context).wait();
  if (!alone && bias.defined()) update.add_(bias);
  if (!drops) return update.add_(x);
  return dropout(update, layer, /*site=*/0, context, "dropout", residual_rows(context), x);
}

at::Tensor update_gradient(const Layer& layer, const at::Tensor& grad_x, Context& context) {
  return dropout(grad_x.contiguous(), layer, /*site=*/0, context, "dropout",
                 residual_rows(context));
}

void add_update_weight_gradient(const at::Tensor& own, const at::Tensor& all, const at::Tensor& y,
                                const at::Tensor& grad_weight, const at::Tensor& grad_bias,
                                bool adds, const Float8& float8) {
  const bool alone = own.is_same(all);
  product_weight_gradient(all, y, grad_weight, alone ? grad_bias : at::Tensor(), adds, {}, float8);
  if (!alone && grad_bias.defined())
    grad_bias.add_(at::sum(own, {0}, /*keepdim=*/false, grad_bias.scalar_type()));
}

}  // namespace ocoee::nn
