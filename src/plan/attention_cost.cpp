// SPDX-License-Identifier: Apache-2.0
// Attention: its products and scores, in seconds, and what its backward pass holds of them.
#include <algorithm>

#include "plan/layer_cost.h"

namespace ocoee::plan {

void LayerCost::attention(const LayerSpec& layer) {
  const double w = layer.option("width"), heads = layer.option("heads") / t_;
  const double head = layer.option("head_dim"), q = heads * head;
  const double kv = layer.option("kv_heads") * head / t_;
  const bool bias = layer.parameters.size() > 4;
  linear(q + 2 * kv, w, bias);
  linear(w, q, bias);
  if (!system_.by_tensor)  // into the kernel's order; this engine's calls were timed with it
    stream(2 * e_ * (q + 2 * kv) * T_, 2 * e_ * (q + 2 * kv) * T_);
  tensor_traffic(w, true, true, /*products=*/true);
  residual(w, drops(layer, "dropout"));
  const double kept = e_ * (w * Ts_ + 2 * (q + kv) * T_);
  // A fused kernel holds no probabilities that dropout could fall on.
  const bool drops_scores = drops(layer, "attention_dropout");
  // The gradient of the mixed heads, that of queries, keys and values, and the library's own.
  const double qkv = e_ * (q + 2 * kv) * T_;
  const bool fused = system_.fused_attention && !(drops_scores && !system_.dropout);
  const double library = fused ? library_gradients(q, kv, heads) + context_exchange(q, kv)
                               : probability_gradients(q, kv, heads);
  const double products = std::max(weight_product(q + 2 * kv, w), weight_product(w, q));
  double own = others(w);
  if (system_.by_tensor) {
    // Its output goes with what it keeps.
    own = stream_gradients(w, drops(layer, "dropout")) + e_ * q * T_ + qkv + e_ * w * Ts_;
    // On a GPU the library's are gone before the product that makes the gradient of the input.
    own += has_epilogues() ? std::max(library - e_ * w * Ts_, products) : library + products;
  }
  if (system_.by_tensor && layer.choice("positions") == "rope") {
    b_.tables += master_ * head * T_ / micro_;  // cosines and sines
    for (WorkSeconds* pass : {&b_.forward, &b_.input})
      pass->of(Work::stream) += timer_.further(2 * e_ * (q + kv) * T_);
  }
  const double waits = e_ * (w * Ts_ + (q + w) * T_) + qkv;
  if (!fused) {
    scores(heads, head, drops_scores, kept, selective_input(w), own, waits);
    return;
  }
  const auto [forward, backward] =
      timer_.attention(4 * sequence_ * q * T_, head, sequence_, heads * T_, 2 * e_ * (q + kv) * T_);
  b_.forward.of(Work::attention) += forward;
  b_.input.of(Work::attention) += backward;
  context_traffic(2 * e_ * kv * T_, forward);
  const double statistics = master_ * heads * T_;
  keep(kept + statistics, kept + statistics - selective_input(w));
  hold(own, e_ * w * Ts_, waits);
}

// What the library of fused attention holds in a backward pass. cuDNN adds up the gradient of
// queries in float32, beside a number a row; it has no kernel for wider types, whose scores are
// made: probabilities, their gradient, and the operand of a product, contiguous. LibTorch returns
// all gradients, of repeated keys and values where heads share them; on a CPU each thread has
// blocks of scores: 256, 64 or 32 queries, by the length, and 512 keys.
double LayerCost::library_gradients(double q, double kv, double heads) const {
  if (has_epilogues() && e_ == 2) return std::max(e_ * (q + 2 * kv), 4 * q + 8 * heads) * T_;
  if (has_epilogues()) return e_ * (q > kv ? 6 * q : 4 * q) * T_ + 2 * e_ * heads * T_ * sequence_;
  const double gradients = e_ * (q > kv ? 5 * q + kv : 3 * q) * T_;
  const double length = T_ / micro_;
  const double queries = std::min(length, length >= 768   ? 256.0
                                          : length >= 192 ? 64.0
                                                          : 32.0),
               keys = std::min(length, 512.0);
  const double scratch = (master_ + (e_ == 2 ? e_ : 0)) * 2 * queries * keys + master_ * queries;
  return gradients + threads_ * scratch;
}

// The same where dropout falls on probabilities, beside them: their gradient with its mask, that
// of the scores, and on a GPU the product of the first two, which its softmax needs; or, when
// that is over, what the products with queries and keys take and make.
double LayerCost::probability_gradients(double q, double kv, double heads) const {
  const double probabilities = e_ * heads * T_ * sequence_;
  return std::max((has_epilogues() ? 3 : 2) * probabilities,
                  2 * probabilities + e_ * (q > kv ? 3 * q : 2 * q) * T_);
}

// What goes round a ring of context ranks: keys, values and their gradients, leaving and
// arriving, and sums in the wide type; or what is sorted by heads and back.
double LayerCost::context_exchange(double q, double kv) const {
  if (context_.ranks == 1) return 0;
  if (by_heads_) return e_ * (5 * q + 6 * kv) * T_;
  return (master_ * (q + 2 * kv) + e_ * (q + 6 * kv)) * T_;
}

// Softmax(Q K^T) with its scores in memory.
void LayerCost::scores(double heads, double head, bool dropout, double kept, double given_up,
                       double own, double waits) {
  const double queries = T_ / micro_, count = heads * micro_;
  const double elements = count * queries * sequence_;
  const double qk = timer_.product(queries, sequence_, head, count);
  const double pv = timer_.product(queries, head, sequence_, count);
  double softmax = timer_.stream(2 * e_ * elements), back = timer_.stream(3 * e_ * elements);
  if (dropout) {
    softmax += timer_.stream((2 * e_ + 1) * elements) + timer_.random(elements);
    back += timer_.stream((2 * e_ + 1) * elements);
  }
  b_.forward.of(Work::attention) += qk + softmax + pv;
  b_.input.of(Work::attention) += 2 * qk + back + 2 * pv;
  b_.again[1].of(Work::attention) += qk + softmax + pv;
  // This engine draws the mask and multiplies by it again; others keep both.
  keep(kept + (system_.dropout ? 2 * e_ + 1 : e_) * elements, kept - given_up);
  if (has_epilogues()) keeps_workspace(false);  // of ATen's products
  hold(own, (system_.by_tensor ? e_ * elements : 0) + given_up, waits);
}

}  // namespace ocoee::plan
