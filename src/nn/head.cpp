// SPDX-License-Identifier: Apache-2.0
// The head and its loss, written by hand: {h} -> {loss_sum, weight_sum}, with targets and weights
// from the micro-batch. loss_sum = sum over positions of weight * cross-entropy, in nats. The
// logits are replaced by their gradient while the loss is computed, so no float32 copy of them
// exists; without targets in the micro-batch the logits go out.
#include "kernels/cross_entropy.h"
#include "nn/registry.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

class Head final : public Layer {
 public:
  using Layer::Layer;
  bool splits_backward() const override { return true; }

  void forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) override {
    const at::NoGradGuard no_grad;
    const at::Tensor& h = in.at("h");
    at::Tensor logits = at::linear(h, weights().view(0));
    if (!context.batch || !context.batch->has("targets")) {
      out["logits"] = logits;
      return;
    }
    const bool wide = logits.scalar_type() == at::kDouble;
    const at::Tensor targets = context.batch->at("targets").contiguous();
    const at::Tensor weight = context.batch->has("weights")
                                  ? context.batch->at("weights").to(at::kFloat).contiguous()
                                  : at::Tensor();
    const at::Tensor losses =
        at::empty({targets.numel()}, logits.options().dtype(wide ? at::kDouble : at::kFloat));
    kernels::CrossEntropy a;
    a.dtype = dtype_of(logits.scalar_type());
    a.rows = targets.numel();
    a.columns = a.row_stride = logits.size(-1);
    a.logits = logits.data_ptr();
    a.targets = targets.data_ptr<int64_t>();
    a.weights = weight.defined() ? weight.data_ptr<float>() : nullptr;
    a.losses = losses.data_ptr();
    a.gradient = context.save;
    kernels::cross_entropy(a, current_stream(place_of(logits)));
    out["loss_sum"] = losses.sum();
    out["weight_sum"] = weight.defined()
                            ? weight.sum().to(losses.scalar_type())
                            : at::full({}, static_cast<double>(targets.numel()), losses.options());
    if (context.save) saved.tensors = {h, logits};
  }

  void backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                Context&) override {
    const at::NoGradGuard no_grad;
    const at::Tensor h = saved.tensors[0];
    // d loss_sum / d logits, scaled by what the step makes of the sum; a scalar that stays on the
    // device
    const at::Tensor gradient = saved.tensors[1];
    const at::Tensor scale = grad_out.at("loss_sum").to(gradient.scalar_type());
    grad_in["h"] = at::matmul(gradient, weights().view(0)).mul_(scale);
    const Weights lent = weights();
    later.add([gradient, h, scale, lent] {
      const at::NoGradGuard inside;
      const at::Tensor g = gradient.reshape({-1, gradient.size(-1)}),
                       x = h.reshape({-1, h.size(-1)});
      lent.gradient_view(0).add_(at::matmul(g.t(), x).mul_(scale));
    });
    saved.clear();
  }
};

}  // namespace

std::unique_ptr<Layer> make_head(const plan::LayerSpec& spec) {
  return std::make_unique<Head>(spec);
}

}  // namespace ocoee::nn
