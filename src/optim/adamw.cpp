// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov, Hutter 2019): two moments for each parameter, and decoupled decay.
#include "optim/registry.h"

namespace ocoee::optim {
namespace {

class AdamW final : public Optimizer {
 public:
  using Optimizer::Optimizer;
  std::vector<std::string> state_names() const override {
    return {"first_moment", "second_moment"};
  }

 protected:
  void run(const kernels::FlatPiece& piece, const std::vector<device::Buffer>& states,
           const device::Stream& stream) override {
    kernels::adamw(
        {piece, states[0].data, states[1].data, config().beta1, config().beta2, config().epsilon},
        stream);
  }
  kernels::StepRules rules() const override {
    kernels::StepRules r = Optimizer::rules();
    r.beta1 = config().beta1, r.beta2 = config().beta2;
    return r;
  }
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const OptimizerSetup& setup) {
  return std::make_unique<AdamW>(setup);
}

}  // namespace ocoee::optim
