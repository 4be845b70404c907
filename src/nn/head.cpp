// SPDX-License-Identifier: Apache-2.0
// The head and its loss, written by hand: {h} -> {loss_sum, weight_sum}, with targets and weights
// from the micro-batch. loss_sum = sum over positions of weight * cross-entropy, in nats. The
// logits are replaced by their gradient while the loss is computed, so no float32 copy of them
// exists; without targets in the micro-batch the logits go out.
//
// Over the tensor axis the vocabulary is split: a rank has the logits of its own columns only, and
// the ranks agree on each row's maximum, sum and target (Shoeybi et al. 2019).
#include "core/error.h"
#include "core/trace.h"
#include "kernels/cross_entropy.h"

#include "nn/no_tape.h"
#include "nn/products.h"
#include "nn/registry.h"
#include "nn/tensor_axis.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

class Head final : public ExchangingLayer {
 public:
  using ExchangingLayer::ExchangingLayer;
  std::vector<std::pair<size_t, size_t>> written_groups() const override { return {{0, 1}}; }

  void forward_pieces(const Bundle& in, Bundle& out, Saved& saved, Context& context,
                      Pieces& pieces) override {
    const auto gathering = std::make_shared<Exchange>();
    pieces.add([&in, &context, gathering] { *gathering = gather_rows(in.at("h"), context); });
    pieces.end_turn();
    pieces.add([this, &in, &out, &saved, &context, gathering] {
      const NoTape no_grad;
      const at::Tensor h = gathering->wait();
      *gathering = {};
      const int64_t columns = weights().view(0).size(0);
      const at::Tensor logits =
          product(h, weights().view(0), {}, {}, {},
                  keep(context, "logits", {h.size(0), h.size(1), columns}, h.options()));
      if (!context.batch || !context.batch->has("targets")) {
        OCOEE_CHECK(tensor_ranks(context) == 1, "no rank has all logits");
        out["logits"] = logits;
        return;
      }
      sum_losses(logits, out, context);
      if (context.save) saved.tensors = {kept_input(in.at("h"), context), logits};
    });
  }

  void backward_pieces(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                       Context& context, Pieces& pieces) override {
    struct Between {
      at::Tensor gradient;
      Exchange again, sum;
    };
    const auto now = std::make_shared<Between>();
    pieces.add([&saved, &context, now] {
      now->gradient = saved.tensors[1];
      now->again = gather_input(saved.tensors[0], context);
      saved.clear();
    });
    pieces.end_turn();
    pieces.add([this, &grad_out, &later, &context, now] {
      const NoTape no_grad;
      const at::Tensor gradient = now->gradient;
      // What the step makes of the sum: a scalar that stays on the device. The gradient of the
      // logits is the largest array of the model, so the factor goes to its products instead.
      const at::Tensor scale =
          grad_out.at("loss_sum")
              .to(gradient.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
      const at::Tensor part = product_input_gradient(gradient, weights().view(0), scale);
      const at::Tensor h = now->again.wait();
      now->sum = sum_rows(part, context);
      now->gradient.reset(), now->again = {};
      later.add([this, gradient, h, scale, lent = weights()] {
        const NoTape inside;
        product_weight_gradient(gradient, h, lent.gradient_view(0), {}, adds_gradient(0), scale);
      });
    });
    pieces.end_turn();
    pieces.add([&grad_in, &later, &context, now] {
      if (tensor_ranks(context) > 1) later.meanwhile();
      grad_in["h"] = now->sum.wait();
      now->sum = {};
    });
  }

 private:
  // Replaces logits by their gradient; the sums of losses and weights go out.
  void sum_losses(const at::Tensor& logits, Bundle& out, Context& context) const {
    const bool wide = logits.scalar_type() == at::kDouble;
    const at::Tensor targets = context.batch->at("targets").contiguous();
    const at::Tensor weight = context.batch->has("weights")
                                  ? context.batch->at("weights").to(at::kFloat).contiguous()
                                  : at::Tensor();
    const at::Tensor losses =
        at::empty({targets.numel()}, logits.options().dtype(wide ? at::kDouble : at::kFloat));
    if (tensor_ranks(context) == 1)
      score(logits, targets, weight, losses, context);
    else
      score_together(logits, targets, weight, losses, context);
    out["loss_sum"] = losses.sum();
    out["weight_sum"] = weight.defined()
                            ? weight.sum().to(losses.scalar_type())
                            : at::full({}, static_cast<double>(targets.numel()), losses.options());
  }

  void score(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& weight,
             const at::Tensor& losses, const Context& context) const {
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
  }

  static void together(comm::Communicator& axis, const at::Tensor& values, comm::Reduce reduce,
                       const device::Stream& stream) {
    const trace::Scope scope("communication", "comm:tensor");
    axis.all_reduce(buffer_of(values), reduce, stream);
  }

  void score_together(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& weight,
                      const at::Tensor& losses, Context& context) const {
    const plan::ParameterSpec& split = spec().parameters[0];
    const at::Tensor maximum = at::empty_like(losses), common = at::empty_like(losses),
                     sums = at::empty({2, losses.numel()}, losses.options());  // and targets
    kernels::PartialCrossEntropy a;
    a.dtype = dtype_of(logits.scalar_type());
    a.rows = targets.numel();
    a.row_stride = logits.size(-1);
    a.all_columns = split.whole[0];
    a.first_column = split.first;
    a.columns = std::clamp<int64_t>(a.all_columns - a.first_column, 0, a.row_stride);
    a.logits = logits.data_ptr();
    a.targets = targets.data_ptr<int64_t>();
    a.weights = weight.defined() ? weight.data_ptr<float>() : nullptr;
    a.maximum = maximum.data_ptr();
    a.sum = sums[0].data_ptr();
    a.target_logit = sums[1].data_ptr();
    a.losses = losses.data_ptr();
    const device::Stream stream = current_stream(place_of(logits));
    comm::Communicator& axis = context.mesh->axis(comm::Axis::tensor);
    kernels::cross_entropy_statistics(a, stream);
    common.copy_(maximum);
    together(axis, common, comm::Reduce::max, stream);
    kernels::cross_entropy_rebase(a, common.data_ptr(), stream);
    together(axis, sums, comm::Reduce::sum, stream);
    a.maximum = common.data_ptr();
    kernels::cross_entropy_gradient(a, stream);
  }
};

}  // namespace

std::unique_ptr<Layer> make_head(const plan::LayerSpec& spec) {
  return std::make_unique<Head>(spec);
}

}  // namespace ocoee::nn
