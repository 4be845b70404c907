// SPDX-License-Identifier: Apache-2.0
#include "models/shapes.h"

#include "core/error.h"
#include "core/text.h"

namespace ocoee::models {
namespace {

NamedShape gpt(const std::string& name, const std::string& note, int64_t layers, int64_t width,
               int64_t heads, int64_t context, int64_t vocabulary, int64_t batch = 512) {
  NamedShape shape;
  shape.name = name;
  shape.note = note;
  shape.config.layers = layers;
  shape.config.width = width;
  shape.config.heads = heads;
  shape.config.context = context;
  shape.vocabulary = vocabulary;
  shape.batch = batch;
  return shape;
}

NamedShape llama(const std::string& name, int64_t layers, int64_t width, int64_t heads,
                 int64_t feed_forward) {
  NamedShape shape =
      gpt(name, "Llama 3 (Dubey et al. 2024)", layers, width, heads, 8192, 128256, 2048);
  shape.config.style = "llama";
  shape.config.kv_heads = 8;
  shape.config.feed_forward = feed_forward;
  shape.config.rope_base = 500000;
  return shape;
}

}  // namespace

const std::vector<NamedShape>& named_shapes() {
  static const std::string gpt2 = "GPT-2 (Radford et al. 2019)";
  static const std::string frontier = "Frontier study (Dash et al. 2024), padded GPT-2 vocabulary";
  static const std::vector<NamedShape> shapes{
      gpt("gpt2-124m", gpt2, 12, 768, 12, 1024, 50257),
      gpt("gpt2-350m", gpt2, 24, 1024, 16, 1024, 50257),
      gpt("gpt2-774m", gpt2, 36, 1280, 20, 1024, 50257),
      gpt("gpt2-1558m", gpt2, 48, 1600, 25, 1024, 50257),
      gpt("1.4b", frontier, 24, 2112, 24, 2048, 50688, 640),
      gpt("22b", frontier, 48, 6144, 48, 2048, 50688, 640),
      gpt("175b", frontier, 96, 12288, 96, 2048, 50688, 10240),
      gpt("1t", frontier, 128, 25600, 128, 2048, 50688, 9600),
      llama("llama3-8b", 32, 4096, 32, 14336),
      llama("llama3-70b", 80, 8192, 64, 28672),
      llama("llama3-405b", 126, 16384, 128, 53248),
  };
  return shapes;
}

const NamedShape& named_shape(const std::string& name) {
  std::vector<std::string> names;
  for (const NamedShape& shape : named_shapes()) {
    if (shape.name == name) return shape;
    names.push_back(shape.name);
  }
  const std::string near = nearest(name, names);
  fail(ErrorKind::config, "no model is named '{}'\n    fix: {}one of {}, or the path of a recipe",
       name, near.empty() ? "" : "did you mean '" + near + "'? Or ", join(names, ", "));
}

}  // namespace ocoee::models
