// SPDX-License-Identifier: Apache-2.0
// Shapes below: T tokens of a micro-batch on a rank, t tensor ranks, w width, q and kv the widths
// of queries and keys, e bytes of an element.
#include "plan/block_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "plan/reuse.h"
#include "plan/timer.h"

namespace ocoee::plan {
namespace {

double whole_flops(const LayerSpec& layer) {
  return layer.cost.matmul_flops + layer.cost.attention_flops;
}

// What moves the rows of the tensor axis.
Network::By messages(const System& system, const Workload& workload) {
  return system.by_tensor && workload.copy_engines ? Network::By::copies : Network::By::kernels;
}

// One layer's part of a block.
class LayerCost {
 public:
  LayerCost(const Workload& workload, const System& system, const Network& network, Timer& timer,
            const Shape& shape, bool in_turns, BlockCost& block)
      : system_(system), network_(network), timer_(timer), b_(block), in_turns_(in_turns) {
    t_ = static_cast<double>(shape.tensor);
    sequence_ = static_cast<double>(workload.sequence);
    T_ = static_cast<double>(shape.micro) * sequence_ / static_cast<double>(shape.context);
    micro_ = static_cast<double>(shape.micro);
    threads_ = static_cast<double>(workload.threads);
    by_heads_ = workload.context_by_heads;
    e_ = static_cast<double>(workload.compute_bytes());
    master_ = std::max(4.0, e_);
    gradient_ = static_cast<double>(workload.gradient_bytes());
    group_ = {shape.tensor, 1};
    context_ = {shape.context, shape.tensor};
    Ts_ = system.norms_sharded ? T_ / t_ : T_;
    by_ = messages(system, workload);
    if (workload.float8) float8_ = timer.device().float8;
    own_rows_apart_ = system.by_tensor && timer.device().workspace > Bytes(0) && !in_turns;
  }

  // Of the last layer's forward pass, what makes nothing but its output.
  const WorkSeconds& output() const { return output_; }

  void add(const LayerSpec& layer) {
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
    if (layer.kind == "norm") return norm(layer);
    if (layer.kind == "attention") return attention(layer);
    if (layer.kind == "mlp") return mlp(layer);
    if (layer.kind == "embedding") return embedding(layer);
    if (layer.kind == "head") return head(layer);
    other(layer);
  }

 private:
  void keep(double none, double selective) {
    b_.saved[0] += none;
    b_.saved[1] += selective;
  }
  // What a layer's backward pass holds beside what was kept up to it: `own`, with selective
  // recompute also `made_again`; its weight work, where it is put off, waits with `waits`.
  void hold(double own, double made_again, double waits) {
    const double held[] = {b_.saved[0] + own, b_.saved[1] + own + made_again};
    b_.waiting += waits;
    for (size_t mode = 0; mode < 2; ++mode) {
      b_.alive[mode] = std::max(b_.alive[mode], held[mode]);
      before_later_[mode] = std::max(before_later_[mode], held[mode] - b_.waiting);
      b_.putting_off[mode] = before_later_[mode] + b_.waiting;  // of the layers after this one
    }
  }
  // The gradients of the residual stream and of a layer's input; over tensor ranks also the first
  // one gathered, the input gathered again, and the part of a sum.
  double stream_gradients(double w, bool dropout) const {
    return e_ * w * ((dropout ? 3 : 2) * Ts_ + (t_ > 1 ? 3 * T_ : 0));
  }
  // What the gradients of a product with a weight [rows, columns] hold beside their result. A GPU's
  // library takes a workspace for each product. Where ATen multiplies (on a CPU, and on a GPU what
  // does not divide by 8) no product is added to a float32 gradient: there is one in the compute
  // type, and on a CPU its copy in float32 or, before that, what oneDNN packs of both operands for
  // each thread (as LibTorch 2.11 was seen to ask for).
  double weight_product(double rows, double columns) const {
    if (e_ == 4 && !has_epilogues()) return threads_ * packed_in_float32(rows, columns);
    if (e_ != 2) return 0;
    const double copy = gradient_ == e_ ? 0 : e_ * rows * columns;
    if (has_epilogues()) return multiplies(rows, columns) ? workspace() : copy;
    const double depth = std::clamp(T_, 64.0, 512.0);
    const double packed = threads_ * (50304 + 2 * depth * (std::min(rows + 32, 288.0) + columns));
    return copy + std::max(2 * copy, packed);
  }
  // What a thread of oneDNN packs of a weight gradient's operands and sums where it makes them
  // (nn/matrix_product.h); elsewhere a little too much, for a plan may be of another machine's CPU.
  double packed_in_float32(double rows, double columns) const {
    if (T_ * rows * columns < (1 << 22)) return 0;
    const double block = std::min(rows, 256.0);
    return 4 * (block * (std::min(T_, 512.0) + 16 + std::min(columns, 1024.0)) +
                (columns < 512 ? 0 : 64 * 512) + 320);
  }
  // The library of products adds what stands beside them: a GPU's, which also takes a workspace.
  bool has_epilogues() const { return workspace() > 0; }
  double workspace() const { return timer_.device().workspace.value; }
  // Whether that library does: products in half precision, of sizes that divide by 8.
  bool multiplies(double rows, double columns) const {
    return has_epilogues() && e_ == 2 && std::fmod(T_, 8) == 0 && std::fmod(rows, 8) == 0 &&
           std::fmod(columns, 8) == 0;
  }
  // Elsewhere on a GPU ATen does, whose workspace, once taken, stays; and, where it adds a bias,
  // 1 MiB beside it.
  void multiplied(double rows, double columns, bool bias) {
    if (has_epilogues() && !multiplies(rows, columns)) keeps_workspace(e_ == 4 && bias);
  }
  void keeps_workspace(bool bias) {
    b_.lasting = std::max(b_.lasting, workspace() + (bias ? 1 << 20 : 0));
  }
  // Other software: the widest activation and its gradient, there and back.
  double others(double w) const { return 4 * e_ * w * T_; }
  void stream(double forward, double backward, double arithmetic = 0, double gradient = 0) {
    b_.forward.of(Work::stream) += timer_.stream(forward, arithmetic);
    b_.input.of(Work::stream) += timer_.stream(backward, gradient);
  }
  // y[T, n] = x[T, k] W: two products come back. Weight gradients are added to what they are kept
  // in, or, in the compute type, are the result itself; a bias's is the sum of the columns, or
  // falls out of another pass.
  void linear(double n, double k, bool bias, bool column_sums = true, bool in_float8 = true) {
    multiplied(n, k, bias);
    const bool small = in_float8 && float8_ > 0;
    const double quicker = small ? float8_ : 1;
    if (small) round_operands(n, k);
    if (bias && system_.by_tensor && !has_epilogues())
      b_.forward.of(Work::stream) += timer_.stream(2 * e_ * n * T_);
    b_.forward.of(Work::product) += timer_.product(T_, n, k, 1, 0, quicker);
    b_.input.of(Work::product) += timer_.product(T_, k, n, 1, 0, quicker);
    const double added = gradient_ == 2 ? 0 : 2 * gradient_;
    b_.weight.of(Work::product) += timer_.product(n, k, T_, 1, added * n * k, quicker);
    if (bias && column_sums && system_.by_tensor)
      b_.weight.of(Work::stream) += timer_.stream(e_ * n * T_);
  }
  // Each of the three products reads its two operands once before, and writes them in one byte.
  void round_operands(double n, double k) {
    const double x = k * T_, y = n * T_, weight = n * k;
    for (const auto& [pass, first, second] :
         {std::tuple{&b_.forward, x, weight}, {&b_.input, y, weight}, {&b_.weight, y, x}})
      pass->of(Work::stream) +=
          timer_.further((e_ + 1) * first) + timer_.further((e_ + 1) * second);
  }
  // Gathers the input of a split layer and sums its output, there and back. `products`: between the
  // two stand products that rows can travel beside.
  void tensor_traffic(double width, bool input, bool output, bool products) {
    if (group_.ranks == 1) return;
    const Bytes bytes(e_ * width * T_);
    if (system_.norms_sharded) {
      const double gather = network_.all_gather(group_, bytes, by_).value;
      const double scatter = network_.reduce_scatter(group_, bytes, by_).value;
      // Beside a product: what is gathered again for the weight gradient, and, where products take
      // a rank's own rows apart, all that is gathered, and the sums of a forward pass. In turns,
      // others see to that.
      const double loss = in_turns_ ? 1 : network_.overlap_loss(group_, by_),
                   beside = loss * gather;
      const bool apart = own_rows_apart_ && products;
      const double ahead = apart ? beside : gather, behind = apart ? loss * scatter : scatter;
      b_.forward.of(Work::tensor) += (input ? ahead : 0) + (output ? behind : 0);
      b_.input.of(Work::tensor) += (output ? ahead : 0) + (input ? scatter + beside : 0);
    } else {
      const double sum = network_.all_reduce(group_, bytes).value;
      if (output) b_.forward.of(Work::tensor) += sum;
      if (input) b_.input.of(Work::tensor) += sum;
    }
  }
  // With selective recompute, this engine keeps no output of a norm: the norm's backward pass
  // writes it once more, before weight gradients are made; over tensor ranks, where it has to
  // travel, the norm is run again.
  double selective_input(double w) {
    if (!system_.repeats_norms) return 0;
    b_.again[1].of(Work::stream) +=
        t_ > 1 ? timer_.further(2 * e_ * w * Ts_, timer_.device().norm * w * Ts_)
               : timer_.more(e_ * w * Ts_);
    return e_ * w * Ts_;
  }
  // That output, and the gradient that the same pass makes.
  double beside_selective(double w) const { return (t_ > 1 ? 1 : 2) * e_ * w * Ts_; }
  double mask(double w, bool dropout) const { return dropout && system_.dropout ? w * Ts_ : 0; }
  // The sum onto the residual stream, with bias and dropout. Of this engine: a GPU's library adds
  // it to the product; dropout is a pass each way, which draws its mask.
  void residual(double w, bool dropout) {
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
  bool drops(const LayerSpec& layer, const char* option) const {
    const auto found = layer.options.find(option);
    return system_.dropout || (found != layer.options.end() && found->second > 0);
  }

  void norm(const LayerSpec& layer) {
    const double w = layer.option("width");
    stream(2 * e_ * w * Ts_, 4 * e_ * w * Ts_, timer_.device().norm * w * Ts_,
           timer_.device().norm_gradient * w * Ts_);
    const double bytes = (e_ * w + layer.cost.saved_bytes_fixed * master_ / 4) * Ts_;
    keep(bytes, bytes);
    hold(system_.by_tensor ? 3 * e_ * w * Ts_ : others(w), 0, 0);
  }

  void attention(const LayerSpec& layer) {
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
    const auto [forward, backward] = timer_.attention(4 * sequence_ * q * T_, head, sequence_,
                                                      heads * T_, 2 * e_ * (q + kv) * T_);
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
  double library_gradients(double q, double kv, double heads) const {
    if (has_epilogues() && e_ == 2) return std::max(e_ * (q + 2 * kv), 4 * q + 8 * heads) * T_;
    if (has_epilogues())
      return e_ * (q > kv ? 6 * q : 4 * q) * T_ + 2 * e_ * heads * T_ * sequence_;
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
  double probability_gradients(double q, double kv, double heads) const {
    const double probabilities = e_ * heads * T_ * sequence_;
    return std::max((has_epilogues() ? 3 : 2) * probabilities,
                    2 * probabilities + e_ * (q > kv ? 3 * q : 2 * q) * T_);
  }

  // What goes round a ring of context ranks: keys, values and their gradients, leaving and
  // arriving, and sums in the wide type; or what is sorted by heads and back.
  double context_exchange(double q, double kv) const {
    if (context_.ranks == 1) return 0;
    if (by_heads_) return e_ * (5 * q + 6 * kv) * T_;
    return (master_ * (q + 2 * kv) + e_ * (q + 6 * kv)) * T_;
  }

  // Softmax(Q K^T) with its scores in memory.
  void scores(double heads, double head, bool dropout, double kept, double given_up, double own,
              double waits) {
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

  // Keys and values of the other context ranks arrive while scores are computed.
  void context_traffic(double bytes, double hidden_by) {
    if (context_.ranks == 1) return;
    const Bytes whole(bytes * static_cast<double>(context_.ranks));
    const double gather = network_.all_gather(context_, whole).value;
    b_.forward.of(Work::context) += std::max(0.0, gather - hidden_by);
    b_.input.of(Work::context) += std::max(0.0, 2 * gather - 2 * hidden_by);
  }

  void mlp(const LayerSpec& layer) {
    const double w = layer.option("width"), inner = layer.option("feed_forward") / t_;
    const double up = layer.choice("activation") == "swiglu" ? 2 * inner : inner;
    const bool bias = layer.parameters.back().shape.size() == 1;
    linear(up, w, bias, up > inner);  // the bias before a GELU falls out of its gradient's pass
    stream(e_ * (up + inner) * T_, e_ * (2 * up + inner) * T_,
           timer_.device().activation * inner * T_,
           timer_.device().activation_gradient * inner * T_);
    tensor_traffic(w, true, false, /*products=*/true);
    const WorkSeconds without_output = b_.forward;
    linear(w, inner, bias);
    tensor_traffic(w, false, true, /*products=*/true);
    residual(w, drops(layer, "dropout"));
    for (size_t i = 0; i < kWorks; ++i) output_[i] = b_.forward[i] - without_output[i];
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

  void embedding(const LayerSpec& layer) {
    const double w = layer.option("width");
    stream(2 * e_ * w * T_, (e_ + 2 * gradient_) * w * T_);
    tensor_traffic(w, false, true, /*products=*/false);
    const double kept = 8 * T_ + mask(w, drops(layer, "dropout"));
    keep(kept, kept);
    hold(system_.by_tensor ? 2 * e_ * w * T_ : others(w), 0, e_ * w * T_);
  }

  void head(const LayerSpec& layer) {
    const double w = layer.option("width");
    const double vocabulary = std::ceil(layer.option("vocabulary") / t_);  // padded
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

  void other(const LayerSpec& layer) {
    const Cost& c = layer.cost;
    const double share = std::any_of(layer.parameters.begin(), layer.parameters.end(),
                                     [](const ParameterSpec& p) { return p.tensor_dim >= 0; })
                             ? t_
                             : 1;
    const double flops = whole_flops(layer) * T_ / share;
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

  const System& system_;
  const Network& network_;
  Network::By by_;
  bool own_rows_apart_;
  Timer& timer_;
  BlockCost& b_;
  double t_ = 1, T_ = 0, Ts_ = 0, micro_ = 1, sequence_ = 0, e_ = 2, master_ = 4, gradient_ = 4,
         threads_ = 1, float8_ = 0;
  std::array<double, 2> before_later_{};
  Group group_, context_;
  bool by_heads_ = false, in_turns_ = false;
  WorkSeconds output_;
};

// What tells one class of blocks from another: everything but names.
std::string signature(const BlockSpec& block) {
  std::string text;
  for (const LayerSpec& layer : block.layers) {
    text += layer.kind + '|';
    for (const auto& [key, value] : layer.options) text += fmt::format("{}={};", key, value);
    for (const auto& [key, value] : layer.choices) text += fmt::format("{}={};", key, value);
    for (const ParameterSpec& p : layer.parameters)
      text += fmt::format("{}/{}{};", fmt::join(p.shape, "x"), p.tensor_dim,
                          p.tied_to.empty() ? "" : "t");
    text += fmt::format("{},{},{},{}|", layer.cost.matmul_flops, layer.cost.attention_flops,
                        layer.cost.saved_elements, layer.cost.bytes_moved);
  }
  return text;
}

}  // namespace

bool is_recomputed(const BlockSpec& block) {
  return std::none_of(block.layers.begin(), block.layers.end(), [](const LayerSpec& layer) {
    return layer.kind == "embedding" || layer.kind == "head";
  });
}

double flops_made_again(const BlockSpec& block) {
  if (!is_recomputed(block) || block.layers.empty()) return 0;
  double sum = -block.layers.back().cost.output_flops;
  for (const LayerSpec& layer : block.layers) sum += whole_flops(layer);
  return sum;
}

const char* name_of(Work work) {
  static const char* const names[] = {"products", "attention", "elementwise", "tensor", "context"};
  return names[static_cast<size_t>(work)];
}

double WorkSeconds::total() const {
  return std::accumulate(begin(), end(), 0.0);
}
WorkSeconds& WorkSeconds::operator+=(const WorkSeconds& other) {
  for (size_t i = 0; i < kWorks; ++i) (*this)[i] += other[i];
  return *this;
}

BlockCosts::BlockCosts(const Workload& workload, const System& system, const Machine& machine)
    : workload_(workload),
      system_(system),
      machine_(machine),
      network_(machine),
      peak_(machine.device.peak(workload.compute)) {
  std::map<std::string, size_t> seen;
  const auto& blocks = workload.model.blocks;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto [found, is_new] = seen.emplace(signature(blocks[i]), seen.size());
    if (is_new) representative_.push_back(i);
    class_of_block_.push_back(found->second);
    for (const LayerSpec& layer : blocks[i].layers) {
      const auto option = layer.options.find("width");
      if (option != layer.options.end())
        width_ = std::max(width_, static_cast<int64_t>(option->second));
    }
  }
}

std::string BlockCosts::problem(const Shape& shape) const {
  if (shape.context > 1 && system_.least_context == 0)
    return fmt::format("{} has no context axis", system_.name);
  if (workload_.sequence % shape.context != 0)
    return fmt::format("{} context ranks do not divide a sequence of {}", shape.context,
                       workload_.sequence);
  if (system_.norms_sharded && workload_.sequence / shape.context % shape.tensor != 0)
    return fmt::format("{} tensor ranks do not divide the {} tokens of a sample that a rank has",
                       shape.tensor, workload_.sequence / shape.context);
  for (const size_t b : representative_) {
    for (const LayerSpec& layer : workload_.model.blocks[b].layers) {
      for (const char* option : {"heads", "kv_heads", "feed_forward"}) {
        const auto found = layer.options.find(option);
        if (found != layer.options.end() && static_cast<int64_t>(found->second) % shape.tensor != 0)
          return fmt::format("{} tensor ranks do not divide {} {}", shape.tensor, found->second,
                             option);
      }
    }
  }
  return "";
}

const std::vector<BlockCost>& BlockCosts::at(const Shape& asked) {
  const bool knows_reuse = !machine_.device.reuse.at.empty();
  Shape shape = asked;
  if (!knows_reuse) shape.stages = 1, shape.recompute = Recompute::none;
  std::vector<BlockCost>& costs = known_[shape];
  if (!costs.empty()) return costs;
  costs = all(shape, Seconds(0));
  if (!knows_reuse) return costs;
  const double touched = footprint(costs, class_of_block_, shape.recompute,
                                   static_cast<double>(workload_.compute_bytes()),
                                   static_cast<double>(workload_.gradient_bytes()));
  return costs = all(shape,
                     seconds_a_byte(machine_.device, touched / static_cast<double>(shape.stages)));
}

std::vector<BlockCost> BlockCosts::all(const Shape& shape, Seconds byte) const {
  std::vector<BlockCost> costs;
  for (const size_t b : representative_) {
    const BlockSpec& block = workload_.model.blocks[b];
    costs.push_back(takes_turns(shape) ? in_turns(block, shape, byte) : cost(block, shape, byte));
  }
  return costs;
}

// As this engine decides it (parallel/engine.h), on GPUs of their own.
bool BlockCosts::takes_turns(const Shape& shape) const {
  if (!system_.by_tensor || shape.tensor == 1 || shape.micro % 2 != 0) return false;
  const bool gpu = machine_.device.workspace > Bytes(0);
  const bool copies = network_.copies({shape.tensor, 1}, messages(system_, workload_));
  return workload_.halves == "on" || (workload_.halves == "auto" && gpu && !copies);
}

// The exchanges of one half run beside the work of the other, and take a share of it. Memory is at
// most that of a whole micro-batch.
BlockCost BlockCosts::in_turns(const BlockSpec& block, const Shape& shape, Seconds byte) const {
  BlockCost out = cost(block, shape, byte);
  const BlockCost half = cost(block, {shape.tensor, shape.context, shape.micro / 2}, byte, true);
  const double loss = network_.overlap_loss({shape.tensor, 1}, messages(system_, workload_));
  const auto twice = [](const WorkSeconds& one) {
    WorkSeconds both = one;
    return both += one;
  };
  // `beside`: seconds of further work of the same pass.
  const auto exposed = [&](WorkSeconds& pass, double beside) {
    double& exchanges = pass.of(Work::tensor);
    const double work = pass.total() - exchanges + beside;
    exchanges = std::max(0.0, exchanges - work) + loss * std::min(exchanges, work);
  };
  out.forward = twice(half.forward);
  out.input = twice(half.input);
  out.weight = twice(half.weight);
  for (size_t mode = 0; mode < out.again.size(); ++mode) {
    out.again[mode] = twice(half.again[mode]);
    exposed(out.again[mode], 0);
  }
  exposed(out.forward, 0);
  exposed(out.input, out.weight.total());
  return out;
}

BlockCost BlockCosts::cost(const BlockSpec& block, const Shape& shape, Seconds byte,
                           bool in_turns) const {
  const auto element = static_cast<double>(workload_.compute_bytes());
  const double tokens =
      static_cast<double>(shape.micro * workload_.sequence) / static_cast<double>(shape.context);
  Timer timer(machine_.device, peak_, element, tokens, byte);
  BlockCost out;
  LayerCost layers(workload_, system_, network_, timer, shape, in_turns, out);
  for (const LayerSpec& layer : block.layers) {
    const std::array<double, 3> before = out.saved;
    layers.add(layer);
    std::array<double, 3>& kept = out.saved_by_kind[layer.kind];
    for (const size_t mode : {0, 1}) kept[mode] += out.saved[mode] - before[mode];
    for (const ParameterSpec& p : layer.parameters) {
      auto count = static_cast<double>(p.elements());
      // Gradients of what tensor ranks hold whole are summed in an array that stays.
      if (system_.by_tensor && shape.tensor > 1 && p.tensor_dim < 0 && p.tied_to.empty())
        out.tables += std::max(4.0, element) * count;
      if (p.tensor_dim >= 0) {  // a rank's share of a padded extent
        const int64_t extent = p.shape[static_cast<size_t>(p.tensor_dim)];
        const int64_t part = (extent + shape.tensor - 1) / shape.tensor;
        count *= static_cast<double>(part) / static_cast<double>(extent);
      }
      (p.tied_to.empty() ? out.parameters : out.borrowed) += count;
    }
  }
  const auto full = static_cast<size_t>(Recompute::full);
  out.saved[full] = out.saved[0];
  out.alive[full] = out.alive[0];
  out.putting_off[full] = out.putting_off[0];
  for (auto& [kind, kept] : out.saved_by_kind) kept[full] = kept[0];
  if (is_recomputed(block)) {
    const double split = system_.norms_sharded ? static_cast<double>(shape.tensor) : 1;
    out.saved[full] = element * static_cast<double>(width_) * tokens / split;
    for (auto& [kind, kept] : out.saved_by_kind) kept[full] = 0;
    out.saved_by_kind["inputs of blocks"][full] = out.saved[full];
    out.again[full] = out.forward;
    if (system_.by_tensor)
      for (size_t i = 0; i < kWorks; ++i) out.again[full][i] -= layers.output()[i];
  }
  return out;
}

}  // namespace ocoee::plan
