// SPDX-License-Identifier: Apache-2.0
// The engine on one rank: accumulation, recompute and tied weights against one pass over
// everything.
#include "parallel/engine.h"

#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>

#include "models/gpt.h"
#include "plan/block_cost.h"

namespace ocoee::parallel {
namespace {

struct Fixture {
  comm::World world = comm::World::alone();
  comm::Mesh mesh{world, comm::Shape{}, device::Device{}};
};

models::GptConfig small(const std::string& style, double dropout = 0) {
  models::GptConfig config;
  config.style = style;
  config.layers = 3;
  config.width = 32;
  config.heads = 4;
  config.context = 16;
  config.dropout = dropout;
  config.attention_dropout = dropout;
  return config;
}

nn::Bundle batch_of(int64_t first, int64_t count) {
  at::manual_seed(5);
  const at::Tensor all = at::randint(0, 13, {8, 17}, at::kLong);
  nn::Bundle batch;
  batch["tokens"] = all.narrow(0, first, count).narrow(1, 0, 16).contiguous();
  batch["targets"] = all.narrow(0, first, count).narrow(1, 1, 16).contiguous();
  return batch;
}

struct Result {
  double loss = 0;
  at::Tensor gradient;
};

Result run(Fixture& f, const models::GptConfig& config, Recompute recompute, int64_t micro,
           at::ScalarType type = at::kDouble) {
  EngineOptions options;
  options.precision.compute = type;
  options.recompute = recompute;
  Engine engine(models::build_gpt(config, 13), options, f.mesh);
  engine.weights().initialize(7);
  engine.set_random_state(at::tensor({int64_t{4}, int64_t{0}}));
  engine.zero_gradients();
  Result result;
  for (int64_t first = 0; first < 8; first += micro) {
    const nn::Bundle batch = batch_of(first, micro);
    auto pass = engine.forward(batch, first);
    result.loss += pass.output.at("loss_sum").item<double>();
    nn::Bundle seed;
    seed["loss_sum"] = at::full({}, 1.0 / 128, pass.output.at("loss_sum").options());
    engine.backward(pass, seed, first + micro == 8);
  }
  engine.finish_gradients();
  result.gradient = engine.weights().gradient().clone();
  return result;
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

// What a pass keeps lies in arenas whose sizes are known from the specs alone.
TEST(Engine, KeepsTheBytesThatArePlanned) {
  Fixture f;
  std::map<std::pair<Recompute, int64_t>, int64_t> most;
  for (const std::string style : {"gpt2", "llama"}) {
    for (const double dropout : {0.0, 0.1}) {
      for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
        for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
          for (const auto& [offload, chunks] :
               {std::pair(false, int64_t{1}), {true, int64_t{1}}, {false, int64_t{3}}}) {
            const auto model = models::build_gpt(small(style, dropout), 97, chunks);
            EngineOptions options;
            options.precision.compute = type;
            options.recompute = recompute;
            options.offload = offload;
            Engine engine(model, options, f.mesh);
            engine.weights().initialize(7);
            engine.set_random_state(at::tensor({int64_t{4}, int64_t{0}}));
            const nn::Bundle batch = batch_of(0, 3);
            engine.forward(batch);
            const KeptBytes kept = engine.kept();
            EXPECT_EQ(kept.taken, kept.planned) << style << dropout << c10::toString(type);
            most[std::pair(recompute, chunks)] = kept.planned;
            if (chunks > 1) {  // no logits
              EXPECT_LT(kept.planned, most[std::pair(recompute, int64_t{1})]);
            }
            if (recompute == Recompute::full) {
              EXPECT_LT(kept.planned, most[std::pair(Recompute::selective, chunks)]);
              continue;
            }
            // Boundaries apart, it is what the specs' costs add up to; tokens belong to the batch.
            const auto width = static_cast<int>(c10::elementSize(type));
            plan::ModelSpec narrow = model;
            if (type == at::kDouble) {  // statistics are as wide
              for (auto& block : narrow.blocks)
                for (auto& layer : block.layers)
                  layer.cost.saved_bytes_fixed *= layer.kind == "embedding" ? 1 : 2;
            }
            const double formula =
                48 * (narrow.saved_bytes_per_token(width, recompute == Recompute::selective) - 8);
            EXPECT_GE(static_cast<double>(kept.planned), formula);
            EXPECT_LT(static_cast<double>(kept.planned), formula + 64 * 12 * 3);
          }
        }
      }
    }
  }
}

TEST(Engine, AccumulationEqualsOnePass) {
  Fixture f;
  for (const std::string style : {"gpt2", "llama"}) {
    const Result whole = run(f, small(style), Recompute::none, 8);
    const Result parts = run(f, small(style), Recompute::none, 2);
    EXPECT_NEAR(whole.loss, parts.loss, 1e-9);
    EXPECT_LT(relative(parts.gradient, whole.gradient), 1e-12);
    EXPECT_GT(whole.gradient.norm().item<double>(), 1e-3);
  }
}

TEST(Engine, DropoutDoesNotDependOnMicroBatches) {
  Fixture f;
  const Result whole = run(f, small("gpt2", 0.2), Recompute::none, 8);
  const Result parts = run(f, small("gpt2", 0.2), Recompute::none, 2);
  const Result without = run(f, small("gpt2"), Recompute::none, 8);
  EXPECT_LT(relative(parts.gradient, whole.gradient), 1e-12);
  EXPECT_GT(relative(without.gradient, whole.gradient), 1e-3);
}

TEST(Engine, RecomputeIsBitEqual) {
  Fixture f;
  for (const std::string style : {"gpt2", "llama"}) {
    for (const double dropout : {0.0, 0.1}) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        const Result kept = run(f, small(style, dropout), Recompute::none, 4, type);
        for (const Recompute recompute : {Recompute::selective, Recompute::full}) {
          const Result again = run(f, small(style, dropout), recompute, 4, type);
          EXPECT_EQ(kept.loss, again.loss);
          EXPECT_TRUE(at::equal(kept.gradient, again.gradient)) << style << dropout;
        }
      }
    }
  }
}

std::atomic<double> multiplied{0};  // FLOPs of products with weights, by the shapes

double rows_times_columns(const at::Tensor& t) {
  return static_cast<double>(t.numel());
}
std::unique_ptr<at::ObserverContext> count_products(const at::RecordFunction& call) {
  const std::string name = call.name();
  const auto inputs = call.inputs();
  const bool adds = name == "aten::addmm" || name == "aten::addmm_";
  if (!adds && name != "aten::mm") return nullptr;
  const at::Tensor &a = inputs[adds ? 1 : 0].toTensor(), &b = inputs[adds ? 2 : 1].toTensor();
  multiplied = multiplied + 2 * rows_times_columns(a) * static_cast<double>(b.size(-1));
  return nullptr;
}

// A block that runs again for its backward pass makes no output, which nothing would read: the
// product at its end is left out.
TEST(Engine, FullRecomputeMultipliesWhatItsSpecSays) {
  Fixture f;
  for (const std::string style : {"gpt2", "llama"}) {
    const plan::ModelSpec model = models::build_gpt(small(style), 13);
    const auto flops = [&](Recompute recompute) {
      multiplied = 0;
      const at::CallbackHandle handle =
          at::addGlobalCallback(at::RecordFunctionCallback(count_products)
                                    .needsInputs(true)
                                    .scopes({at::RecordScope::FUNCTION}));
      run(f, small(style), recompute, 8, at::kFloat);
      at::removeCallback(handle);
      return multiplied.load();
    };
    double again = 0;
    for (const plan::BlockSpec& block : model.blocks) {
      again += plan::flops_made_again(block);
      for (const plan::LayerSpec& layer : block.layers)
        if (plan::is_recomputed(block)) again -= layer.cost.attention_flops;
    }
    EXPECT_GT(again, 0);
    EXPECT_EQ(flops(Recompute::full) - flops(Recompute::none), again * 8 * 16) << style;
    EXPECT_EQ(flops(Recompute::selective), flops(Recompute::none)) << style;
  }
}

// What a checkpoint keeps of float8 is all that the scales need.
TEST(Engine, Float8GoesOnFromWhatItSaved) {
  Fixture f;
  EngineOptions options;
  options.precision.compute = at::kBFloat16;
  const auto loss_after = [&](Engine& engine, bool trains) {
    const nn::Bundle batch = batch_of(0, 8);
    engine.set_random_state(at::tensor({int64_t{4}, int64_t{0}}));
    engine.zero_gradients();
    auto pass = engine.forward(batch);
    const double loss = pass.output.at("loss_sum").item<double>();
    nn::Bundle seed;
    seed["loss_sum"] = at::full({}, 1e-6, pass.output.at("loss_sum").options());
    engine.backward(pass, seed, true);
    if (trains) engine.finish_gradients();
    return loss;
  };
  Engine plain(models::build_gpt(small("llama"), 13), options, f.mesh);
  EXPECT_TRUE(plain.float8_arrays("").empty());
  options.float8 = true;
  Engine first(models::build_gpt(small("llama"), 13), options, f.mesh),
      second(models::build_gpt(small("llama"), 13), options, f.mesh);
  for (Engine* engine : {&plain, &first, &second}) engine->initialize(7);
  const double exact = loss_after(plain, true), rounded = loss_after(first, true);
  EXPECT_NE(exact, rounded);
  EXPECT_NEAR(exact, rounded, 0.01 * exact);
  const auto saved = first.float8_arrays("model."), loaded = second.float8_arrays("model.");
  ASSERT_EQ(saved.size(), 6U);  // attention and feed-forward of three blocks
  EXPECT_EQ(saved[0].name, "model.float8.blocks.0.attention");
  EXPECT_EQ(saved[0].shape, (std::vector<int64_t>{2, 3}));
  for (size_t i = 0; i < saved.size(); ++i) {
    float numbers[6];
    saved[i].pieces.at(0).save(numbers);
    EXPECT_GT(*std::min_element(numbers, numbers + 6), 0);
    loaded[i].pieces.at(0).load(numbers);
  }
  second.float8_loaded();
  EXPECT_EQ(loss_after(first, false), loss_after(second, false));
  EXPECT_TRUE(at::equal(first.weights().gradient(), second.weights().gradient()));
}

// The directional derivative of the loss along the gradient, by finite differences over the
// masters.
TEST(Engine, GradientMatchesFiniteDifferences) {
  Fixture f;
  for (const std::string style : {"gpt2", "llama"}) {
    EngineOptions options;
    options.precision.compute = at::kDouble;
    Engine engine(models::build_gpt(small(style), 13), options, f.mesh);
    engine.weights().initialize(7);
    const Result result = run(f, small(style), Recompute::none, 8);
    const at::Tensor direction = result.gradient / result.gradient.norm();
    const at::Tensor start = engine.weights().master().clone();
    const nn::Bundle batch = batch_of(0, 8);
    const auto loss_at = [&](double step) {
      engine.weights().master().copy_(start + direction * step);
      engine.weights().refresh_values();
      return engine.evaluate(batch).at("loss_sum").item<double>() / 128;
    };
    const double slope = (loss_at(1e-4) - loss_at(-1e-4)) / 2e-4;
    EXPECT_NEAR(slope, result.gradient.norm().item<double>(), 1e-6 * std::abs(slope)) << style;
  }
}

TEST(WeightStore, InitializationIsAFunctionOfNameAndSeed) {
  const auto model = models::build_gpt(small("gpt2"), 13);
  models::GptConfig deeper = small("gpt2");
  deeper.layers = 6;
  deeper.init_std = 0.02;
  const auto other = models::build_gpt(deeper, 13);
  WeightStore a(model, {at::kFloat}, at::kCPU), b(other, {at::kBFloat16}, at::kCPU),
      c(model, {at::kFloat}, at::kCPU);
  a.initialize(1);
  b.initialize(1);
  c.initialize(2);
  EXPECT_TRUE(at::equal(a.parameter("wte.weight"), b.parameter("wte.weight")));
  EXPECT_TRUE(
      at::equal(a.parameter("blocks.2.mlp.up.weight"), b.parameter("blocks.2.mlp.up.weight")));
  EXPECT_FALSE(at::equal(a.parameter("wte.weight"), c.parameter("wte.weight")));
  EXPECT_NEAR(a.parameter("blocks.0.mlp.up.weight").std().item<double>(), 0.02, 0.001);
  EXPECT_TRUE(at::equal(b.value(), b.master().to(at::kBFloat16)));
}

}  // namespace
}  // namespace ocoee::parallel
