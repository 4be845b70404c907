// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent with momentum, and AdamW's decoupled decay.
#include "optim/registry.h"

namespace ocoee::optim {
namespace {

class Sgd final : public Optimizer {
 public:
  using Optimizer::Optimizer;
  std::vector<std::string> state_names() const override { return {"velocity"}; }

 protected:
  void run(const kernels::FlatPiece& piece, const std::vector<device::Buffer>& states,
           const device::Stream& stream) override {
    kernels::sgd({piece, states[0].data, config().momentum}, stream);
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const OptimizerSetup& setup) {
  return std::make_unique<Sgd>(setup);
}

}  // namespace ocoee::optim
