// SPDX-License-Identifier: Apache-2.0
// Loss and gradients of decoders against PyTorch in float64: of two small ones each gradient in
// full; of those that mpi/layout_test.cpp lays out each gradient's norm and its products with two
// fixed vectors. golden/decoder.py wrote golden/decoder.json; weights, tokens and vectors are the
// formulas that stand there.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"
#include "models/gpt.h"
#include "parallel/engine.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSamples = 3;

struct Decoder {
  models::GptConfig config;
  int64_t vocabulary;
};

Decoder small(const std::string& style) {
  Decoder out{{}, 13};
  out.config.style = style;
  out.config.layers = 2, out.config.width = 8, out.config.heads = 4, out.config.context = 6;
  if (style == "llama") out.config.kv_heads = 2, out.config.feed_forward = 12;
  return out;
}

Decoder large(const std::string& style) {
  Decoder out{{}, 97};
  out.config.style = style;
  out.config.layers = 8, out.config.width = 64, out.config.heads = 8, out.config.context = 32;
  if (style == "llama") out.config.kv_heads = 4;
  return out;
}

// (square i^2 + linear i + constant) mod modulus, spread over [-0.5, 0.5).
at::Tensor numbers(int64_t count, int64_t square, int64_t linear, int64_t constant,
                   int64_t modulus) {
  const at::Tensor i = at::arange(count, at::kLong);
  return (square * i * i + linear * i + constant).remainder(modulus).to(at::kDouble) /
             static_cast<double>(modulus) -
         0.5;
}

using Weights = std::function<at::Tensor(int64_t count, int64_t number)>;

struct Result {
  double loss = 0;
  std::vector<std::pair<std::string, at::Tensor>> gradients;
};

Result run(const Decoder& decoder, const Weights& weights) {
  const plan::ModelSpec model = models::build_gpt(decoder.config, decoder.vocabulary);
  comm::World world = comm::World::alone();
  comm::Mesh mesh(world, comm::Shape{}, device::Device{});
  EngineOptions options;
  options.precision.compute = at::kDouble;
  Engine engine(model, options, mesh);
  const at::NoGradGuard no_grad;
  int64_t number = 0;
  for (const plan::ParameterSpec* p : model.all_parameters()) {
    const bool about_one = p->name.find("norm") != std::string::npos && p->name.ends_with("weight");
    engine.weights().parameter(p->name).copy_(
        (weights(p->elements(), number++) + (about_one ? 1 : 0)).view(p->shape));
  }
  const int64_t context = decoder.config.context;
  const at::Tensor positions = at::arange(kSamples * context).view({kSamples, context});
  nn::Bundle batch;
  batch["tokens"] = (positions * 7 + 3).remainder(decoder.vocabulary);
  batch["targets"] = (positions * 5 + 1).remainder(decoder.vocabulary);
  batch["weights"] = positions.remainder(3).to(at::kFloat) / 2;
  engine.zero_gradients();
  auto pass = engine.forward(batch);
  nn::Bundle seed;
  seed["loss_sum"] = at::ones({}, at::kDouble);
  engine.backward(pass, seed, true);
  engine.finish_gradients();
  Result out;
  out.loss = pass.output.at("loss_sum").item<double>();
  for (const plan::ParameterSpec* p : model.all_parameters())
    out.gradients.emplace_back(p->name,
                               engine.weights().parameter_gradient(p->name).flatten().clone());
  return out;
}

nlohmann::json golden(const std::string& name) {
  return nlohmann::json::parse(
             read_file(std::string(OCOEE_SOURCE_DIR) + "/tests/parallel/golden/decoder.json"))
      .at(name);
}

TEST(Golden, LossAndGradientsAreThoseOfPyTorch) {
  for (const std::string style : {"gpt2", "llama"}) {
    const nlohmann::json wanted = golden(style);
    const Result got = run(small(style), [](int64_t count, int64_t number) {
      const at::Tensor index = at::arange(count, at::kDouble);
      return (0.7 * index + 1.3 * static_cast<double>(number)).sin() * 0.25;
    });
    EXPECT_NEAR(got.loss, wanted.at("loss").get<double>(), 1e-9);
    EXPECT_EQ(wanted.at("gradients").size(), got.gradients.size());
    for (const auto& [name, gradient] : got.gradients) {
      const at::Tensor expected =
          at::tensor(wanted.at("gradients").at(name).get<std::vector<double>>(), at::kDouble);
      EXPECT_LT((gradient - expected).abs().max().item<double>(), 1e-9) << style << " " << name;
    }
  }
}

TEST(Golden, AndOfTheModelThatIsLaidOut) {
  for (const std::string style : {"gpt2", "llama"}) {
    const nlohmann::json wanted = golden("large " + style);
    const Result got = run(large(style), [](int64_t count, int64_t number) {
      return 0.4 * numbers(count, 31, 17, 1009 * number, 2003);
    });
    const double loss = wanted.at("loss").get<double>();
    EXPECT_NEAR(got.loss, loss, 1e-9 * loss);
    EXPECT_EQ(wanted.at("gradients").size(), got.gradients.size());
    for (const auto& [name, gradient] : got.gradients) {
      SCOPED_TRACE(style + " " + name);
      const auto expected = wanted.at("gradients").at(name).get<std::vector<double>>();
      ASSERT_EQ(expected.size(), 3u);
      const at::Tensor first = numbers(gradient.numel(), 13, 5, 0, 1009),
                       second = numbers(gradient.numel(), 7, 3, 0, 997);
      const double exact = 1e-9 * std::max(1.0, expected[0]);
      EXPECT_NEAR(gradient.norm().item<double>(), expected[0], exact);
      EXPECT_NEAR(gradient.dot(first).item<double>(), expected[1], exact);
      EXPECT_NEAR(gradient.dot(second).item<double>(), expected[2], exact);
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
