// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tasks/language/interchange.h"

namespace ocoee::tasks {
namespace {

using models::GptConfig;

GptConfig small(const std::string& style) {
  GptConfig c;
  c.style = style;
  c.layers = 2;
  c.width = 8;
  c.heads = 4;
  c.context = 6;
  c.feed_forward = 12;
  return c;
}

// Every element differs from every other, so that no permutation goes unseen.
HostTensors numbered(const GptConfig& config, int64_t vocabulary) {
  HostTensors out;
  float next = 1;
  const plan::ModelSpec spec = models::build_gpt(config, vocabulary);
  for (const plan::ParameterSpec* p : spec.all_parameters()) {
    HostTensor& t = out[p->name];
    t.shape = p->shape;
    for (int64_t i = 0; i < p->elements(); ++i) t.values.push_back(next++);
  }
  return out;
}

std::string message_of(const std::function<void()>& action, ErrorKind kind) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

void expect_same(const HostTensors& a, const HostTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    EXPECT_EQ(tensor.shape, b.at(name).shape) << name;
    EXPECT_EQ(tensor.values, b.at(name).values) << name;
  }
}

TEST(Mapping, Gpt2StacksAndTransposesAsConv1DWantsIt) {
  const GptConfig c = small("gpt2");
  const HostTensors ours = numbered(c, 9), theirs = to_hugging_face(key_map(c, 9), ours);
  EXPECT_FALSE(theirs.contains("lm_head.weight"));  // tied
  const HostTensor& fused = theirs.at("transformer.h.1.attn.c_attn.weight");
  ASSERT_EQ(fused.shape, (std::vector<int64_t>{8, 24}));
  const char* parts[] = {"q", "k", "v"};
  for (size_t out = 0; out < 24; ++out) {
    const HostTensor& part =
        ours.at(std::string("blocks.1.attention.") + parts[out / 8] + ".weight");
    for (size_t in = 0; in < 8; ++in)
      EXPECT_EQ(fused.values[in * 24 + out], part.values[(out % 8) * 8 + in]);
  }
  EXPECT_EQ(theirs.at("transformer.h.0.mlp.c_fc.weight").shape, (std::vector<int64_t>{8, 12}));
  EXPECT_EQ(theirs.at("transformer.h.0.mlp.c_proj.weight").shape, (std::vector<int64_t>{12, 8}));
  EXPECT_EQ(theirs.at("transformer.wte.weight").values, ours.at("wte.weight").values);
}

TEST(Mapping, ThereAndBackIsTheSame) {
  for (const char* style : {"gpt2", "llama"}) {
    for (const char* tied : {"yes", "no"}) {
      for (const char* bias : {"yes", "no"}) {
        GptConfig c = small(style);
        c.tied = tied;
        if (std::string(style) == "llama") {
          c.bias = bias;
          c.kv_heads = 2;
        }
        ForeignModel model = read_hugging_face_config(hugging_face_config(c, 9), "config.json");
        EXPECT_EQ(model.vocabulary, 9);
        EXPECT_EQ(model.config.has_bias(), c.has_bias());
        EXPECT_EQ(model.config.is_tied(), c.is_tied());
        const HostTensors ours = numbered(c, 9);
        expect_same(from_hugging_face(model, to_hugging_face(key_map(c, 9), ours), "there"), ours);
      }
    }
  }
}

TEST(Mapping, SettingsSurviveTheConfigFile) {
  GptConfig c = small("llama");
  c.rope_base = 5e5;
  c.epsilon = 1e-6;
  c.kv_heads = 2;
  c.attention_dropout = 0.25;
  const GptConfig back = read_hugging_face_config(hugging_face_config(c, 33), "config.json").config;
  EXPECT_EQ(back.rope_base, 5e5);
  EXPECT_EQ(back.epsilon, 1e-6);
  EXPECT_EQ(back.kv_heads, 2);
  EXPECT_EQ(back.attention_dropout, 0.25);
  EXPECT_EQ(back.inner_width(), 12);
  EXPECT_EQ(back.context, 6);
  // transformers before 5 has the base at the top, and no rope_parameters
  nlohmann::json old = hugging_face_config(c, 33);
  old.erase("rope_parameters");
  EXPECT_EQ(read_hugging_face_config(old, "config.json").config.rope_base, 5e5);
}

TEST(Mapping, Gpt2WithoutBiasesIsWrittenWithZeros) {
  GptConfig c = small("gpt2");
  c.bias = "no";
  const HostTensors theirs = to_hugging_face(key_map(c, 9), numbered(c, 9));
  const HostTensor& bias = theirs.at("transformer.h.0.attn.c_attn.bias");
  EXPECT_EQ(bias.values, std::vector<float>(24, 0.0f));
  EXPECT_EQ(theirs.at("transformer.ln_f.bias").values, std::vector<float>(8, 0.0f));
  EXPECT_EQ(theirs.at("transformer.h.0.mlp.c_fc.bias").shape, (std::vector<int64_t>{12}));
}

TEST(Mapping, LlamaWithBiasesInAttentionOnlyGetsZerosInTheRest) {
  GptConfig c = small("llama");
  c.bias = "yes";
  nlohmann::json config = hugging_face_config(c, 9);
  config["mlp_bias"] = false;
  HostTensors theirs = to_hugging_face(key_map(c, 9), numbered(c, 9));
  std::erase_if(theirs, [](const auto& item) {
    return item.first.find(".mlp.") != std::string::npos && item.first.ends_with(".bias");
  });
  const HostTensors ours =
      from_hugging_face(read_hugging_face_config(config, "config.json"), theirs, "there");
  EXPECT_EQ(ours.at("blocks.0.mlp.gate.bias").values, std::vector<float>(12, 0.0f));
  EXPECT_NE(ours.at("blocks.0.attention.q.bias").values, std::vector<float>(8, 0.0f));
}

TEST(Mapping, BareModelsAndBuffersOfOldFilesAreUnderstood) {
  const GptConfig c = small("gpt2");
  const HostTensors ours = numbered(c, 9);
  HostTensors bare;
  for (auto& [name, tensor] : to_hugging_face(key_map(c, 9), ours))
    bare[name.substr(std::string("transformer.").size())] = tensor;
  bare["h.0.attn.bias"] = {{1}, {1}};
  bare["h.0.attn.masked_bias"] = {{1}, {1}};
  bare["lm_head.weight"] = ours.at("wte.weight");  // tied, and written all the same
  expect_same(from_hugging_face(read_hugging_face_config(hugging_face_config(c, 9), "config.json"),
                                bare, "there"),
              ours);
}

TEST(Mapping, WrongTensorsAreNamed) {
  const GptConfig c = small("gpt2");
  const ForeignModel model = read_hugging_face_config(hugging_face_config(c, 9), "config.json");
  const HostTensors whole = to_hugging_face(key_map(c, 9), numbered(c, 9));
  HostTensors some = whole;
  some.erase("transformer.h.1.ln_2.bias");
  EXPECT_NE(message_of([&] { from_hugging_face(model, some, "there"); }, ErrorKind::data)
                .find("no tensor transformer.h.1.ln_2.bias"),
            std::string::npos);
  some = whole;
  some["transformer.h.0.crossattention.q.weight"] = {{1}, {1}};
  EXPECT_NE(message_of([&] { from_hugging_face(model, some, "there"); }, ErrorKind::data)
                .find("crossattention"),
            std::string::npos);
  some = whole;
  some["transformer.wpe.weight"] = {{2, 8}, std::vector<float>(16)};
  EXPECT_NE(
      message_of([&] { from_hugging_face(model, some, "there"); }, ErrorKind::data).find("[2, 8]"),
      std::string::npos);
}

TEST(Mapping, WhatOursDoesNotDoIsRefused) {
  const nlohmann::json gpt2 = hugging_face_config(small("gpt2"), 9),
                       llama = hugging_face_config(small("llama"), 9);
  const auto refused = [](nlohmann::json config, const char* key, const nlohmann::json& value) {
    config[key] = value;
    const std::string message =
        message_of([&] { read_hugging_face_config(config, "config.json"); }, ErrorKind::data);
    EXPECT_NE(message.find("config.json"), std::string::npos) << message;
    return message;
  };
  EXPECT_NE(refused(gpt2, "activation_function", "gelu").find("gelu_new"), std::string::npos);
  refused(gpt2, "scale_attn_by_inverse_layer_idx", true);
  refused(gpt2, "model_type", "bert");
  refused(gpt2, "n_head", 3);
  refused(gpt2, "n_layer", "two");
  refused(gpt2, "n_layer", 0);
  refused(llama, "hidden_act", "gelu");
  refused(llama, "head_dim", 64);
  refused(llama, "rope_parameters", {{"rope_type", "llama3"}, {"rope_theta", 1e4}});
  nlohmann::json missing = gpt2;
  missing.erase("vocab_size");
  EXPECT_NE(message_of([&] { read_hugging_face_config(missing, "config.json"); }, ErrorKind::data)
                .find("vocab_size"),
            std::string::npos);
}

TEST(Mapping, AMixtureHasNoFormatAndTheMessageSaysWhy) {
  GptConfig c = small("gpt2");
  c.positions = "rope";
  const std::string message = message_of([&] { hugging_face_family(c); }, ErrorKind::config);
  EXPECT_NE(message.find("model.positions = \"learned\""), std::string::npos);
  EXPECT_NE(message.find("model.norm = \"rms\""), std::string::npos);
}

}  // namespace
}  // namespace ocoee::tasks
