// SPDX-License-Identifier: Apache-2.0
// The feed-forward layer with its residual: {x, h} -> {x + down(activation(up(h)))}.
// gelu is the tanh form of GPT-2; swiglu is silu(gate(h)) * up(h) (Shazeer 2020), with gate and up
// as one product.
#include "nn/dropout.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

class Mlp final : public AutogradLayer {
 public:
  explicit Mlp(const plan::LayerSpec& spec)
      : AutogradLayer(spec),
        swiglu_(spec.choice("activation") == "swiglu"),
        has_bias_(spec.parameters.back().shape.size() == 1) {}

 protected:
  std::vector<std::pair<size_t, size_t>> leaf_groups() const override {
    if (swiglu_) return has_bias_ ? Groups{{0, 2}, {2, 2}, {4, 1}, {5, 1}} : Groups{{0, 2}, {2, 1}};
    return AutogradLayer::leaf_groups();
  }

  void compute(const Bundle& in, Bundle& out, const std::vector<at::Tensor>& w,
               Context& context) override {
    const at::Tensor& h = in.at("h");
    at::Tensor a = has_bias_ ? at::linear(h, w[0], w[1]) : at::linear(h, w[0]);
    if (swiglu_) {
      const int64_t inner = a.size(2) / 2;
      a = at::silu(a.narrow(2, 0, inner)) * a.narrow(2, inner, inner);
    } else {
      a = at::gelu(a, "tanh");
    }
    const at::Tensor update = has_bias_ ? at::linear(a, w[2], w[3]) : at::linear(a, w[1]);
    out["x"] = in.at("x") + dropout(update, *this, /*site=*/0, context);
  }

 private:
  using Groups = std::vector<std::pair<size_t, size_t>>;
  bool swiglu_, has_bias_;
};

}  // namespace

std::unique_ptr<Layer> make_mlp(const plan::LayerSpec& spec) {
  return std::make_unique<Mlp>(spec);
}

}  // namespace ocoee::nn
