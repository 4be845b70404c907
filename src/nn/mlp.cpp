// SPDX-License-Identifier: Apache-2.0
// The feed-forward layer with its residual, written by hand: {x, h} -> {x +
// down(activation(up(h)))}. gelu is the tanh form of GPT-2; swiglu is silu(gate(h)) * up(h)
// (Shazeer 2020), with gate and up as one product.
#include "kernels/activation.h"
#include "nn/no_tape.h"
#include "nn/products.h"
#include "nn/registry.h"
#include "nn/residual.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

class Mlp final : public ExchangingLayer {
 public:
  explicit Mlp(const plan::LayerSpec& spec)
      : ExchangingLayer(spec),
        swiglu_(spec.choice("activation") == "swiglu"),
        has_bias_(spec.parameters.back().shape.size() == 1),
        ups_(swiglu_ ? 2 : 1),
        down_(has_bias_ ? 2 * ups_ : ups_) {}
  std::vector<std::pair<size_t, size_t>> written_groups() const override {
    return {{0, ups_}, {down_, 1}};
  }
  int64_t float8_products() const override { return 2; }  // up (and gate), down

  void forward_pieces(const Bundle& in, Bundle& out, Saved& saved, Context& context,
                      Pieces& pieces) override {
    struct Between {
      Exchange moving;
      at::Tensor before, inner;
    };
    const auto now = std::make_shared<Between>();
    pieces.add([&in, &context, now] { now->moving = gather_others(in.at("h"), context); });
    pieces.end_turn();
    pieces.add([this, &context, now] {
      const NoTape no_grad;
      const at::Tensor up = up_weight();
      const auto array = [&](const char* name, int64_t width) {
        return keep(context, name, now->moving.sizes(width), now->moving.options());
      };
      if (swiglu_ || context.save) now->before = array("before", up.size(0));
      now->inner = array("inner", up.size(0) / static_cast<int64_t>(ups_));
      for_rows(now->moving, context, [&](const at::Tensor& h, const RowRange& range) {
        at::Tensor before = rows_in(now->before, range);
        if (swiglu_)
          product(h, up, up_bias(), {}, float8(0), before);
        else
          product_gelu(h, up, up_bias(), context.save ? &before : nullptr, float8(0),
                       rows_in(now->inner, range));
      });
      if (swiglu_) swiglu(now->before, now->inner);
      now->moving = {};
    });
    pieces.end_turn();
    pieces.add([this, &in, &context, now] {
      const NoTape no_grad;
      if (!context.wants_output) return;
      now->moving = begin_update(
          *this, [&](const RowRange& range) { return rows_in(now->inner, range); },
          weights().view(down_), down_bias(), in.at("x"), context, float8(1));
    });
    pieces.end_turn();
    pieces.add([this, &in, &out, &saved, &context, now] {
      const NoTape no_grad;
      if (context.wants_output) out["x"] = finish_update(*this, now->moving, in.at("x"), context);
      if (context.save)
        saved.tensors = {kept_input(in.at("h"), context), now->before,
                         context.selective ? at::Tensor() : now->inner};
    });
  }

  void backward_pieces(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                       Context& context, Pieces& pieces) override {
    struct Between {
      at::Tensor before, inner, own;
      Exchange gathering, again, sum;
    };
    const auto now = std::make_shared<Between>();
    pieces.add([this, &grad_out, &saved, &context, now] {
      const NoTape no_grad;
      now->before = saved.tensors[1], now->inner = saved.tensors[2];
      now->own = update_gradient(*this, grad_out.at("x"), context);
      now->gathering = gather_rows(now->own, context);
      now->again = gather_input(saved.tensors[0], context);
      saved.clear();
    });
    pieces.end_turn();
    pieces.add([this, &later, &context, now] {
      const NoTape no_grad;
      const at::Tensor before = now->before, own = now->own, down = weights().view(down_);
      // The bias before a GELU: its sums fall out of the pass that makes their terms.
      const at::Tensor sums =
          has_bias_ && !swiglu_
              ? at::zeros({before.size(-1)},
                          own.options().dtype(own.scalar_type() == at::kDouble ? at::kDouble
                                                                               : at::kFloat))
              : at::Tensor();
      at::Tensor inner = now->inner;
      const bool again = !inner.defined();  // made once more, with the gradient of its argument
      const at::Tensor made =
          at::empty(now->gathering.sizes(down.size(1)), now->gathering.options());
      const at::Tensor g =
          for_rows(now->gathering, context, [&](const at::Tensor& rows, const RowRange& range) {
            const at::Tensor into = rows_in(made, range), argument = rows_in(before, range);
            if (swiglu_)
              product_input_gradient(rows, down, {}, float8(1), into);
            else if (again)
              product_input_gradient_gelu_again(rows, down, argument, sums, float8(1), into);
            else
              product_input_gradient_gelu(rows, down, argument, sums, float8(1), into);
          });
      if (swiglu_) swiglu_gradient(before, made, again);
      if (again) inner = made;
      const at::Tensor d_before = swiglu_ || again ? before : made;
      const at::Tensor h = now->again.wait();
      now->sum = sum_rows(product_input_gradient(d_before, up_weight(), {}, float8(0)), context);
      now->before.reset(), now->inner.reset(), now->own.reset();
      now->gathering = {}, now->again = {};
      later.add([this, own, g, inner, d_before, h, sums, lent = weights()] {
        const NoTape inside;
        add_update_weight_gradient(own, g, inner, lent.gradient_view(down_),
                                   has_bias_ ? lent.gradient_view(down_ + 1) : at::Tensor(),
                                   adds_gradient(down_), float8(1));
        product_weight_gradient(
            d_before, h, lent.gradient_view(0, ups_),
            swiglu_ && has_bias_ ? lent.gradient_view(ups_, ups_) : at::Tensor(), adds_gradient(0),
            {}, float8(0));
        if (sums.defined()) lent.gradient_view(ups_).add_(sums);
      });
    });
    pieces.end_turn();
    pieces.add([&grad_out, &grad_in, &later, &context, now] {
      if (tensor_ranks(context) > 1) later.meanwhile();
      grad_in["x"] = grad_out.at("x");
      grad_in["h"] = now->sum.wait();
      now->sum = {};
    });
  }

 private:
  at::Tensor up_weight() const { return weights().view(0, ups_); }
  at::Tensor up_bias() const { return has_bias_ ? weights().view(ups_, ups_) : at::Tensor(); }
  at::Tensor down_bias() const { return has_bias_ ? weights().view(down_ + 1) : at::Tensor(); }

  static kernels::Swiglu arguments(const at::Tensor& gate_and_up) {
    kernels::Swiglu a;
    a.dtype = dtype_of(gate_and_up.scalar_type());
    a.inner = gate_and_up.size(-1) / 2;
    a.rows = gate_and_up.numel() / (2 * a.inner);
    a.x = gate_and_up.data_ptr();
    return a;
  }
  static void swiglu(const at::Tensor& gate_and_up, const at::Tensor& y) {
    kernels::Swiglu a = arguments(gate_and_up);
    a.out = y.data_ptr();
    kernels::swiglu_forward(a, current_stream(place_of(y)));
  }
  // Replaces gate and up by their gradients, and `again` dy by what they made.
  static void swiglu_gradient(const at::Tensor& gate_and_up, const at::Tensor& dy, bool again) {
    kernels::Swiglu a = arguments(gate_and_up);
    a.dy = dy.data_ptr();
    a.out = gate_and_up.data_ptr();
    a.y = again ? dy.data_ptr() : nullptr;
    kernels::swiglu_backward(a, current_stream(place_of(dy)));
  }

  bool swiglu_, has_bias_;
  size_t ups_, down_;  // products that enter; index of the one that leaves
};

}  // namespace

std::unique_ptr<Layer> make_mlp(const plan::LayerSpec& spec) {
  return std::make_unique<Mlp>(spec);
}

}  // namespace ocoee::nn
