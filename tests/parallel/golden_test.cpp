// SPDX-License-Identifier: Apache-2.0
// Loss and gradients of small decoders against PyTorch in float64. golden/decoder.py wrote
// golden/decoder.json; weights and tokens are the formulas that stand there.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "models/gpt.h"
#include "parallel/engine.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kVocabulary = 13, kContext = 6, kSamples = 3;

models::GptConfig decoder(const std::string& style) {
  models::GptConfig config;
  config.style = style;
  config.layers = 2;
  config.width = 8;
  config.heads = 4;
  config.context = kContext;
  if (style == "llama") config.kv_heads = 2, config.feed_forward = 12;
  return config;
}

TEST(Golden, LossAndGradientsAreThoseOfPyTorch) {
  const auto golden = nlohmann::json::parse(
      read_file(std::string(OCOEE_SOURCE_DIR) + "/tests/parallel/golden/decoder.json"));
  for (const std::string style : {"gpt2", "llama"}) {
    const plan::ModelSpec model = models::build_gpt(decoder(style), kVocabulary);
    comm::World world = comm::World::alone();
    comm::Mesh mesh(world, comm::Shape{}, device::Device{});
    EngineOptions options;
    options.precision.compute = at::kDouble;
    Engine engine(model, options, mesh);
    const at::NoGradGuard no_grad;
    double number = 0;
    for (const plan::ParameterSpec* p : model.all_parameters()) {
      const bool about_one =
          p->name.find("norm") != std::string::npos && p->name.ends_with("weight");
      const at::Tensor index = at::arange(p->elements(), at::kDouble);
      engine.weights().parameter(p->name).copy_(
          ((0.7 * index + 1.3 * number).sin() * 0.25 + (about_one ? 1 : 0)).view(p->shape));
      ++number;
    }
    const at::Tensor positions = at::arange(kSamples * kContext).view({kSamples, kContext});
    nn::Bundle batch;
    batch["tokens"] = (positions * 7 + 3).remainder(kVocabulary);
    batch["targets"] = (positions * 5 + 1).remainder(kVocabulary);
    batch["weights"] = positions.remainder(3).to(at::kFloat) / 2;
    engine.zero_gradients();
    auto pass = engine.forward(batch);
    nn::Bundle seed;
    seed["loss_sum"] = at::ones({}, at::kDouble);
    engine.backward(pass, seed, true);
    engine.finish_gradients();

    const nlohmann::json& wanted = golden.at(style);
    EXPECT_NEAR(pass.output.at("loss_sum").item<double>(), wanted.at("loss").get<double>(), 1e-9);
    EXPECT_EQ(wanted.at("gradients").size(), model.all_parameters().size());
    for (const plan::ParameterSpec* p : model.all_parameters()) {
      const at::Tensor got = engine.weights().parameter_gradient(p->name),
                       expected =
                           at::tensor(wanted.at("gradients").at(p->name).get<std::vector<double>>(),
                                      at::kDouble)
                               .view(p->shape);
      EXPECT_LT((got - expected).abs().max().item<double>(), 1e-9) << style << " " << p->name;
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
