// SPDX-License-Identifier: Apache-2.0
// LayerNorm (Ba, Kiros, Hinton 2016) or RMSNorm (Zhang, Sennrich 2019), written by hand: {x} -> {x,
// h}, or {x} -> {h} for the last norm of a model. The residual stream x passes through, so its
// gradient is added in the same pass.
#include "kernels/norm.h"

#include "core/error.h"
#include "nn/no_tape.h"
#include "nn/registry.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

class Norm final : public Layer {
 public:
  explicit Norm(const plan::LayerSpec& spec)
      : Layer(spec),
        rms_(spec.choice("norm") == "rms"),
        passes_x_(spec.option("passes_x") != 0),
        width_(static_cast<int64_t>(spec.option("width"))),
        epsilon_(spec.option("epsilon")) {}

  bool repeats() const override { return true; }

  void forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) override {
    const NoTape no_grad;
    const at::Tensor x = in.at("x").contiguous();
    at::Tensor mean, rstd;
    if (context.save) {
      const auto statistics =
          x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
      rstd = keep(context, "rstd", {x.numel() / width_}, statistics);
      if (!rms_) mean = keep(context, "mean", {x.numel() / width_}, statistics);
      saved.tensors = {x, rstd, mean};
    }
    out["h"] = normalise(x, rstd, mean, output(context, x.sizes(), x.options()));
    if (passes_x_) out["x"] = x;
  }

  void repeat(const Saved& saved, Bundle& out, Context&, bool with_backward) override {
    const NoTape no_grad;
    const at::Tensor& x = saved.tensors[0];
    out["h"] = at::empty_like(x);
    if (!with_backward) normalise(x, {}, {}, out["h"]);
  }

  void backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                Context& context) override {
    const NoTape no_grad;
    const at::Tensor x = saved.tensors[0];
    const at::Tensor grad_h = grad_out.at("h").contiguous();
    const at::Tensor passing = grad_out.has("x") ? grad_out.at("x").contiguous() : at::Tensor();
    const at::Tensor grad_x = at::empty_like(x);
    kernels::NormBackward a;
    a.dtype = dtype_of(x.scalar_type());
    a.rms = rms_;
    a.rows = x.numel() / width_;
    a.width = width_;
    a.dy = grad_h.data_ptr();
    a.x = x.data_ptr();
    a.weight = weights().view(0).data_ptr();
    a.rstd = saved.tensors[1].data_ptr();
    a.mean = rms_ ? nullptr : saved.tensors[2].data_ptr();
    a.d_residual = passing.defined() ? passing.data_ptr() : nullptr;
    a.dx = grad_x.data_ptr();
    if (context.owed && context.owed->has("h")) {
      a.y = context.owed->at("h").data_ptr();
      a.bias = has_bias() ? weights().view(1).data_ptr() : nullptr;
    }
    // Its weight gradients fall out of the same pass; put off, they wait apart.
    Weights into = weights();
    if (later.puts_off()) {
      into.gradient = at::zeros_like(into.gradient);
      later.add([sums = into.gradient, lent = weights()] {
        const NoTape inside;
        lent.gradient.add_(sums);
      });
    }
    a.d_weight = into.gradient_view(0).data_ptr();
    a.d_bias = has_bias() ? into.gradient_view(1).data_ptr() : nullptr;
    a.bf16_gradients = into.gradient.scalar_type() == at::kBFloat16;
    const at::Tensor space =
        workspace(kernels::norm_backward_workspace(a.dtype, a.rows, width_, place_of(x)), x);
    a.workspace = space.data_ptr();
    kernels::norm_backward(a, current_stream(place_of(x)));
    grad_in["x"] = grad_x;
    saved.clear();
  }

 private:
  // Writes h, and the statistics where they are defined.
  at::Tensor normalise(const at::Tensor& x, const at::Tensor& rstd, const at::Tensor& mean,
                       const at::Tensor& h) const {
    kernels::NormForward a;
    a.dtype = dtype_of(x.scalar_type());
    a.rms = rms_;
    a.rows = x.numel() / width_;
    a.width = width_;
    a.epsilon = epsilon_;
    a.x = x.data_ptr();
    a.weight = weights().view(0).data_ptr();
    a.bias = has_bias() ? weights().view(1).data_ptr() : nullptr;
    a.y = h.data_ptr();
    a.rstd = rstd.defined() ? rstd.data_ptr() : nullptr;
    a.mean = mean.defined() ? mean.data_ptr() : nullptr;
    kernels::norm_forward(a, current_stream(place_of(x)));
    return h;
  }
  bool has_bias() const { return spec().parameters.size() > 1; }

  bool rms_, passes_x_;
  int64_t width_;
  double epsilon_;
};

}  // namespace

std::unique_ptr<Layer> make_norm(const plan::LayerSpec& spec) {
  return std::make_unique<Norm>(spec);
}

}  // namespace ocoee::nn
