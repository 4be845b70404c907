// SPDX-License-Identifier: Apache-2.0
// Causal self-attention with its residual, written by hand: {x, h} -> {x + proj(attention(h))}.
// h [B,T,width]; query heads share key-value heads in groups (Ainslie et al. 2023); rotary
// positions turn q and k in place, and their gradients back. The fused attention of
// fused_attention.h is used; with dropout on its probabilities, whose mask must be ours, the
// unfused form of probabilities.h. A sequence that is split over ranks meets itself as
// sequence_exchange.h says.
#include "nn/dropout.h"
#include "nn/no_tape.h"
#include "nn/probabilities.h"
#include "nn/products.h"
#include "nn/registry.h"
#include "nn/residual.h"
#include "nn/rotary.h"
#include "nn/sequence_exchange.h"

namespace ocoee::nn {
namespace {

class Attention final : public ExchangingLayer {
 public:
  explicit Attention(const plan::LayerSpec& spec)
      : ExchangingLayer(spec),
        heads_(static_cast<int64_t>(spec.option("heads"))),
        kv_heads_(static_cast<int64_t>(spec.option("kv_heads"))),
        head_dim_(static_cast<int64_t>(spec.option("head_dim"))),
        rope_(spec.choice("positions") == "rope"),
        has_bias_(spec.parameters.size() == 8),
        out_(has_bias_ ? 6 : 3) {}
  std::vector<std::pair<size_t, size_t>> written_groups() const override {
    return {{0, 3}, {out_, 1}};
  }
  int64_t float8_products() const override { return 2; }  // q, k, v together; the one that leaves

  void forward_pieces(const Bundle& in, Bundle& out, Saved& saved, Context& context,
                      Pieces& pieces) override {
    struct Between {
      Exchange moving;
      at::Tensor qkv, mixed;
      Saved own;
    };
    const auto now = std::make_shared<Between>();
    pieces.add([&in, &context, now] { now->moving = gather_others(in.at("h"), context); });
    pieces.end_turn();
    pieces.add([this, &context, now] {
      const NoTape no_grad;
      const at::Tensor weight = weights().view(0, 3),
                       bias = has_bias_ ? weights().view(3, 3) : at::Tensor();
      const std::vector<int64_t> shape = now->moving.sizes(weight.size(0));
      const at::TensorOptions options = now->moving.options();
      // Unless others' heads are kept, and these go.
      const at::Tensor qkv =
          shares_heads(context) ? at::empty(shape, options) : keep(context, "qkv", shape, options);
      for_rows(now->moving, context, [&](const at::Tensor& h, const RowRange& range) {
        product(h, weight, bias, {}, float8(0), rows_in(qkv, range));
      });
      now->moving = {};
      now->qkv = heads_of(qkv, heads_ + 2 * kv_heads_);
    });
    pieces.end_turn();
    pieces.add([this, &in, &context, now] {
      const NoTape no_grad;
      at::Tensor& qkv = now->qkv;
      const int64_t samples = qkv.size(0), length = qkv.size(1);
      if (rope_)
        rotate(qkv.narrow(2, 0, heads_ + kv_heads_), rotation(qkv, context), /*back=*/false);
      const bool shares = shares_heads(context), apart = samples_apart(qkv, context);
      if (shares)
        qkv = keep(context, "qkv",
                   share_heads({q(qkv), k(qkv), v(qkv)}, context.mesh->axis(comm::Axis::context)));
      at::Tensor& mixed = now->mixed;
      if (shares || apart || context.save)
        mixed = keep(context, "mixed", {samples, length, heads_, head_dim_}, qkv.options());
      const at::Tensor log_sum_exp = apart ? kept_log_sum_exp(qkv, context) : at::Tensor();
      if (apart) {
        now->own.tensors = {log_sum_exp};
      } else {
        const at::Tensor attended = attend(qkv, now->own, context, shares ? at::Tensor() : mixed);
        if (shares)
          share_sequence(attended, {mixed}, context.mesh->axis(comm::Axis::context));
        else if (!mixed.defined())
          mixed = attended;
        else if (!attended.is_same(mixed))
          mixed.copy_(attended);
      }
      const auto rows_of_mixed = [&](const RowRange& range) {
        if (apart) attend_samples(qkv, mixed, log_sum_exp, range);
        return rows_in(flat(mixed), range);
      };
      now->moving = begin_update(*this, rows_of_mixed, weights().view(out_), bias_out(), in.at("x"),
                                 context, float8(1));
    });
    pieces.end_turn();
    pieces.add([this, &in, &out, &saved, &context, now] {
      const NoTape no_grad;
      out["x"] = finish_update(*this, now->moving, in.at("x"), context);
      if (!context.save) return;
      saved.tensors = {kept_input(in.at("h"), context), now->qkv, now->mixed};
      for (at::Tensor& tensor : now->own.tensors) saved.tensors.push_back(std::move(tensor));
    });
  }

  void backward_pieces(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                       Context& context, Pieces& pieces) override {
    struct Between {
      at::Tensor qkv, mixed, own;
      std::vector<at::Tensor> rest;
      Exchange gathering, again, sum;
    };
    const auto now = std::make_shared<Between>();
    pieces.add([this, &grad_out, &saved, &context, now] {
      const NoTape no_grad;
      now->qkv = saved.tensors[1], now->mixed = saved.tensors[2];
      now->own = update_gradient(*this, grad_out.at("x"), context);
      now->gathering = gather_rows(now->own, context);
      now->again = gather_input(saved.tensors[0], context);
      now->rest.assign(saved.tensors.begin() + 3, saved.tensors.end());
      saved.clear();
    });
    pieces.end_turn();
    pieces.add([this, &later, &context, now] {
      const NoTape no_grad;
      const at::Tensor own = now->own, mixed = now->mixed, weight = weights().view(out_);
      const at::Tensor d_flat =
          at::empty(now->gathering.sizes(weight.size(1)), now->gathering.options());
      const at::Tensor d_mixed = heads_of(d_flat, heads_);
      const bool apart = samples_apart(now->qkv, context);
      at::Tensor d_qkv = apart ? at::empty_like(now->qkv) : at::Tensor();
      const at::Tensor g =
          for_rows(now->gathering, context, [&](const at::Tensor& rows, const RowRange& range) {
            product_input_gradient(rows, weight, {}, float8(1), rows_in(d_flat, range));
            if (apart)
              attend_samples_backward(d_mixed, now->qkv, mixed, now->rest[0], range, d_qkv);
          });
      if (!apart) d_qkv = qkv_gradient(d_mixed, now->qkv, mixed, now->rest, context);
      const at::Tensor h = now->again.wait();
      if (rope_)
        rotate(d_qkv.narrow(2, 0, heads_ + kv_heads_), rotation(d_qkv, context), /*back=*/true);
      now->sum = sum_rows(product_input_gradient(flat(d_qkv), weights().view(0, 3), {}, float8(0)),
                          context);
      now->qkv.reset(), now->own.reset(), now->mixed.reset(), now->rest.clear();
      now->gathering = {}, now->again = {};
      later.add([this, own, g, mixed, d_qkv, h, lent = weights()] {
        const NoTape inside;
        add_update_weight_gradient(own, g, flat(mixed), lent.gradient_view(out_),
                                   has_bias_ ? lent.gradient_view(out_ + 1) : at::Tensor(),
                                   adds_gradient(out_), float8(1));
        product_weight_gradient(flat(d_qkv), h, lent.gradient_view(0, 3),
                                has_bias_ ? lent.gradient_view(3, 3) : at::Tensor(),
                                adds_gradient(0), {}, float8(0));
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
  at::Tensor bias_out() const { return has_bias_ ? weights().view(out_ + 1) : at::Tensor(); }

  // d_mixed [B, T, heads, D] of this rank's tokens -> the gradient of q, k, v.
  at::Tensor qkv_gradient(const at::Tensor& d_mixed, const at::Tensor& qkv, const at::Tensor& mixed,
                          const std::vector<at::Tensor>& rest, Context& context) const {
    at::Tensor d_qkv = at::empty_like(qkv);
    if (!shares_heads(context)) {
      attend_backward(d_mixed, qkv, mixed, rest, d_qkv, context);
      return d_qkv;
    }
    comm::Communicator& axis = context.mesh->axis(comm::Axis::context);
    const at::Tensor both = share_heads({d_mixed, mixed}, axis);
    const int64_t share = both.size(2) / 2;
    attend_backward(both.narrow(2, 0, share), qkv, both.narrow(2, share, share), rest, d_qkv,
                    context);
    const at::Tensor whole = d_qkv;
    d_qkv = at::empty({d_mixed.size(0), d_mixed.size(1), heads_ + 2 * kv_heads_, head_dim_},
                      d_mixed.options());
    share_sequence(whole, {q(d_qkv), k(d_qkv), v(d_qkv)}, axis);
    return d_qkv;
  }

  // ---- attention itself: qkv [B, T, heads + 2 kv_heads, D] -> [B, T, heads, D], of as many heads
  // as are here

  // `mixed`, where defined, is filled where that saves a copy.
  at::Tensor attend(const at::Tensor& qkv, Saved& saved, Context& context,
                    const at::Tensor& mixed) const {
    const int64_t samples = qkv.size(0), length = qkv.size(1), heads = q(qkv).size(2);
    if (drops(context)) {
      at::Tensor into;
      if (context.save)
        into = keep(context, "probabilities", {samples, heads, length, length}, qkv.options());
      const at::Tensor p = probabilities(q(qkv), k(qkv), into);
      if (context.save) saved.tensors = {context.selective ? at::Tensor() : p};
      return mix(dropped(p, context), v(qkv));
    }
    AttentionSaved kept;
    AttentionSaved* const wanted = context.save ? &kept : nullptr;
    if (wanted) kept = {mixed, kept_log_sum_exp(qkv, context), {}};
    const at::Tensor attended =
        goes_round(context)
            ? ring_attention_forward(q(qkv), k(qkv), v(qkv),
                                     context.mesh->axis(comm::Axis::context), wanted)
            : attention_forward(q(qkv), k(qkv), v(qkv), true, wanted);
    if (wanted) {
      saved.tensors = {kept.log_sum_exp};
      for (at::Tensor& state : kept.random_state) saved.tensors.push_back(std::move(state));
    }
    return attended;
  }

  at::Tensor kept_log_sum_exp(const at::Tensor& qkv, const Context& context) const {
    const bool wide = qkv.scalar_type() == at::kDouble;
    return keep(context, "log_sum_exp", {qkv.size(0), q(qkv).size(2), qkv.size(1)},
                qkv.options().dtype(wide ? at::kDouble : at::kFloat));
  }

  // Where rows of the tensor axis are whole samples, attention too is taken rank by rank: it runs
  // while the rows of others, or for others, travel.
  bool samples_apart(const at::Tensor& qkv, const Context& context) const {
    const int64_t rows = qkv.size(0) * qkv.size(1) / tensor_ranks(context);
    return own_rows_apart(context) && context_ranks(context) == 1 && !drops(context) &&
           rows % qkv.size(1) == 0;
  }
  static at::Tensor samples_in(const at::Tensor& t, const RowRange& rows, int64_t length) {
    return t.narrow(0, rows.first / length, rows.count / length);
  }
  void attend_samples(const at::Tensor& all, const at::Tensor& mixed, const at::Tensor& log_sum_exp,
                      const RowRange& rows) const {
    const auto part = [&](const at::Tensor& t) { return samples_in(t, rows, all.size(1)); };
    const at::Tensor qkv = part(all);
    AttentionSaved kept{part(mixed), part(log_sum_exp), {}};
    attention_forward(q(qkv), k(qkv), v(qkv), true, &kept);
  }
  void attend_samples_backward(const at::Tensor& d_mixed, const at::Tensor& all,
                               const at::Tensor& mixed, const at::Tensor& log_sum_exp,
                               const RowRange& rows, const at::Tensor& d_all) const {
    const auto part = [&](const at::Tensor& t) { return samples_in(t, rows, all.size(1)); };
    const at::Tensor qkv = part(all), d_qkv = part(d_all);
    attention_backward(part(d_mixed), q(qkv), k(qkv), v(qkv), true,
                       {part(mixed), part(log_sum_exp), {}}, q(d_qkv), k(d_qkv), v(d_qkv));
  }

  void attend_backward(const at::Tensor& d_mixed, const at::Tensor& qkv, const at::Tensor& mixed,
                       const std::vector<at::Tensor>& saved, const at::Tensor& d_qkv,
                       Context& context) const {
    if (drops(context)) {
      // As few as can be of these arrays, the largest there are, at a time.
      const at::Tensor p = saved[0].defined() ? saved[0] : probabilities(q(qkv), k(qkv));
      mix_backward(dropped(p, context), d_mixed, v(d_qkv));
      at::Tensor grad_p = probabilities_gradient(d_mixed, v(qkv));
      grad_p = dropped(grad_p, context);
      probabilities_backward(p, grad_p, q(qkv), k(qkv), q(d_qkv), k(d_qkv));
      return;
    }
    const AttentionSaved kept{mixed, saved[0], {saved.begin() + 1, saved.end()}};
    if (goes_round(context))
      ring_attention_backward(d_mixed, q(qkv), k(qkv), v(qkv),
                              context.mesh->axis(comm::Axis::context), kept, q(d_qkv), k(d_qkv),
                              v(d_qkv));
    else
      attention_backward(d_mixed, q(qkv), k(qkv), v(qkv), true, kept, q(d_qkv), k(d_qkv), v(d_qkv));
  }

  bool drops(const Context& context) const {
    return context.training && dropout_rate(*this, "attention_dropout") > 0;
  }

  // p [B, heads, T, T]: a row is one query of one head.
  at::Tensor dropped(const at::Tensor& p, Context& context) const {
    const int64_t samples = p.size(0), here = p.size(1), length = p.size(2);
    const int64_t all = heads_ * tensor_ranks(context);
    Rows rows;
    if (here != all) {
      int64_t first = heads_ * tensor_rank(context);
      if (here != heads_) first += here * context.mesh->coordinate(comm::Axis::context);
      const auto numbers = p.options().dtype(at::kLong);
      const at::Tensor sample = at::arange(samples, numbers).view({-1, 1, 1}),
                       head = at::arange(first, first + here, numbers).view({1, -1, 1});
      rows.index = ((sample * all + head) * length + at::arange(length, numbers)).view(-1);
      rows.per_sample = all * length;
    }
    return dropout(p, *this, /*site=*/1, context, "attention_dropout", rows);
  }

  // ---- shapes

  // Of the heads in a tensor, in the proportion of all of them.
  int64_t share(const at::Tensor& qkv, int64_t heads) const {
    return heads * qkv.size(2) / (heads_ + 2 * kv_heads_);
  }
  at::Tensor q(const at::Tensor& qkv) const { return qkv.narrow(2, 0, share(qkv, heads_)); }
  at::Tensor k(const at::Tensor& qkv) const {
    return qkv.narrow(2, share(qkv, heads_), share(qkv, kv_heads_));
  }
  at::Tensor v(const at::Tensor& qkv) const {
    return qkv.narrow(2, share(qkv, heads_ + kv_heads_), share(qkv, kv_heads_));
  }
  at::Tensor heads_of(const at::Tensor& t, int64_t heads) const {
    return t.view({t.size(0), t.size(1), heads, head_dim_});
  }
  static at::Tensor flat(const at::Tensor& heads) { return heads.flatten(2); }

  static bool shares_heads(const Context& context) {
    return context_ranks(context) > 1 && context.context_method == plan::ContextMethod::all_to_all;
  }
  static bool goes_round(const Context& context) {
    return context_ranks(context) > 1 && context.context_method == plan::ContextMethod::ring;
  }

  // Once for a length, dtype and device.
  const Rotation& rotation(const at::Tensor& h, const Context& context) {  // h [B, T, ...]
    const int64_t length = h.size(1);
    const bool fits = rotation_.cos.defined() && rotation_.cos.size(0) == length &&
                      (rotation_.cos.dtype() == at::kDouble) == (h.dtype() == at::kDouble) &&
                      rotation_.cos.device() == h.device();
    if (!fits)
      rotation_ = rotation_of(positions_of(length, context, h.device()), head_dim_,
                              spec().option("rope_base"), h.options());
    return rotation_;
  }

  int64_t heads_, kv_heads_, head_dim_;
  bool rope_, has_bias_;
  size_t out_;  // index of the product that leaves
  Rotation rotation_;
};

}  // namespace

std::unique_ptr<Layer> make_attention(const plan::LayerSpec& spec) {
  return std::make_unique<Attention>(spec);
}

}  // namespace ocoee::nn
