// SPDX-License-Identifier: Apache-2.0
// How a layer ends that adds its update to the residual stream: a product, its bias, dropout and
// the addition. The weight is split by columns over the tensor axis, the bias is whole.
#pragma once

#include <functional>

#include "nn/float8.h"
#include "nn/tensor_axis.h"

namespace ocoee::nn {

// Gives some rows of y [B * T, k]; called for each row once.
using RowsOf = std::function<at::Tensor(const RowRange&)>;

// x + dropout(y weight' + bias): y with this rank's columns, x and the result as a layer gets them;
// bias may be undefined. The dropout is site 0 of the layer.
// In two steps: over the tensor axis the sum of y weight' is under way between them, with the bias
// and, where own rows are apart and nothing is dropped, x.
Exchange begin_update(const Layer& layer, const RowsOf& rows_of_y, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& x, Context& context,
                      const Float8& float8 = {});
at::Tensor finish_update(const Layer& layer, Exchange& begun, const at::Tensor& x,
                         Context& context);

// The gradient of y weight' + bias from that of the sum: this rank's rows.
at::Tensor update_gradient(const Layer& layer, const at::Tensor& grad_x, Context& context);
// Adds to the gradients of weight (`adds` false: writes it) and bias; `own` is what update_gradient
// gave, `all` its rows gathered.
void add_update_weight_gradient(const at::Tensor& own, const at::Tensor& all, const at::Tensor& y,
                                const at::Tensor& grad_weight, const at::Tensor& grad_bias,
                                bool adds = true, const Float8& float8 = {});

}  // namespace ocoee::nn
