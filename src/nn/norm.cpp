// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba, Kiros, Hinton 2016) or RMSNorm (Zhang, Sennrich 2019), written by hand: {x} -> {x, h}, or {x} -> {h} for
// the last norm of a model. The residual stream x passes through, so its gradient is added in the same pass.
#include "core/error.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

class Norm final : public Layer {
 public:
  explicit Norm(const plan::LayerSpec& spec)
      : Layer(spec),
        rms_(spec.choice("norm") == "rms"),
        passes_x_(spec.option("passes_x") != 0),
        epsilon_(spec.option("epsilon")) {}

  void forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) override {
    const at::NoGradGuard no_grad;
    const at::Tensor& x = in.at("x");
    const at::Tensor weight = weights().view(0);
    if (rms_) {
      const auto [h, rstd] = at::_fused_rms_norm(x, weight.sizes(), weight, epsilon_);
      out["h"] = h;
      if (context.save) saved.tensors = {x, rstd};
    } else {
      const auto [h, mean, rstd] = at::native_layer_norm(x, weight.sizes(), weight, bias(), epsilon_);
      out["h"] = h;
      if (context.save) saved.tensors = {x, mean, rstd};
    }
    if (passes_x_) out["x"] = x;
  }

  void backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork&, Context&) override {
    const at::NoGradGuard no_grad;
    const at::Tensor& x = saved.tensors[0];
    const at::Tensor weight = weights().view(0);
    at::Tensor grad_x;
    if (rms_) {
      auto [gx, gw] = at::_fused_rms_norm_backward(grad_out.at("h"), x, weight.sizes(), saved.tensors[1], weight, {true, true});
      grad_x = gx;
      weights().gradient_view(0).add_(gw);
    } else {
      auto [gx, gw, gb] = at::native_layer_norm_backward(grad_out.at("h"), x, weight.sizes(), saved.tensors[1],
                                                         saved.tensors[2], weight, bias(), {true, true, has_bias()});
      grad_x = gx;
      weights().gradient_view(0).add_(gw);
      if (has_bias()) weights().gradient_view(1).add_(gb);
    }
    grad_in["x"] = grad_out.has("x") ? grad_x.add_(grad_out.at("x")) : grad_x;
    saved.clear();
  }

 private:
  bool has_bias() const { return spec().parameters.size() > 1; }
  std::optional<at::Tensor> bias() const { return has_bias() ? std::optional(weights().view(1)) : std::nullopt; }

  bool rms_, passes_x_;
  double epsilon_;
};

}  // namespace

std::unique_ptr<Layer> make_norm(const plan::LayerSpec& spec) { return std::make_unique<Norm>(spec); }

}  // namespace ocoee::nn
