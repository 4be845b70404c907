// SPDX-License-Identifier: Apache-2.0
#include "nn/dropout.h"

#include "core/error.h"
#include "core/text.h"
#include "kernels/dropout.h"
#include "nn/tensors.h"

namespace ocoee::nn {

double dropout_rate(const Layer& layer, const std::string& option) {
  const auto found = layer.spec().options.find(option);
  return found == layer.spec().options.end() ? 0 : found->second;
}

at::Tensor dropout(const at::Tensor& x, const Layer& layer, int site, const Context& context,
                   const std::string& option, const Rows& rows, const at::Tensor& residual,
                   const at::Tensor& into) {
  const double rate = dropout_rate(layer, option);
  if (rate == 0 || !context.training) return residual.defined() ? x + residual : x;
  OCOEE_CHECK(context.random_state.defined(), "dropout needs the step's random state");
  const at::Tensor in = x.contiguous(), out = into.defined() ? into : at::empty_like(in);
  kernels::Dropout a;
  a.dtype = dtype_of(in.scalar_type());
  const bool whole = !rows.index.defined();
  a.rows = whole ? in.size(0) : rows.index.numel();
  a.width = in.numel() / a.rows;
  a.first_row = context.first_sample * (whole ? 1 : rows.per_sample);
  a.row_index = whole ? nullptr : rows.index.data_ptr<int64_t>();
  a.probability = rate;
  a.seed = context.seed ^ hash64(layer.spec().name + "#" + std::to_string(site));
  a.state = context.random_state.data_ptr<int64_t>();
  a.x = in.data_ptr();
  a.residual = residual.defined() ? residual.data_ptr() : nullptr;
  a.y = out.data_ptr();
  kernels::dropout(a, current_stream(place_of(in)));
  return out;
}

}  // namespace ocoee::nn
