// SPDX-License-Identifier: Apache-2.0
// Dropout keyed by Philox: whether an element falls is a function of (seed, step, micro-batch's
// first sample, layer, site, element of the whole activation), so it does not change with layout,
// ranks or recompute. No mask is kept: the backward pass draws it again from the same numbers.
#pragma once

#include "nn/tensor_axis.h"

namespace ocoee::nn {

// The rate a layer's spec asks for under `option`; 0 when it has none.
double dropout_rate(const Layer& layer, const std::string& option = "dropout");

// [residual +] dropout(x), x [B, ...]: sample b of the tensor is sample context.first_sample + b of
// the step; `rows` says where the rows of a part stand. `site` tells apart several dropouts of one
// layer. A gradient passes back by the same call. Returns x itself in evaluation or at rate 0,
// without a residual. `into`, where defined, is filled and returned, unless that is x itself.
at::Tensor dropout(const at::Tensor& x, const Layer& layer, int site, const Context& context,
                   const std::string& option, const Rows& rows, const at::Tensor& residual = {},
                   const at::Tensor& into = {});

}  // namespace ocoee::nn
