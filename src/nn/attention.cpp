// SPDX-License-Identifier: Apache-2.0
// Causal self-attention with its residual: {x, h} -> {x + proj(attention(h))}.
// h [B,T,width]; query heads share key-value heads in groups (Ainslie et al. 2023); rotary
// positions use the half-split form of Llama in Hugging Face (Su et al. 2021). The product of
// queries and keys is the library's fused attention; with dropout on its probabilities, whose mask
// must be ours, the unfused form is used.
#include <cmath>

#include "core/error.h"
#include "nn/dropout.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

class Attention final : public AutogradLayer {
 public:
  explicit Attention(const plan::LayerSpec& spec)
      : AutogradLayer(spec),
        heads_(static_cast<int64_t>(spec.option("heads"))),
        kv_heads_(static_cast<int64_t>(spec.option("kv_heads"))),
        head_dim_(static_cast<int64_t>(spec.option("head_dim"))),
        rope_(spec.choice("positions") == "rope"),
        has_bias_(spec.parameters.size() == 8) {}

 protected:
  // q, k, v are one product: their weights are consecutive, and so are their biases.
  std::vector<std::pair<size_t, size_t>> leaf_groups() const override {
    if (has_bias_) return {{0, 3}, {3, 3}, {6, 1}, {7, 1}};
    return {{0, 3}, {3, 1}};
  }

  void compute(const Bundle& in, Bundle& out, const std::vector<at::Tensor>& w,
               Context& context) override {
    const at::Tensor& h = in.at("h");
    const int64_t batch = h.size(0), length = h.size(1);
    const at::Tensor qkv = has_bias_ ? at::linear(h, w[0], w[1]) : at::linear(h, w[0]);
    at::Tensor q = heads_of(qkv, 0, heads_);
    at::Tensor k = heads_of(qkv, heads_, kv_heads_);
    const at::Tensor v = heads_of(qkv, heads_ + kv_heads_, kv_heads_);
    if (rope_) {
      prepare_rotation(length, h);
      q = rotate(q);
      k = rotate(k);
    }
    const at::Tensor mixed =
        attend(q, k, v, context).transpose(1, 2).reshape({batch, length, heads_ * head_dim_});
    const at::Tensor update = has_bias_ ? at::linear(mixed, w[2], w[3]) : at::linear(mixed, w[1]);
    out["x"] = in.at("x") + dropout(update, *this, /*site=*/0, context);
  }

 private:
  at::Tensor heads_of(const at::Tensor& qkv, int64_t first, int64_t count) const {
    return qkv.narrow(2, first * head_dim_, count * head_dim_)
        .view({qkv.size(0), qkv.size(1), count, head_dim_})
        .transpose(1, 2);
  }

  at::Tensor attend(const at::Tensor& q, at::Tensor k, at::Tensor v, Context& context) const {
    const bool drops = context.training && dropout_rate(*this, "attention_dropout") > 0;
    const bool grouped = kv_heads_ != heads_;
    if (!drops) {
      return at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/true, std::nullopt,
                                              grouped);
    }
    if (grouped) {
      k = k.repeat_interleave(heads_ / kv_heads_, 1);
      v = v.repeat_interleave(heads_ / kv_heads_, 1);
    }
    const int64_t length = q.size(2);
    const at::Tensor future = at::ones({length, length}, q.options().dtype(at::kBool)).triu(1);
    const at::Tensor scores =
        (at::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(head_dim_)))
            .masked_fill(future, -std::numeric_limits<double>::infinity());
    at::Tensor p = at::softmax(scores, -1);
    return at::matmul(dropout(p, *this, /*site=*/1, context, "attention_dropout"), v);
  }

  // cos and sin of position * base^(-2i/head_dim), once for a length, dtype and device.
  void prepare_rotation(int64_t length, const at::Tensor& like) {
    if (cos_.defined() && cos_.size(0) == length && cos_.dtype() == like.dtype() &&
        cos_.device() == like.device())
      return;
    const at::NoGradGuard no_grad;
    const auto options = at::TensorOptions().dtype(at::kDouble);
    const at::Tensor powers = at::arange(0, head_dim_, 2, options) / static_cast<double>(head_dim_);
    const at::Tensor rates = at::pow(spec().option("rope_base"), -powers);
    const at::Tensor angles = at::outer(at::arange(0, length, options), rates);
    const at::Tensor both = at::cat({angles, angles}, 1);
    cos_ = both.cos().to(like.options());
    sin_ = both.sin().to(like.options());
  }

  at::Tensor rotate(const at::Tensor& t) const {
    const int64_t half = head_dim_ / 2;
    const at::Tensor turned = at::cat({-t.narrow(3, half, half), t.narrow(3, 0, half)}, 3);
    return t * cos_ + turned * sin_;
  }

  int64_t heads_, kv_heads_, head_dim_;
  bool rope_, has_bias_;
  at::Tensor cos_, sin_;
};

}  // namespace

std::unique_ptr<Layer> make_attention(const plan::LayerSpec& spec) {
  return std::make_unique<Attention>(spec);
}

}  // namespace ocoee::nn
