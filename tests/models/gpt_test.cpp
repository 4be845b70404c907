// SPDX-License-Identifier: Apache-2.0
#include "models/gpt.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/error.h"
#include "models/mlp.h"
#include "models/shapes.h"

namespace ocoee::models {
namespace {

int64_t parameters_of(const std::string& name) {
  const NamedShape& shape = named_shape(name);
  return build_gpt(shape.config, shape.vocabulary).parameters();
}

TEST(Gpt, ParameterCountsOfPublishedModels) {
  EXPECT_EQ(parameters_of("gpt2-124m"), 124439808);
  EXPECT_EQ(parameters_of("gpt2-1558m"), 1557611200);
  EXPECT_EQ(parameters_of("llama3-8b"), 8030261248);
  EXPECT_EQ(parameters_of("llama3-70b"), 70553706496);
  EXPECT_EQ(parameters_of("llama3-405b"), 405853388800);
}

TEST(Gpt, ClosedFormOfGpt2Shapes) {
  for (const int64_t layers : {1, 3, 8}) {
    for (const int64_t width : {32, 96}) {
      GptConfig c;
      c.layers = layers;
      c.width = width;
      c.heads = 4;
      c.context = 48;
      const int64_t vocabulary = 101;
      const int64_t expected =
          layers * (12 * width * width + 13 * width) + (vocabulary + c.context) * width + 2 * width;
      EXPECT_EQ(build_gpt(c, vocabulary).parameters(), expected);
    }
  }
}

TEST(Gpt, FlopsFollowTheStatedConvention) {
  const NamedShape& shape = named_shape("175b");
  const plan::ModelSpec model = build_gpt(shape.config, shape.vocabulary);
  const double h = 12288, s = 2048, layers = 96, v = 50688;
  // Reference formula 72 B s L h^2 (1 + s/6h + V/12Lh), per token
  const double expected = 72 * layers * h * h * (1 + s / (6 * h) + v / (12 * layers * h));
  EXPECT_NEAR(model.training_flops_per_token() / expected, 1, 1e-12);
}

// The outputs of norms and of the activation are made again.
TEST(Gpt, SelectiveRecomputeSparesAThirdOfWhatABlockKeeps) {
  for (const char* name : {"gpt2-124m", "gpt2-1558m", "175b"}) {
    const NamedShape& shape = named_shape(name);
    plan::ModelSpec block = build_gpt(shape.config, shape.vocabulary);
    block.blocks = {block.blocks.at(1)};
    const double kept = block.saved_bytes_per_token(2), less = block.saved_bytes_per_token(2, true);
    EXPECT_GT(less, 0);
    EXPECT_GE(1 - less / kept, 1.0 / 3) << name;
    EXPECT_LE(1 - less / kept, 6.0 / 16) << name;
  }
}

TEST(Gpt, ParameterOrderNamesAndSplits) {
  GptConfig c;
  c.layers = 2;
  c.width = 32;
  c.heads = 4;
  const plan::ModelSpec model = build_gpt(c, 64);
  ASSERT_EQ(model.blocks.size(), 4u);
  const plan::LayerSpec& attention = model.blocks[1].layers[1];
  std::vector<std::string> names;
  for (const auto& p : attention.parameters) names.push_back(p.name);
  const std::string a = "blocks.0.attention.";
  EXPECT_EQ(names,
            (std::vector<std::string>{a + "q.weight", a + "k.weight", a + "v.weight", a + "q.bias",
                                      a + "k.bias", a + "v.bias", a + "o.weight", a + "o.bias"}));
  EXPECT_EQ(attention.parameters[0].tensor_dim, 0);
  EXPECT_EQ(attention.parameters[6].tensor_dim, 1);
  EXPECT_EQ(attention.parameters[7].tensor_dim, -1);
  EXPECT_NEAR(attention.parameters[6].scale, 0.02 / std::sqrt(4.0), 1e-15);
  EXPECT_EQ(model.blocks.back().layers[1].parameters[0].tied_to, "wte.weight");
  std::set<std::string> all;
  for (const auto* p : model.all_parameters()) EXPECT_TRUE(all.insert(p->name).second) << p->name;
}

TEST(Gpt, LlamaHasGroupedHeadsAndNoBias) {
  const NamedShape& shape = named_shape("llama3-8b");
  const plan::ModelSpec model = build_gpt(shape.config, shape.vocabulary);
  const plan::LayerSpec& attention = model.blocks[1].layers[1];
  ASSERT_EQ(attention.parameters.size(), 4u);
  EXPECT_EQ(attention.parameters[1].shape, (std::vector<int64_t>{1024, 4096}));
  EXPECT_TRUE(model.blocks.back().layers[1].parameters[0].tied_to.empty());
  EXPECT_EQ(model.blocks[0].layers[0].parameters.size(), 1u);  // no learned positions
}

TEST(Gpt, ChecksNameTheKeyAndTheFix) {
  GptConfig c;
  c.width = 100;
  c.heads = 3;
  c.kv_heads = 7;
  config::Problems problems;
  c.check(problems);
  ASSERT_EQ(problems.all().size(), 2u);
  EXPECT_EQ(problems.all()[0].key, "model.heads");
  EXPECT_EQ(problems.all()[1].key, "model.kv_heads");
}

TEST(Shapes, UnknownNameSaysTheNearest) {
  try {
    named_shape("llama3-7b");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_NE(std::string(error.what()).find("llama3-"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("did you mean"), std::string::npos);
  }
}

TEST(Mlp, LayersChainAndNamesCarryThePrefix) {
  MlpConfig c;
  c.inputs = 3;
  c.width = 16;
  c.hidden_layers = 2;
  c.outputs = 5;
  const plan::ModelSpec model = build_mlp(c, "critic.");
  ASSERT_EQ(model.blocks.size(), 3u);
  EXPECT_EQ(model.parameters(), (3 * 16 + 16) + (16 * 16 + 16) + (16 * 5 + 5));
  EXPECT_EQ(model.blocks.back().layers[0].choice("activation"), "none");
  EXPECT_EQ(model.blocks[0].layers[0].parameters[0].name, "critic.linear0.weight");
}

}  // namespace
}  // namespace ocoee::models
