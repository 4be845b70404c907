// SPDX-License-Identifier: Apache-2.0
// A linear layer with an activation: {x} -> {x}. The brick of small dense networks.
#include "core/error.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

class Linear final : public AutogradLayer {
 public:
  using AutogradLayer::AutogradLayer;

 protected:
  void compute(const Bundle& in, Bundle& out, const std::vector<at::Tensor>& w, Context&) override {
    const at::Tensor y =
        w.size() > 1 ? at::linear(in.at("x"), w[0], w[1]) : at::linear(in.at("x"), w[0]);
    const std::string& activation = spec().choice("activation");
    if (activation == "none") {
      out["x"] = y;
    } else if (activation == "relu") {
      out["x"] = at::relu(y);
    } else if (activation == "leaky_relu") {
      out["x"] = at::leaky_relu(y, 0.2);
    } else if (activation == "tanh") {
      out["x"] = at::tanh(y);
    } else {
      fail(ErrorKind::internal, "linear layer {}: unknown activation '{}'", spec().name,
           activation);
    }
  }
};

}  // namespace

std::unique_ptr<Layer> make_linear(const plan::LayerSpec& spec) {
  return std::make_unique<Linear>(spec);
}

}  // namespace ocoee::nn
