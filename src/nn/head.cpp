// SPDX-License-Identifier: Apache-2.0
// The head and its loss, written by hand: {h} -> {loss_sum, weight_sum}, with targets and weights
// from the micro-batch. loss_sum = sum over positions of weight * cross-entropy, in nats. The
// logits are replaced by their gradient while the loss is computed, so no float32 copy of them
// exists; without targets in the micro-batch the logits go out.
//
// In chunks (option loss_chunks) only the logits of a part of the rows exist at a time. Where the
// forward pass keeps something for a backward pass, that makes them, and fills in loss_sum.
//
// Over the tensor axis the vocabulary is split: a rank has the logits of its own columns only, and
// the ranks agree on each row's maximum, sum and target (Shoeybi et al. 2019).
#include <algorithm>
#include <limits>

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
    pieces.add([this, &in, &context, gathering] {
      if (!waits_for_backward(context)) *gathering = gather_rows(in.at("h"), context);
    });
    pieces.end_turn();
    pieces.add([this, &in, &out, &saved, &context, gathering] {
      const NoTape no_grad;
      if (waits_for_backward(context)) return promise_sums(in.at("h"), out, saved, context);
      const at::Tensor h = gathering->wait();
      *gathering = {};
      if (in_chunks(context)) return sum_losses_in_chunks(h, out, context);
      const int64_t columns = weights().view(0).size(0);
      const at::Tensor logits =
          product(h, weights().view(0), {}, {}, {},
                  keep(context, "logits", {h.size(0), h.size(1), columns}, h.options()));
      if (!scores(context)) {
        OCOEE_CHECK(tensor_ranks(context) == 1, "no rank has all logits");
        out["logits"] = logits;
        return;
      }
      const Scored scored = to_score(context, logits.options());
      score(logits, scored, context.save, context);
      write_sums(scored, out);
      if (context.save) saved.tensors = {kept_input(in.at("h"), context), logits};
    });
  }

  void backward_pieces(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                       Context& context, Pieces& pieces) override {
    struct Between {
      at::Tensor gradient;
      Exchange again, sum;
    };
    if (chunks() > 1) return backward_in_chunks(grad_out, grad_in, saved, later, context, pieces);
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
      const at::Tensor scale = factor(grad_out, gradient.scalar_type());
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
  struct Scored {  // of each row
    at::Tensor targets, weight, losses;
    Scored rows(int64_t first, int64_t count) const {
      return {targets.narrow(0, first, count),
              weight.defined() ? weight.narrow(0, first, count) : weight,
              losses.narrow(0, first, count)};
    }
  };

  static at::ScalarType wide(at::ScalarType type) {
    return type == at::kDouble ? at::kDouble : at::kFloat;
  }
  static bool scores(const Context& context) {
    return context.batch && context.batch->has("targets");
  }
  int64_t chunks() const {
    const auto found = spec().options.find("loss_chunks");
    return found == spec().options.end() ? 1 : static_cast<int64_t>(found->second);
  }
  bool in_chunks(const Context& context) const { return chunks() > 1 && scores(context); }
  bool waits_for_backward(const Context& context) const {
    return in_chunks(context) && context.save;
  }

  static Scored to_score(const Context& context, const at::TensorOptions& options) {
    const at::Tensor targets = context.batch->at("targets").contiguous().view({-1});
    const at::Tensor weight =
        context.batch->has("weights")
            ? context.batch->at("weights").to(at::kFloat).contiguous().view({-1})
            : at::Tensor();
    return {targets, weight,
            at::empty({targets.numel()}, options.dtype(wide(options.dtype().toScalarType())))};
  }

  static void write_sums(const Scored& scored, Bundle& out) {
    out["loss_sum"] = scored.losses.sum();
    out["weight_sum"] = weight_sum(scored);
  }
  static at::Tensor weight_sum(const Scored& scored) {
    return scored.weight.defined()
               ? scored.weight.sum().to(scored.losses.scalar_type())
               : at::full({}, static_cast<double>(scored.targets.numel()), scored.losses.options());
  }

  static void promise_sums(const at::Tensor& h, Bundle& out, Saved& saved, const Context& context) {
    saved.tensors = {h};
    if (!context.wants_output) return;
    const Scored scored = to_score(context, h.options());
    const auto loss_sum = std::make_shared<at::Tensor>(
        at::full({}, std::numeric_limits<double>::quiet_NaN(), scored.losses.options()));
    out["loss_sum"] = *loss_sum;
    out["weight_sum"] = weight_sum(scored);
    saved.tape = loss_sum;
  }

  // What the step makes of the sum: a scalar that stays on the device. The gradient of the logits
  // is the largest array of the model, so the factor goes to its products instead.
  static at::Tensor factor(const Bundle& grad_out, at::ScalarType type) {
    return grad_out.at("loss_sum").to(wide(type));
  }

  // work(logits, rows of h, first row), once they are scored.
  template <class Work>
  void for_chunks(const at::Tensor& h, const Scored& scored, bool gradient, Context& context,
                  Work work) const {
    const at::Tensor rows = h.reshape({-1, h.size(-1)});
    // Parts of a multiple of 8, as a GPU's products like them.
    const int64_t all = rows.size(0), part = (all + chunks() - 1) / chunks(),
                  most = (part + 7) / 8 * 8;
    const at::Tensor logits =
        at::empty({std::min(most, all), weights().view(0).size(0)}, h.options());
    for (int64_t first = 0; first < all; first += most) {
      const int64_t count = std::min(most, all - first);
      const at::Tensor here = rows.narrow(0, first, count);
      const at::Tensor some =
          product(here, weights().view(0), {}, {}, {}, logits.narrow(0, 0, count));
      score(some, scored.rows(first, count), gradient, context);
      work(some, here, first);
    }
  }

  void sum_losses_in_chunks(const at::Tensor& h, Bundle& out, Context& context) const {
    const Scored scored = to_score(context, h.options());
    for_chunks(h, scored, /*gradient=*/false, context,
               [](const at::Tensor&, const at::Tensor&, int64_t) {});
    write_sums(scored, out);
  }

  // Weight gradients need the logits' too, so they are made here; where they are put off, or kept
  // in fewer digits than a sum of chunks should have, they gather beside.
  void backward_in_chunks(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                          Context& context, Pieces& pieces) {
    const auto moving = std::make_shared<Exchange>();
    const auto loss_sum = std::make_shared<at::Tensor>();
    pieces.add([&saved, &context, moving, loss_sum] {
      if (saved.tape) *loss_sum = *std::static_pointer_cast<at::Tensor>(saved.tape);
      *moving = gather_rows(saved.tensors[0], context);
      saved.clear();
    });
    pieces.end_turn();
    pieces.add([this, &grad_out, &later, &context, moving, loss_sum] {
      const NoTape no_grad;
      const at::Tensor h = moving->wait(), part = at::empty_like(h),
                       part_rows = part.view({-1, h.size(-1)});
      const at::Tensor scale = factor(grad_out, h.scalar_type());
      const at::Tensor kept = later.puts_off() ? at::Tensor() : weights().gradient_view(0);
      const bool beside = !kept.defined() || kept.scalar_type() != wide(h.scalar_type());
      const at::Tensor sums =
          beside ? at::empty(weights().view(0).sizes(), h.options().dtype(wide(h.scalar_type())))
                 : kept;
      bool adds = !beside && adds_gradient(0);
      const Scored scored = to_score(context, h.options());
      for_chunks(h, scored, /*gradient=*/true, context,
                 [&](const at::Tensor& gradient, const at::Tensor& rows, int64_t first) {
                   product_input_gradient(gradient, weights().view(0), scale, {},
                                          part_rows.narrow(0, first, rows.size(0)));
                   product_weight_gradient(gradient, rows, sums, {}, adds, scale);
                   adds = true;
                 });
      if (loss_sum->defined()) loss_sum->copy_(scored.losses.sum());
      if (beside) {
        later.add([this, sums, lent = weights()] {
          const NoTape inside;
          const at::Tensor gradient = lent.gradient_view(0);
          adds_gradient(0) ? gradient.add_(sums) : gradient.copy_(sums);
        });
      }
      *moving = sum_rows(part, context);
    });
    pieces.end_turn();
    pieces.add([&grad_in, &later, &context, moving] {
      if (tensor_ranks(context) > 1) later.meanwhile();
      grad_in["h"] = moving->wait();
      *moving = {};
    });
  }

  // Of these rows; with `gradient` logits are replaced by theirs (over tensor ranks always).
  void score(const at::Tensor& logits, const Scored& scored, bool gradient,
             Context& context) const {
    if (tensor_ranks(context) > 1) return score_together(logits, scored, context);
    kernels::CrossEntropy a;
    a.dtype = dtype_of(logits.scalar_type());
    a.rows = scored.targets.numel();
    a.columns = a.row_stride = logits.size(-1);
    a.logits = logits.data_ptr();
    a.targets = scored.targets.data_ptr<int64_t>();
    a.weights = scored.weight.defined() ? scored.weight.data_ptr<float>() : nullptr;
    a.losses = scored.losses.data_ptr();
    a.gradient = gradient;
    kernels::cross_entropy(a, current_stream(place_of(logits)));
  }

  static void together(comm::Communicator& axis, const at::Tensor& values, comm::Reduce reduce,
                       const device::Stream& stream) {
    const trace::Scope scope("communication", "comm:tensor");
    axis.all_reduce(buffer_of(values), reduce, stream);
  }

  void score_together(const at::Tensor& logits, const Scored& scored, Context& context) const {
    const at::Tensor& losses = scored.losses;
    const plan::ParameterSpec& split = spec().parameters[0];
    const at::Tensor maximum = at::empty_like(losses), common = at::empty_like(losses),
                     sums = at::empty({2, losses.numel()}, losses.options());  // and targets
    kernels::PartialCrossEntropy a;
    a.dtype = dtype_of(logits.scalar_type());
    a.rows = scored.targets.numel();
    a.row_stride = logits.size(-1);
    a.all_columns = split.whole[0];
    a.first_column = split.first;
    a.columns = std::clamp<int64_t>(a.all_columns - a.first_column, 0, a.row_stride);
    a.logits = logits.data_ptr();
    a.targets = scored.targets.data_ptr<int64_t>();
    a.weights = scored.weight.defined() ? scored.weight.data_ptr<float>() : nullptr;
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
