// SPDX-License-Identifier: Apache-2.0
#include "nn/dropout.h"

#include "core/error.h"
#include "core/text.h"
#include "kernels/dropout.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

// Keeps no mask: the backward pass draws it again from the same numbers.
class KeyedDropout : public torch::autograd::Function<KeyedDropout> {
 public:
  static at::Tensor run(const at::Tensor& x, const at::Tensor& state, double rate, int64_t seed,
                        int64_t first_sample) {
    const at::Tensor in = x.contiguous();
    const at::Tensor out = at::empty_like(in);
    kernels::Dropout a;
    a.dtype = dtype_of(in.scalar_type());
    a.rows = in.size(0);
    a.width = in.numel() / in.size(0);
    a.first_row = first_sample;
    a.probability = rate;
    a.seed = static_cast<uint64_t>(seed);
    a.state = state.data_ptr<int64_t>();
    a.x = in.data_ptr();
    a.y = out.data_ptr();
    kernels::dropout(a, current_stream(place_of(in)));
    return out;
  }

  static at::Tensor forward(torch::autograd::AutogradContext* c, const at::Tensor& x,
                            const at::Tensor& state, double rate, int64_t seed,
                            int64_t first_sample) {
    c->save_for_backward({state});
    c->saved_data["rate"] = rate;
    c->saved_data["seed"] = seed;
    c->saved_data["first_sample"] = first_sample;
    return run(x, state, rate, seed, first_sample);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* c,
                                                 torch::autograd::variable_list gradients) {
    OCOEE_CHECK(!gradients[0].requires_grad(), "keyed dropout has no second derivative");
    const at::Tensor out =
        run(gradients[0], c->get_saved_variables()[0], c->saved_data["rate"].toDouble(),
            c->saved_data["seed"].toInt(), c->saved_data["first_sample"].toInt());
    return {out, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

double dropout_rate(const Layer& layer, const std::string& option) {
  const auto found = layer.spec().options.find(option);
  return found == layer.spec().options.end() ? 0 : found->second;
}

at::Tensor dropout(const at::Tensor& x, const Layer& layer, int site, const Context& context,
                   const std::string& option) {
  const double rate = dropout_rate(layer, option);
  if (rate == 0 || !context.training) return x;
  OCOEE_CHECK(context.random_state.defined(), "dropout needs the step's random state");
  const uint64_t seed = context.seed ^ hash64(layer.spec().name + "#" + std::to_string(site));
  return KeyedDropout::apply(x, context.random_state, rate, static_cast<int64_t>(seed),
                             context.first_sample);
}

}  // namespace ocoee::nn
