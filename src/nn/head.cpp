// SPDX-License-Identifier: Apache-2.0
// The head and its loss: {h} -> {loss_sum, weight_sum}, with targets and weights from the micro-batch.
// loss_sum = sum over positions of weight * cross-entropy, in nats; without "targets" in the micro-batch the logits go out.
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

class Head final : public AutogradLayer {
 public:
  using AutogradLayer::AutogradLayer;

 protected:
  void compute(const Bundle& in, Bundle& out, const std::vector<at::Tensor>& w, Context& context) override {
    const at::Tensor logits = at::linear(in.at("h"), w[0]);
    if (!context.batch || !context.batch->has("targets")) {
      out["logits"] = logits;
      return;
    }
    const auto wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor targets = context.batch->at("targets").reshape({-1});
    const at::Tensor losses = at::cross_entropy_loss(logits.reshape({-1, logits.size(-1)}).to(wide), targets, {}, at::Reduction::None);
    if (context.batch->has("weights")) {
      const at::Tensor weights = context.batch->at("weights").reshape({-1}).to(wide);
      out["loss_sum"] = (losses * weights).sum();
      out["weight_sum"] = weights.sum();
    } else {
      out["loss_sum"] = losses.sum();
      out["weight_sum"] = at::full({}, static_cast<double>(targets.numel()), losses.options());
    }
  }
};

}  // namespace

std::unique_ptr<Layer> make_head(const plan::LayerSpec& spec) { return std::make_unique<Head>(spec); }

}  // namespace ocoee::nn
