// SPDX-License-Identifier: Apache-2.0
#include "plan/layer_cost.h"

#include <algorithm>
#include <cmath>

namespace ocoee::plan {

LayerCost::LayerCost(const Workload& workload, const System& system, const Network& network,
                     Timer& timer, const Shape& shape, bool in_turns, BlockCost& block)
    : system_(system),
      network_(network),
      timer_(timer),
      b_(block),
      group_{shape.tensor, 1},
      context_{shape.context, shape.tensor},
      t_(static_cast<double>(shape.tensor)),
      micro_(static_cast<double>(shape.micro)),
      sequence_(static_cast<double>(workload.sequence)),
      T_(micro_ * sequence_ / static_cast<double>(shape.context)),
      Ts_(system.norms_sharded ? T_ / t_ : T_),
      e_(static_cast<double>(workload.compute_bytes())),
      master_(std::max(4.0, e_)),
      gradient_(static_cast<double>(workload.gradient_bytes())),
      threads_(static_cast<double>(workload.threads)),
      float8_(workload.float8 ? timer.device().float8 : 0),
      by_heads_(workload.context_by_heads),
      in_turns_(in_turns),
      by_(mover_of_rows(system, workload)),
      own_rows_apart_(system.by_tensor && has_epilogues() && !in_turns) {}

void LayerCost::add(const LayerSpec& layer) {
  output_ = {};
  const auto fixed = timer_.device().fixed.find(layer.kind);
  const bool known =
      system_.by_tensor && fixed != timer_.device().fixed.end() && !fixed->second.empty();
  timer_.count_launches(!known);
  if (known) {
    b_.forward.of(Work::stream) += fixed->second[0];
    b_.input.of(Work::stream) += fixed->second[1] / 2;
    b_.weight.of(Work::stream) += fixed->second[1] / 2;
  }
  const std::array<double, 3> before = b_.saved;
  operations(layer);
  std::array<double, 3>& kept = b_.saved_by_kind[layer.kind];
  for (const size_t mode : {0, 1}) kept[mode] += b_.saved[mode] - before[mode];
  parameters(layer);
}

void LayerCost::operations(const LayerSpec& layer) {
  if (layer.kind == "norm") return norm(layer);
  if (layer.kind == "attention") return attention(layer);
  if (layer.kind == "mlp") return mlp(layer);
  if (layer.kind == "embedding") return embedding(layer);
  if (layer.kind == "head") return head(layer);
  other(layer);
}

void LayerCost::parameters(const LayerSpec& layer) {
  for (const ParameterSpec& p : layer.parameters) {
    auto count = static_cast<double>(p.elements());
    // Gradients of what tensor ranks hold whole are summed in an array that stays.
    if (system_.by_tensor && t_ > 1 && p.tensor_dim < 0 && p.tied_to.empty())
      b_.tables += master_ * count;
    if (p.tensor_dim >= 0) {  // a rank's share of a padded extent
      const int64_t extent = p.shape[static_cast<size_t>(p.tensor_dim)];
      const int64_t part = (extent + group_.ranks - 1) / group_.ranks;
      count *= static_cast<double>(part) / static_cast<double>(extent);
    }
    (p.tied_to.empty() ? b_.parameters : b_.borrowed) += count;
  }
}

void LayerCost::norm(const LayerSpec& layer) {
  const double w = layer.option("width");
  stream(2 * e_ * w * Ts_, 4 * e_ * w * Ts_, timer_.device().norm * w * Ts_,
         timer_.device().norm_gradient * w * Ts_);
  const double bytes = (e_ * w + layer.cost.saved_bytes_fixed * master_ / 4) * Ts_;
  keep(bytes, bytes);
  hold(system_.by_tensor ? 3 * e_ * w * Ts_ : others(w), 0, 0);
}

void LayerCost::mlp(const LayerSpec& layer) {
  const double w = layer.option("width"), inner = layer.option("feed_forward") / t_;
  const double up = layer.choice("activation") == "swiglu" ? 2 * inner : inner;
  const bool bias = layer.parameters.back().shape.size() == 1;
  linear(up, w, bias, up > inner);  // the bias before a GELU falls out of its gradient's pass
  stream(e_ * (up + inner) * T_, e_ * (2 * up + inner) * T_,
         timer_.device().activation * inner * T_, timer_.device().activation_gradient * inner * T_);
  tensor_traffic(w, true, false, /*products=*/true);
  const WorkSeconds without_output = b_.forward;
  linear(w, inner, bias);
  tensor_traffic(w, false, true, /*products=*/true);
  residual(w, drops(layer, "dropout"));
  output_ = b_.forward;
  output_ -= without_output;
  const double kept = e_ * (w * Ts_ + (layer.cost.saved_elements - w) / t_ * T_);
  double given_up = selective_input(w);
  if (system_.repeats_norms) {  // and no output of the activation: its backward pass writes it
    b_.again[1].of(Work::stream) +=
        timer_.more(e_ * inner * T_, timer_.device().activation * inner * T_);
    given_up += e_ * inner * T_;
  }
  keep(kept, kept - given_up);
  if (!system_.by_tensor) return hold(others(w), 0, 0);
  // The gradient before a gated activation takes the place of what entered it.
  const double before = up > inner ? std::max(0.0, e_ * (inner * T_ - w * Ts_)) : e_ * up * T_;
  const double products = std::max(weight_product(up, w), weight_product(w, inner));
  // Before the gradient of the input is made, sums of the bias's gradient over shares of the
  // rows.
  const double sums = has_epilogues() && bias
                          ? master_ * inner * std::min(256.0, std::ceil(T_ / 64)) - e_ * w * Ts_
                          : 0;
  // An activation made again takes the place of its gradient, which then stays.
  const double stays = up > inner ? std::min(e_ * inner * T_, e_ * w * Ts_) : 0;
  hold(stream_gradients(w, drops(layer, "dropout")) + before + std::max(products, sums),
       beside_selective(w) + stays, e_ * (w * Ts_ + (w + inner + up) * T_));
}

void LayerCost::embedding(const LayerSpec& layer) {
  const double w = layer.option("width");
  stream(2 * e_ * w * T_, (e_ + 2 * gradient_) * w * T_);
  tensor_traffic(w, false, true, /*products=*/false);
  const double kept = 8 * T_ + mask(w, drops(layer, "dropout"));
  keep(kept, kept);
  hold(system_.by_tensor ? 2 * e_ * w * T_ : others(w), 0, e_ * w * T_);
}

void LayerCost::head(const LayerSpec& layer) {
  const double w = layer.option("width");
  const double vocabulary = std::ceil(layer.option("vocabulary") / t_);  // padded
  const auto chunks = layer.options.find("loss_chunks");
  if (system_.by_tensor && chunks != layer.options.end() && chunks->second > 1)
    return head_in_chunks(vocabulary, w, chunks->second);
  linear(vocabulary, w, false, true, /*in_float8=*/false);
  tensor_traffic(w, true, false, /*products=*/false);
  const double logits = vocabulary * T_;
  if (system_.by_tensor)  // logits become their gradient in place, in the forward pass
    stream(2 * e_ * logits, 0, timer_.device().loss * logits);
  else
    stream((e_ + 2 * master_) * logits, (e_ + master_) * logits);
  const double kept = e_ * (w * Ts_ + logits);
  const double given_up = selective_input(w);
  keep(kept, kept - given_up);
  if (!system_.by_tensor) return hold(std::max(2 * master_ * logits, others(w)), 0, 0);
  // Logits become their gradient in place. The input's gradient, and, unless the library takes
  // the scalar, the input times it; over tensor ranks the input gathered again and the sum; six
  // numbers a token while ranks agree.
  const double scaled = multiplies(vocabulary, w) ? 0 : T_;
  hold(e_ * w * (T_ + scaled + (t_ > 1 ? T_ + Ts_ : 0)) +
           (t_ > 1 || !has_epilogues() ? 24 * T_ : 0) + weight_product(vocabulary, w),
       beside_selective(w), e_ * (logits + w * T_));
}

// The backward pass makes the logits, which become their gradient in place. Its products come in
// the same pass, each chunk's added to the weight gradient, or to sums beside it: where that is
// kept in fewer bytes, or where it is put off.
void LayerCost::head_in_chunks(double vocabulary, double w, double chunks) {
  multiplied(vocabulary, w, false);
  const double logits = vocabulary * T_, sums = master_ * vocabulary * w;
  const bool beside = gradient_ < master_;
  b_.input.of(Work::product) += timer_.product(T_ / chunks, vocabulary, w, chunks) +
                                timer_.product(T_ / chunks, w, vocabulary, chunks);
  b_.input.of(Work::product) +=
      timer_.product(vocabulary, w, T_ / chunks, chunks, chunks * 2 * sums);
  if (beside) b_.weight.of(Work::stream) += timer_.stream(sums + gradient_ * vocabulary * w);
  gather_and_sum(w);
  // Over tensor ranks statistics come first, and then the gradient.
  stream(0, (t_ > 1 ? 3 : 2) * e_ * logits, 0, timer_.device().loss * logits);
  keep(e_ * w * Ts_, e_ * w * Ts_);
  const double scaled = multiplies(vocabulary, w) ? 0 : T_;
  hold(e_ * logits / chunks + e_ * w * (T_ + scaled / chunks + (t_ > 1 ? T_ + Ts_ : 0)) +
           (t_ > 1 || !has_epilogues() ? 24 * T_ / chunks : 0) +
           weight_product(vocabulary, w, master_) + (beside ? sums : 0),
       0, sums, beside ? 0 : sums);
}

void LayerCost::other(const LayerSpec& layer) {
  const Cost& c = layer.cost;
  const double share = std::any_of(layer.parameters.begin(), layer.parameters.end(),
                                   [](const ParameterSpec& p) { return p.tensor_dim >= 0; })
                           ? t_
                           : 1;
  const double flops = c.forward_flops() * T_ / share;
  // A product of this many FLOPs, and as many as each backward pass takes.
  const double side = std::max(1.0, std::cbrt(flops / 2));
  const double once = flops > 0 ? timer_.product(side, side, side) : 0;
  b_.forward.of(Work::product) += once;
  b_.input.of(Work::product) += once * c.backward_factor / 2;
  b_.weight.of(Work::product) += once * c.backward_factor / 2;
  stream(e_ * c.bytes_moved * T_, e_ * c.bytes_moved * T_ * c.backward_factor);
  const double kept = (e_ * c.saved_elements + c.saved_bytes_fixed) * T_;
  keep(kept, kept);
  hold(kept, 0, kept);
}

// The sum onto the residual stream, with bias and dropout. Of this engine: a GPU's library adds
// it to the product; dropout is a pass each way, which draws its mask.
void LayerCost::residual(double w, bool dropout) {
  if (system_.by_tensor) {
    const double elements = w * Ts_;
    if (dropout) {
      b_.forward.of(Work::stream) += timer_.further(3 * e_ * elements, timer_.random(elements));
      b_.input.of(Work::stream) += timer_.further(2 * e_ * elements, timer_.random(elements));
    } else {
      stream((has_epilogues() && (t_ == 1 || own_rows_apart_) ? 1 : 3) * e_ * elements, 0);
    }
    return;
  }
  stream((dropout ? 3 * e_ + 1 : 2 * e_) * w * Ts_, dropout ? (2 * e_ + 1) * w * Ts_ : 0);
  if (dropout) b_.forward.of(Work::stream) += timer_.random(w * Ts_);
  keep(mask(w, dropout), mask(w, dropout));
}

// A pass over memory each way; `arithmetic`, `gradient`: seconds that these take at least.
void LayerCost::stream(double forward, double backward, double arithmetic, double gradient) {
  b_.forward.of(Work::stream) += timer_.stream(forward, arithmetic);
  b_.input.of(Work::stream) += timer_.stream(backward, gradient);
}

// By recompute; full keeps nothing but a block's input.
void LayerCost::keep(double none, double selective) {
  b_.saved[0] += none;
  b_.saved[1] += selective;
}

// What a layer's backward pass holds beside what was kept up to it: `own`, with selective
// recompute also `made_again`; its weight work, where it is put off, waits with `waits`, beside
// which the pass then holds `if_put_off`.
void LayerCost::hold(double own, double made_again, double waits, double if_put_off) {
  const double held[] = {b_.saved[0] + own, b_.saved[1] + own + made_again};
  b_.waiting += waits;
  for (size_t mode = 0; mode < 2; ++mode) {
    b_.alive[mode] = std::max(b_.alive[mode], held[mode]);
    before_later_[mode] = std::max(before_later_[mode], held[mode] + if_put_off - b_.waiting);
    b_.putting_off[mode] = before_later_[mode] + b_.waiting;  // of the layers after this one
  }
}

// The gradients of the residual stream and of a layer's input; over tensor ranks also the first
// one gathered, the input gathered again, and the part of a sum.
double LayerCost::stream_gradients(double w, bool dropout) const {
  return e_ * w * ((dropout ? 3 : 2) * Ts_ + (t_ > 1 ? 3 * T_ : 0));
}

// With selective recompute, this engine keeps no output of a norm: the norm's backward pass
// writes it once more, before weight gradients are made; over tensor ranks, where it has to
// travel, the norm is run again.
double LayerCost::selective_input(double w) {
  if (!system_.repeats_norms) return 0;
  b_.again[1].of(Work::stream) +=
      t_ > 1 ? timer_.further(2 * e_ * w * Ts_, timer_.device().norm * w * Ts_)
             : timer_.more(e_ * w * Ts_);
  return e_ * w * Ts_;
}

// That output, and the gradient that the same pass makes.
double LayerCost::beside_selective(double w) const {
  return (t_ > 1 ? 1 : 2) * e_ * w * Ts_;
}

// Other software: the widest activation and its gradient, there and back.
double LayerCost::others(double w) const {
  return 4 * e_ * w * T_;
}

double LayerCost::mask(double w, bool dropout) const {
  return dropout && system_.dropout ? w * Ts_ : 0;
}

bool LayerCost::drops(const LayerSpec& layer, const char* option) const {
  const auto found = layer.options.find(option);
  return system_.dropout || (found != layer.options.end() && found->second > 0);
}

}  // namespace ocoee::plan
