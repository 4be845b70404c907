// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/interchange.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::tasks {
namespace {

using models::GptConfig;

std::map<std::string, std::vector<int64_t>> shapes_of(const GptConfig& config, int64_t vocabulary) {
  std::map<std::string, std::vector<int64_t>> out;
  for (const plan::BlockSpec& block : models::build_gpt(config, vocabulary).blocks) {
    for (const plan::LayerSpec& layer : block.layers) {
      for (const plan::ParameterSpec& p : layer.parameters) out[p.name] = p.shape;
    }
  }
  return out;
}

// Collects mappings; shapes follow from ours.
class MapWriter {
 public:
  MapWriter(const GptConfig& config, int64_t vocabulary)
      : config_(config), shapes_(shapes_of(config, vocabulary)) {}

  void add(const std::string& theirs, const std::vector<std::string>& ours,
           bool transposed = false) {
    KeyMapping m{theirs, shapes_.at(ours.at(0)), ours, transposed};
    for (size_t i = 1; i < ours.size(); ++i) m.shape[0] += shapes_.at(ours[i])[0];
    if (transposed) std::swap(m.shape[0], m.shape[1]);
    map.push_back(std::move(m));
  }
  // A bias that their format always has.
  void add_bias(const std::string& theirs, const std::vector<std::string>& ours, int64_t size) {
    if (config_.has_bias()) {
      add(theirs, ours);
    } else {
      map.push_back({theirs, {size}, {}, false});
    }
  }
  std::vector<KeyMapping> map;

 private:
  const GptConfig& config_;
  std::map<std::string, std::vector<int64_t>> shapes_;
};

void add_gpt2(MapWriter& w, const GptConfig& c) {
  w.add("transformer.wte.weight", {"wte.weight"});
  w.add("transformer.wpe.weight", {"wpe.weight"});
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string theirs = fmt::format("transformer.h.{}.", i);
    const std::string ours = fmt::format("blocks.{}.", i), a = ours + "attention.";
    w.add(theirs + "ln_1.weight", {ours + "norm1.weight"});
    w.add_bias(theirs + "ln_1.bias", {ours + "norm1.bias"}, c.width);
    w.add(theirs + "attn.c_attn.weight", {a + "q.weight", a + "k.weight", a + "v.weight"}, true);
    w.add_bias(theirs + "attn.c_attn.bias", {a + "q.bias", a + "k.bias", a + "v.bias"},
               3 * c.width);
    w.add(theirs + "attn.c_proj.weight", {a + "o.weight"}, true);
    w.add_bias(theirs + "attn.c_proj.bias", {a + "o.bias"}, c.width);
    w.add(theirs + "ln_2.weight", {ours + "norm2.weight"});
    w.add_bias(theirs + "ln_2.bias", {ours + "norm2.bias"}, c.width);
    w.add(theirs + "mlp.c_fc.weight", {ours + "mlp.up.weight"}, true);
    w.add_bias(theirs + "mlp.c_fc.bias", {ours + "mlp.up.bias"}, c.inner_width());
    w.add(theirs + "mlp.c_proj.weight", {ours + "mlp.down.weight"}, true);
    w.add_bias(theirs + "mlp.c_proj.bias", {ours + "mlp.down.bias"}, c.width);
  }
  w.add("transformer.ln_f.weight", {"final_norm.weight"});
  w.add_bias("transformer.ln_f.bias", {"final_norm.bias"}, c.width);
}

void add_llama(MapWriter& w, const GptConfig& c) {
  w.add("model.embed_tokens.weight", {"wte.weight"});
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string theirs = fmt::format("model.layers.{}.", i);
    const std::string ours = fmt::format("blocks.{}.", i);
    w.add(theirs + "input_layernorm.weight", {ours + "norm1.weight"});
    w.add(theirs + "post_attention_layernorm.weight", {ours + "norm2.weight"});
    const auto add_linear = [&](const std::string& their_name, const std::string& our_name) {
      w.add(theirs + their_name + ".weight", {ours + our_name + ".weight"});
      if (c.has_bias()) w.add(theirs + their_name + ".bias", {ours + our_name + ".bias"});
    };
    for (const char* name : {"q", "k", "v", "o"})
      add_linear(fmt::format("self_attn.{}_proj", name), fmt::format("attention.{}", name));
    for (const char* name : {"gate", "up", "down"})
      add_linear(fmt::format("mlp.{}_proj", name), fmt::format("mlp.{}", name));
  }
  w.add("model.norm.weight", {"final_norm.weight"});
}

// [rows, columns] -> [columns, rows]
std::vector<float> transpose(const std::vector<float>& from, int64_t rows, int64_t columns) {
  std::vector<float> to(from.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c)
      to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * columns + c)];
  }
  return to;
}

size_t elements_of(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return static_cast<size_t>(n);
}

std::string text_of(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// Their name with the prefix that the model with its head has; "" for what is no weight.
std::string full_name(const std::string& name, bool gpt2, bool tied) {
  const auto ends = [&](const char* end) { return name.ends_with(end); };
  if (gpt2 && (ends(".attn.bias") || ends(".attn.masked_bias"))) return "";
  if (ends("rotary_emb.inv_freq")) return "";
  if (name.starts_with("lm_head.")) return tied ? "" : name;
  const std::string prefix = gpt2 ? "transformer." : "model.";
  return name.starts_with(prefix) ? name : prefix + name;
}

}  // namespace

std::string hugging_face_family(const GptConfig& c) {
  std::vector<std::string> gpt2, llama;
  if (c.uses_rms()) gpt2.push_back("model.norm = \"layer\"");
  if (c.uses_swiglu()) gpt2.push_back("model.activation = \"gelu\"");
  if (c.uses_rope()) gpt2.push_back("model.positions = \"learned\"");
  if (c.key_value_heads() != c.heads) gpt2.push_back("as many key-value heads as heads");
  if (!c.uses_rms()) llama.push_back("model.norm = \"rms\"");
  if (!c.uses_swiglu()) llama.push_back("model.activation = \"swiglu\"");
  if (!c.uses_rope()) llama.push_back("model.positions = \"rope\"");
  if (gpt2.empty()) return "gpt2";
  if (llama.empty()) return "llama";
  fail(ErrorKind::config,
       "this model is neither a GPT-2 nor a Llama, so Hugging Face has no format for it\n    GPT-2 "
       "would need {}\n    Llama would need {}\n    fix: train with model.style alone, or read the "
       "checkpoint's own safetensors",
       join(gpt2, ", "), join(llama, ", "));
}

std::vector<KeyMapping> key_map(const GptConfig& config, int64_t vocabulary) {
  MapWriter writer(config, vocabulary);
  if (hugging_face_family(config) == "gpt2") {
    add_gpt2(writer, config);
  } else {
    add_llama(writer, config);
  }
  if (!config.is_tied()) writer.add("lm_head.weight", {"lm_head.weight"});
  return writer.map;
}

HostTensors to_hugging_face(const std::vector<KeyMapping>& map, const HostTensors& ours) {
  HostTensors out;
  for (const KeyMapping& m : map) {
    HostTensor t;
    t.shape = m.shape;
    for (const std::string& name : m.ours) {
      const HostTensor& part = ours.at(name);
      t.values.insert(t.values.end(), part.values.begin(), part.values.end());
    }
    t.values.resize(elements_of(m.shape), 0.0f);  // only a bias that we do not have grows
    if (m.transposed) t.values = transpose(t.values, m.shape[1], m.shape[0]);
    out[m.theirs] = std::move(t);
  }
  return out;
}

ForeignParts match_hugging_face(const ForeignModel& model, const Shapes& theirs,
                                const std::string& folder) {
  const bool gpt2 = hugging_face_family(model.config) == "gpt2";
  std::map<std::string, std::string> full;  // their complete names -> as they are
  for (const auto& [name, shape] : theirs) {
    const std::string complete = full_name(name, gpt2, model.config.is_tied());
    if (!complete.empty()) full[complete] = name;
  }
  std::vector<std::string> names;
  for (const auto& [name, there] : full) names.push_back(name);

  const auto shapes = shapes_of(model.config, model.vocabulary);
  ForeignParts out;
  std::set<std::string> used;
  for (const KeyMapping& m : key_map(model.config, model.vocabulary)) {
    const auto found = full.find(m.theirs);
    const bool may_lack =
        m.theirs.ends_with(".bias") &&
        ((m.theirs.find(".self_attn.") != std::string::npos && !model.attention_bias) ||
         (m.theirs.find(".mlp.") != std::string::npos && !model.mlp_bias));
    if (found == full.end() && !may_lack) {
      const std::string near = nearest(m.theirs, names);
      fail(ErrorKind::data, "{}: no tensor {}{}", folder, m.theirs,
           near.empty() ? "" : fmt::format("; the nearest name there is {}", near));
    }
    const bool there = found != full.end();
    used.insert(m.theirs);
    if (there && theirs.at(found->second) != m.shape)
      fail(ErrorKind::data, "{}: {} is {}, but config.json makes it {}", folder, m.theirs,
           text_of(theirs.at(found->second)), text_of(m.shape));
    int64_t row = 0;
    for (const std::string& name : m.ours) {
      const auto& shape = shapes.at(name);
      out[name] = {there ? found->second : "", shape, m.shape, row, m.transposed};
      row += shape[0];
    }
  }
  for (const std::string& name : names) {
    if (!used.contains(name))
      fail(
          ErrorKind::data,
          "{}: a tensor {} that this kind of model does not have; what config.json says is not all "
          "that this model does",
          folder, name);
  }
  return out;
}

HostTensors from_hugging_face(const ForeignModel& model, const HostTensors& theirs,
                              const std::string& folder) {
  Shapes shapes;
  for (const auto& [name, tensor] : theirs) shapes[name] = tensor.shape;
  HostTensors out;
  for (const auto& [name, part] : match_hugging_face(model, shapes, folder)) {
    HostTensor& t = out[name];
    t.shape = part.shape;
    t.values.resize(elements_of(t.shape));
    if (part.theirs.empty()) continue;
    const std::vector<float>& from = theirs.at(part.theirs).values;
    const int64_t columns = part.shape.size() == 2 ? part.shape[1] : 1;
    for (size_t i = 0; i < t.values.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      t.values[i] = from[static_cast<size_t>(part.element(at / columns, at % columns))];
    }
  }
  return out;
}

}  // namespace ocoee::tasks
