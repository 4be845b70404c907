// SPDX-License-Identifier: Apache-2.0
// Order of layers, bundle in -> out:
//   embedding   tokens -> x
//   per block   norm x -> x, h;  attention x, h -> x;  norm x -> x, h;  mlp x, h -> x
//   head        norm x -> h;  head h -> loss
#include "models/gpt.h"

#include <fmt/format.h>

#include <cmath>

namespace ocoee::models {
namespace {

using plan::Init;
using plan::LayerSpec;
using plan::ParameterSpec;

ParameterSpec matrix(const std::string& name, int64_t rows, int64_t columns, double scale,
                     int tensor_dim) {
  ParameterSpec p;
  p.name = name;
  p.shape = {rows, columns};
  p.scale = scale;
  p.tensor_dim = tensor_dim;
  return p;
}

ParameterSpec vector(const std::string& name, int64_t size, Init init, int tensor_dim = -1) {
  ParameterSpec p;
  p.name = name;
  p.shape = {size};
  p.init = init;
  p.decay = false;
  p.tensor_dim = tensor_dim;
  return p;
}

// Forward FLOPs per token of the products with these weights: 2 per weight.
double product_flops(const LayerSpec& layer) {
  double sum = 0;
  for (const ParameterSpec& p : layer.parameters) {
    if (p.shape.size() == 2) sum += 2.0 * static_cast<double>(p.elements());
  }
  return sum;
}

plan::SavedArray saved(const std::string& name, int64_t elements) {
  plan::SavedArray array;
  array.name = name;
  array.elements = static_cast<double>(elements);
  return array;
}

// The output of the norm before a layer, which its weight gradients need.
plan::SavedArray normed_input(const GptConfig& c) {
  plan::SavedArray h = saved("h", c.width);
  h.comes_in = h.for_weights = h.cheap = true;
  return h;
}

LayerSpec embedding(const GptConfig& c, int64_t vocabulary) {
  LayerSpec layer;
  layer.kind = "embedding";
  layer.splits_backward = true;
  layer.name = "embedding";
  layer.parameters.push_back(matrix("wte.weight", vocabulary, c.width, c.init_std, 0));
  if (!c.uses_rope())
    layer.parameters.push_back(matrix("wpe.weight", c.context, c.width, c.init_std, -1));
  layer.options = {{"width", c.width},
                   {"vocabulary", vocabulary},
                   {"context", c.context},
                   {"dropout", c.dropout}};
  layer.cost.bytes_moved = 2.0 * static_cast<double>(c.width);
  layer.cost.saved_bytes_fixed = 8;  // the token itself
  return layer;
}

LayerSpec norm(const GptConfig& c, const std::string& name, bool passes_x) {
  LayerSpec layer;
  layer.kind = "norm";
  layer.splits_backward = true;
  layer.name = name;
  layer.parameters.push_back(vector(name + ".weight", c.width, Init::ones));
  if (!c.uses_rms() && c.has_bias())
    layer.parameters.push_back(vector(name + ".bias", c.width, Init::zeros));
  layer.options = {{"width", c.width}, {"epsilon", c.epsilon}, {"passes_x", passes_x ? 1.0 : 0.0}};
  layer.choices = {{"norm", c.uses_rms() ? "rms" : "layer"}};
  layer.cost.bytes_moved = 2.0 * static_cast<double>(c.width);
  layer.saved = {saved("x", c.width), saved("rstd", 1)};
  layer.saved[0].comes_in = layer.saved[1].wide = true;
  if (!c.uses_rms()) {
    layer.saved.push_back(saved("mean", 1));
    layer.saved.back().wide = true;
  }
  plan::count_saved(layer, static_cast<double>(c.context));
  return layer;
}

LayerSpec attention(const GptConfig& c, const std::string& name) {
  const int64_t q = c.heads * c.head_dim(), kv = c.key_value_heads() * c.head_dim();
  const double residual_std = c.init_std / std::sqrt(2.0 * static_cast<double>(c.layers));
  LayerSpec layer;
  layer.kind = "attention";
  layer.splits_backward = true;
  layer.name = name;
  layer.parameters = {matrix(name + ".q.weight", q, c.width, c.init_std, 0),
                      matrix(name + ".k.weight", kv, c.width, c.init_std, 0),
                      matrix(name + ".v.weight", kv, c.width, c.init_std, 0)};
  if (c.has_bias()) {
    layer.parameters.push_back(vector(name + ".q.bias", q, Init::zeros, 0));
    layer.parameters.push_back(vector(name + ".k.bias", kv, Init::zeros, 0));
    layer.parameters.push_back(vector(name + ".v.bias", kv, Init::zeros, 0));
  }
  layer.parameters.push_back(matrix(name + ".o.weight", c.width, q, residual_std, 1));
  if (c.has_bias()) layer.parameters.push_back(vector(name + ".o.bias", c.width, Init::zeros));
  layer.options = {{"width", c.width},
                   {"heads", c.heads},
                   {"kv_heads", c.key_value_heads()},
                   {"head_dim", c.head_dim()},
                   {"rope_base", c.rope_base},
                   {"context", c.context},
                   {"dropout", c.dropout},
                   {"attention_dropout", c.attention_dropout}};
  layer.choices = {{"positions", c.uses_rope() ? "rope" : "learned"}};
  layer.cost.matmul_flops = product_flops(layer);
  layer.cost.attention_flops =
      4.0 * static_cast<double>(c.context * q);  // QK' and PV, full convention
  const bool drops = c.attention_dropout > 0;
  layer.saved = {normed_input(c), saved("qkv", q + 2 * kv), saved("mixed", q),
                 saved(drops ? "probabilities" : "log_sum_exp", c.heads)};
  layer.saved[2].for_weights = true;
  plan::SavedArray& last = layer.saved.back();
  (drops ? last.cheap : last.wide) = true;
  last.by_key = drops;
  plan::count_saved(layer, static_cast<double>(c.context));
  layer.cost.bytes_moved = static_cast<double>(3 * c.width + 4 * q + 2 * kv);
  return layer;
}

LayerSpec mlp(const GptConfig& c, const std::string& name) {
  const int64_t inner = c.inner_width();
  const double residual_std = c.init_std / std::sqrt(2.0 * static_cast<double>(c.layers));
  LayerSpec layer;
  layer.kind = "mlp";
  layer.splits_backward = true;
  layer.name = name;
  if (c.uses_swiglu())
    layer.parameters.push_back(matrix(name + ".gate.weight", inner, c.width, c.init_std, 0));
  layer.parameters.push_back(matrix(name + ".up.weight", inner, c.width, c.init_std, 0));
  if (c.has_bias() && c.uses_swiglu())
    layer.parameters.push_back(vector(name + ".gate.bias", inner, Init::zeros, 0));
  if (c.has_bias()) layer.parameters.push_back(vector(name + ".up.bias", inner, Init::zeros, 0));
  layer.parameters.push_back(matrix(name + ".down.weight", c.width, inner, residual_std, 1));
  if (c.has_bias()) layer.parameters.push_back(vector(name + ".down.bias", c.width, Init::zeros));
  layer.options = {{"width", c.width}, {"feed_forward", inner}, {"dropout", c.dropout}};
  layer.choices = {{"activation", c.uses_swiglu() ? "swiglu" : "gelu"}};
  layer.cost.matmul_flops = product_flops(layer);
  layer.cost.output_flops = 2.0 * static_cast<double>(inner * c.width);  // down
  // h, up (and gate), and what the activation made of them
  layer.saved = {normed_input(c), saved("before", c.uses_swiglu() ? 2 * inner : inner),
                 saved("inner", inner)};
  layer.saved[2].for_weights = layer.saved[2].cheap = true;
  plan::count_saved(layer, static_cast<double>(c.context));
  layer.cost.bytes_moved = static_cast<double>(3 * c.width + 3 * inner);
  return layer;
}

LayerSpec head(const GptConfig& c, int64_t vocabulary, int64_t loss_chunks) {
  LayerSpec layer;
  layer.kind = "head";
  layer.splits_backward = true;
  layer.name = "head";
  layer.parameters.push_back(matrix("lm_head.weight", vocabulary, c.width, c.init_std, 0));
  if (c.is_tied()) layer.parameters[0].tied_to = "wte.weight";
  layer.options = {{"width", c.width}, {"vocabulary", vocabulary}, {"loss_chunks", loss_chunks}};
  layer.cost.matmul_flops = product_flops(layer);
  layer.saved = {normed_input(c)};
  if (loss_chunks == 1) {
    layer.saved.push_back(saved("logits", vocabulary));
    layer.saved[1].for_weights = true;
  } else {  // the backward pass begins with what the norm before made
    layer.saved[0].cheap = layer.saved[0].for_weights = false;
  }
  plan::count_saved(layer, static_cast<double>(c.context));
  layer.cost.bytes_moved = static_cast<double>(c.width + 2 * vocabulary);
  return layer;
}

}  // namespace

void GptConfig::describe(config::Description& d) {
  d.field("style", style, "what the keys that say \"style\" stand for").choices({"gpt2", "llama"});
  d.field("layers", layers, "transformer blocks").at_least(1).at_most(10000);
  d.field("width", width, "size of the residual stream").at_least(1).at_most(1e6);
  d.field("heads", heads, "attention heads; must divide width").at_least(1).at_most(1e6);
  d.field("kv_heads", kv_heads, "key-value heads shared by groups of heads; 0 = heads")
      .at_least(0)
      .at_most(1e6);
  d.field("context", context, "longest sequence").at_least(1).at_most(1e9).unit("tokens");
  d.field("feed_forward", feed_forward,
          "inner size of the feed-forward layer; 0 = 4 width, or 8/3 width rounded up to 64 for "
          "swiglu")
      .at_least(0)
      .at_most(1e7);
  d.field("norm", norm, "normalisation").choices({"style", "layer", "rms"});
  d.field("activation", activation, "of the feed-forward layer")
      .choices({"style", "gelu", "swiglu"});
  d.field("positions", positions, "how positions enter").choices({"style", "learned", "rope"});
  d.field("bias", bias, "biases in linear layers and LayerNorm").choices({"style", "yes", "no"});
  d.field("tied", tied, "input embedding and output head share their weight")
      .choices({"style", "yes", "no"});
  d.field("rope_base", rope_base, "base of the rotary angles")
      .above(1)
      .acts_where("positions are rope, by style or by name", [this] { return uses_rope(); });
  d.field("epsilon", epsilon, "added to the variance in norms").above(0);
  d.field("dropout", dropout, "rate on the embedding and on each residual update")
      .at_least(0)
      .at_most(0.9);
  d.field("attention_dropout", attention_dropout, "rate on attention probabilities")
      .at_least(0)
      .at_most(0.9);
  d.field("init_std", init_std, "standard deviation of initial weights").above(0);
}

void GptConfig::check(config::Problems& problems) const {
  if (width % heads != 0) {
    int64_t below = heads;
    while (width % below != 0) --below;
    problems.add("model.heads", fmt::format("{} heads do not divide width {}", heads, width),
                 fmt::format("use {} heads, or width {}", below, (width / heads + 1) * heads));
  } else if (uses_rope() && head_dim() % 2 != 0) {
    problems.add(
        "model.heads",
        fmt::format("rotary positions need an even head size, width / heads is {}", head_dim()),
        "change width or heads");
  }
  if (kv_heads > heads || (kv_heads > 0 && heads % kv_heads != 0)) {
    problems.add("model.kv_heads",
                 fmt::format("{} key-value heads do not divide {} heads", kv_heads, heads),
                 "use a divisor of model.heads, or 0");
  }
}

int64_t GptConfig::inner_width() const {
  if (feed_forward > 0) return feed_forward;
  return uses_swiglu() ? (8 * width / 3 + 63) / 64 * 64 : 4 * width;
}

plan::ModelSpec build_gpt(const GptConfig& c, int64_t vocabulary, int64_t loss_chunks) {
  plan::ModelSpec model;
  model.family = c.is_llama() ? "llama" : "gpt2";
  model.blocks.push_back({"embedding", {embedding(c, vocabulary)}});
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string name = fmt::format("blocks.{}", i);
    model.blocks.push_back({name,
                            {norm(c, name + ".norm1", true), attention(c, name + ".attention"),
                             norm(c, name + ".norm2", true), mlp(c, name + ".mlp")}});
  }
  model.blocks.push_back(
      {"head", {norm(c, "final_norm", false), head(c, vocabulary, loss_chunks)}});
  return model;
}

}  // namespace ocoee::models
