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

Exchange begin_update(const Layer& layer, const RowsOf& rows_of_y, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& x, Context& context,
                      const Float8& float8) {
  const bool last = !drops(layer, context);  // then this becomes the output
  const at::Tensor into = last ? output(context, x.sizes(), x.options()) : at::Tensor(),
                   residual = last ? x : at::Tensor();
  const int64_t ranks = tensor_ranks(context), own = x.numel() / x.size(-1),
                first = own * tensor_rank(context), all = own * ranks;
  if (ranks == 1) {
    const RowRange rows{0, all};
    const at::Tensor sum = product(rows_of_y(rows), weight, bias, rows_in(residual, rows), float8,
                                   rows_in(into, rows));
    return Exchange(last ? into : sum.view(x.sizes()));
  }
  const at::Tensor part = at::empty({all, x.size(-1)}, x.options());
  const auto make = [&](const RowRange& rows, const at::Tensor& bias_too,
                        const at::Tensor& residual_too) {
    if (rows.count > 0)
      product(rows_of_y(rows), weight, bias_too, residual_too, float8, rows_in(part, rows));
  };
  if (!own_rows_apart(context)) {  // one of the parts that are summed brings the bias
    make({0, all}, tensor_rank(context) == 0 ? bias : at::Tensor(), {});
    return sum_rows(part, context, into);
  }
  // Others' rows leave while this rank makes its own, which bring what is added.
  make({0, first}, {}, {});
  make({first + own, all - first - own}, {}, {});
  Exchange sum = begin_sum(part, context, into);
  make({first, own}, bias, residual);
  sum.own_rows_queued();
  return sum;
}

at::Tensor finish_update(const Layer& layer, Exchange& begun, const at::Tensor& x,
                         Context& context) {
  at::Tensor update = begun.wait();
  if (drops(layer, context))
    return dropout(update, layer, /*site=*/0, context, "dropout", residual_rows(context), x,
                   output(context, x.sizes(), x.options()));
  const bool added = tensor_ranks(context) == 1 || own_rows_apart(context);
  return added ? update : update.add_(x);
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
