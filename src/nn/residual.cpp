// SPDX-License-Identifier: Apache-2.0
#include "nn/residual.h"

#include "nn/dropout.h"
#include "nn/products.h"

namespace ocoee::nn {

namespace {

bool drops(const Layer& layer, const Context& context) {
  return context.training && dropout_rate(layer) > 0;
}

}  // namespace

Exchange begin_update(const Layer& layer, const at::Tensor& y, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& x, Context& context,
                      const Float8& float8) {
  const bool last = !drops(layer, context);  // then this becomes the output
  const at::Tensor into = last ? output(context, x.sizes(), x.options()) : at::Tensor();
  if (tensor_ranks(context) > 1) {  // one of the parts that are summed brings the bias
    const at::Tensor once = tensor_rank(context) == 0 ? bias : at::Tensor();
    return sum_rows(product(y, weight, once, {}, float8), context, into);
  }
  return Exchange(product(y, weight, bias, last ? x : at::Tensor(), float8, into));
}

at::Tensor finish_update(const Layer& layer, Exchange& begun, const at::Tensor& x,
                         Context& context) {
  at::Tensor update = begun.wait();
  const bool alone = tensor_ranks(context) == 1;
  if (drops(layer, context))
    return dropout(update, layer, /*site=*/0, context, "dropout", residual_rows(context), x,
                   output(context, x.sizes(), x.options()));
  return alone ? update : update.add_(x);
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
  if (!alone && grad_bias.defined()) add_column_sums(own, grad_bias);
}

}  // namespace ocoee::nn
