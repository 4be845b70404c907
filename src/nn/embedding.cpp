// SPDX-License-Identifier: Apache-2.0
// Token embedding, with learned positions where the model has them: tokens [B,T] -> x [B,T,width].
#include "nn/dropout.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

class Embedding final : public AutogradLayer {
 public:
  using AutogradLayer::AutogradLayer;

 protected:
  void compute(const Bundle& in, Bundle& out, const std::vector<at::Tensor>& w,
               Context& context) override {
    const at::Tensor& tokens = in.at("tokens");
    at::Tensor x = at::embedding(w[0], tokens);
    if (w.size() > 1) x = x + w[1].narrow(0, 0, tokens.size(1));
    out["x"] = dropout(x, *this, /*site=*/0, context);
  }
};

}  // namespace

std::unique_ptr<Layer> make_embedding(const plan::LayerSpec& spec) {
  return std::make_unique<Embedding>(spec);
}

}  // namespace ocoee::nn
