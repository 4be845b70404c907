// SPDX-License-Identifier: Apache-2.0
// config.json of Hugging Face's GPT-2 and Llama, written and read.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data/tokenizer.h"
#include "tasks/language/interchange.h"

namespace ocoee::tasks {
namespace {

using models::GptConfig;
using nlohmann::json;

// Values of a config.json, by key, with the file and key in every message.
class Reader {
 public:
  Reader(const json& config, const std::string& file) : config_(config), file_(file) {
    if (!config.is_object()) fail(ErrorKind::data, "{}: not a JSON object", file);
  }
  bool has(const char* key) const { return config_.contains(key) && !config_[key].is_null(); }

  template <class T>
  T get(const char* key, const T& otherwise) const {
    return has(key) ? get<T>(key) : otherwise;
  }
  template <class T>
  T get(const char* key) const {
    if (!has(key)) fail(ErrorKind::data, "{}: {} is missing", file_, key);
    try {
      return config_[key].get<T>();
    } catch (const json::exception&) {
      fail(ErrorKind::data, "{}: {} = {} is of the wrong type", file_, key, config_[key].dump());
    }
  }
  int64_t size(const char* key) const {
    const auto value = get<int64_t>(key);
    if (value < 1) fail(ErrorKind::data, "{}: {} = {}; expected 1 or more", file_, key, value);
    return value;
  }
  template <class T>
  void require(const char* key, const T& only, const T& otherwise) const {
    const T value = get<T>(key, otherwise);
    if (value != only)
      fail(ErrorKind::data, "{}: {} = {}, which Ocoee's model does not do; it does {}", file_, key,
           json(value).dump(), json(only).dump());
  }
  const json& all() const { return config_; }
  const std::string& file() const { return file_; }

 private:
  const json& config_;
  const std::string& file_;
};

ForeignModel read_gpt2(const Reader& r) {
  ForeignModel model;
  GptConfig& c = model.config;
  c.style = "gpt2";
  c.layers = r.size("n_layer");
  c.width = r.size("n_embd");
  c.heads = r.size("n_head");
  c.context = r.size(r.has("n_positions") ? "n_positions" : "n_ctx");
  c.feed_forward = r.get<int64_t>("n_inner", 4 * c.width);
  c.epsilon = r.get<double>("layer_norm_epsilon", 1e-5);
  c.dropout = r.get<double>("resid_pdrop", 0.1);
  c.attention_dropout = r.get<double>("attn_pdrop", 0.1);
  c.init_std = r.get<double>("initializer_range", 0.02);
  c.tied = r.get<bool>("tie_word_embeddings", true) ? "yes" : "no";
  model.vocabulary = r.size("vocab_size");
  if (r.get<std::string>("activation_function", "gelu_new") != "gelu_pytorch_tanh")  // the same
    r.require<std::string>("activation_function", "gelu_new", "gelu_new");
  r.require("scale_attn_weights", true, true);
  r.require("scale_attn_by_inverse_layer_idx", false, false);
  r.require("add_cross_attention", false, false);
  return model;
}

double rope_base_of(const Reader& r) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!r.has(key)) continue;
    const json& rope = r.all()[key];
    if (!rope.is_object()) fail(ErrorKind::data, "{}: {} is not an object", r.file(), key);
    const Reader inner(rope, r.file());
    inner.require<std::string>(inner.has("type") ? "type" : "rope_type", "default", "default");
    if (inner.has("partial_rotary_factor")) inner.require("partial_rotary_factor", 1.0, 1.0);
    if (inner.has("rope_theta")) return inner.get<double>("rope_theta");
  }
  return r.get<double>("rope_theta", 10000);
}

ForeignModel read_llama(const Reader& r) {
  ForeignModel model;
  GptConfig& c = model.config;
  c.style = "llama";
  c.layers = r.size("num_hidden_layers");
  c.width = r.size("hidden_size");
  c.heads = r.size("num_attention_heads");
  c.kv_heads = r.get<int64_t>("num_key_value_heads", c.heads);
  c.context = r.size("max_position_embeddings");
  c.feed_forward = r.size("intermediate_size");
  c.epsilon = r.get<double>("rms_norm_eps", 1e-6);
  c.attention_dropout = r.get<double>("attention_dropout", 0);
  c.init_std = r.get<double>("initializer_range", 0.02);
  c.tied = r.get<bool>("tie_word_embeddings", false) ? "yes" : "no";
  c.rope_base = rope_base_of(r);
  model.attention_bias = r.get<bool>("attention_bias", false);
  model.mlp_bias = r.get<bool>("mlp_bias", false);
  c.bias = model.attention_bias || model.mlp_bias ? "yes" : "no";
  model.vocabulary = r.size("vocab_size");
  r.require<std::string>("hidden_act", "silu", "silu");
  r.require<int64_t>("head_dim", c.width / c.heads, c.width / c.heads);
  r.require<double>("partial_rotary_factor", 1.0, 1.0);
  return model;
}

}  // namespace

json hugging_face_config(const GptConfig& c, int64_t vocabulary) {
  json out;
  const bool gpt2 = hugging_face_family(c) == "gpt2";
  out["model_type"] = gpt2 ? "gpt2" : "llama";
  out["architectures"] = json::array({gpt2 ? "GPT2LMHeadModel" : "LlamaForCausalLM"});
  out["torch_dtype"] = "float32";
  out["vocab_size"] = vocabulary;
  out["tie_word_embeddings"] = c.is_tied();
  out["initializer_range"] = c.init_std;
  out["bos_token_id"] = data::kBegin;
  out["eos_token_id"] = data::kSeparator;
  out["pad_token_id"] = data::kPad;
  out["use_cache"] = true;
  if (gpt2) {
    out["n_layer"] = c.layers;
    out["n_embd"] = c.width;
    out["n_head"] = c.heads;
    out["n_positions"] = out["n_ctx"] = c.context;
    out["n_inner"] = c.inner_width();
    out["activation_function"] = "gelu_new";
    out["layer_norm_epsilon"] = c.epsilon;
    out["embd_pdrop"] = out["resid_pdrop"] = c.dropout;
    out["attn_pdrop"] = c.attention_dropout;
    out["scale_attn_weights"] = true;
    return out;
  }
  out["num_hidden_layers"] = c.layers;
  out["hidden_size"] = c.width;
  out["num_attention_heads"] = c.heads;
  out["num_key_value_heads"] = c.key_value_heads();
  out["head_dim"] = c.head_dim();
  out["max_position_embeddings"] = c.context;
  out["intermediate_size"] = c.inner_width();
  out["hidden_act"] = "silu";
  out["rms_norm_eps"] = c.epsilon;
  out["attention_dropout"] = c.attention_dropout;
  out["attention_bias"] = out["mlp_bias"] = c.has_bias();
  // Two spellings: before transformers 5, and since.
  out["rope_theta"] = c.rope_base;
  out["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", c.rope_base}};
  return out;
}

ForeignModel read_hugging_face_config(const json& config, const std::string& file) {
  const Reader reader(config, file);
  const auto type = reader.get<std::string>("model_type");
  ForeignModel model;
  if (type == "gpt2") {
    model = read_gpt2(reader);
  } else if (type == "llama") {
    model = read_llama(reader);
  } else {
    fail(ErrorKind::data, "{}: model_type = \"{}\"; expected \"gpt2\" or \"llama\"", file, type);
  }
  config::Problems problems;
  model.config.check(problems);
  if (!problems.empty()) fail(ErrorKind::data, "{}: {}", file, problems.all().front().message);
  return model;
}

}  // namespace ocoee::tasks
