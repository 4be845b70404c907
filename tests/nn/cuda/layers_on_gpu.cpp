// SPDX-License-Identifier: Apache-2.0
// Every layer of two styles of transformer on a GPU, in each precision, against itself in float64
// on the CPU (which layers_test.cpp holds to autograd). Ends with 77 (skipped) without a GPU.
#include <gtest/gtest.h>

#include <cstdio>

#include "device/device.h"
#include "models/gpt.h"
#include "nn/gpu_calls.h"
#include "nn/products.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

constexpr int64_t kBatch = 2, kLength = 64, kVocabulary = 104;

models::GptConfig config_of(const std::string& style) {
  models::GptConfig c;
  c.style = style;
  c.layers = 1;
  c.width = 128;
  c.heads = 2;
  c.kv_heads = style == "llama" ? 1 : 2;
  c.context = kLength;
  return c;
}

struct Outcome {
  Bundle out, grad_in;
  at::Tensor gradient;
};

// Runs a layer forward and backward; inputs and weights are given in float64 on the CPU.
Outcome run(const plan::LayerSpec& spec, const Bundle& inputs, const Bundle& batch,
            const at::Tensor& weight, const at::Tensor& seed, const at::TensorOptions& options,
            bool bfloat16_gradients = false) {
  const at::NoGradGuard no_grad;
  const auto kept = bfloat16_gradients               ? at::kBFloat16
                    : options.dtype() == at::kDouble ? at::kDouble
                                                     : at::kFloat;
  auto layer = make_layer(spec);
  Weights weights;
  weights.value = weight.to(options);
  weights.gradient = at::zeros_like(weights.value, options.dtype(kept));
  layer->bind(weights);
  const auto placed = [&](const Bundle& bundle) {
    Bundle moved;
    for (const auto& [name, tensor] : bundle.items())
      moved[name] = tensor.is_floating_point() ? tensor.to(options) : tensor.to(options.device());
    return moved;
  };
  const Bundle own_batch = placed(batch);
  Context context;
  context.batch = &own_batch;
  Outcome o;
  Saved saved;
  layer->forward(placed(inputs), o.out, saved, context);
  Bundle grad_out;
  for (const auto& [name, tensor] : o.out.items()) {
    if (name == "weight_sum") continue;
    grad_out[name] = name == "loss_sum" ? at::full({}, 0.25, tensor.options())
                                        : seed.to(options).view(tensor.sizes()).clone();
  }
  WeightWork work;
  layer->backward(grad_out, o.grad_in, saved, work, context);
  work.drain();
  o.gradient = weights.gradient;
  return o;
}

// `least`: a norm to measure against where the wanted one is zero by nature (the bias of keys).
double difference(const at::Tensor& got, const at::Tensor& want, double least = 1e-9) {
  const at::Tensor g = got.to(at::kCPU).to(at::kDouble), w = want.to(at::kDouble);
  return (g - w).norm().item<double>() / std::max(w.norm().item<double>(), least);
}

void check(const plan::LayerSpec& spec, at::ScalarType type, double limit,
           bool bfloat16_gradients = false) {
  at::manual_seed(11);
  const auto plain = at::TensorOptions().dtype(at::kDouble);
  int64_t elements = 0;
  for (const auto& p : spec.parameters) elements += p.elements();
  // What the GPU will hold, exactly.
  const auto as_held = [&](const at::Tensor& t) { return t.to(type).to(at::kDouble); };
  const at::Tensor weight = as_held(at::randn({elements}, plain) * 0.1);
  const int64_t width = config_of("gpt2").width;
  const at::Tensor seed = as_held(at::randn({kBatch, kLength, width}, plain));
  Bundle inputs, batch;
  if (spec.kind == "embedding") {
    inputs["tokens"] = at::randint(0, kVocabulary, {kBatch, kLength}, at::kLong);
  } else {
    if (spec.kind != "head") inputs["x"] = as_held(at::randn({kBatch, kLength, width}, plain));
    if (spec.kind != "norm") inputs["h"] = as_held(at::randn({kBatch, kLength, width}, plain));
  }
  batch["targets"] = at::randint(0, kVocabulary, {kBatch, kLength}, at::kLong);
  const Outcome want = run(spec, inputs, batch, weight, seed, plain);
  const Outcome got = run(spec, inputs, batch, weight, seed,
                          at::TensorOptions().dtype(type).device(at::kCUDA), bfloat16_gradients);
  const std::string what = spec.name + " in " + c10::toString(type) +
                           (bfloat16_gradients ? " with bfloat16 gradients" : "");
  for (const auto& [name, tensor] : want.out.items())
    EXPECT_LE(difference(got.out.at(name), tensor), limit) << what << ": " << name;
  for (const auto& [name, tensor] : want.grad_in.items())
    EXPECT_LE(difference(got.grad_in.at(name), tensor), limit) << what << ": gradient of " << name;
  Weights all;
  all.spec = &spec;
  for (size_t i = 0; i < spec.parameters.size(); ++i) {
    const int64_t first = all.offset(i), count = spec.parameters[i].elements();
    EXPECT_LE(difference(got.gradient.narrow(0, first, count).flatten(),
                         want.gradient.narrow(0, first, count).flatten(),
                         0.02 * want.gradient.norm().item<double>()),
              limit)
        << what << ": gradient of " << spec.parameters[i].name;
  }
}

class LayersOnGpu : public testing::TestWithParam<bool> {};

TEST_P(LayersOnGpu, AgreeWithFloat64OnTheCpu) {
  // Deterministic: the library's first answers; else the fastest, by measurement.
  at::globalContext().setDeterministicAlgorithms(GetParam(), /*warn_only=*/true);
  for (const std::string style : {"gpt2", "llama"}) {
    const plan::ModelSpec model = models::build_gpt(config_of(style), kVocabulary);
    for (const auto& block : model.blocks) {
      for (const auto& layer : block.layers) {
        check(layer, at::kFloat, 2e-5);
        check(layer, at::kBFloat16, 2e-2);
        check(layer, at::kBFloat16, 2e-2, /*bfloat16_gradients=*/true);
        check(layer, at::kHalf, 3e-3);
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Nn, LayersOnGpu, testing::Bool());

// The library's float8 products against the rounded numbers multiplied as bfloat16 on the CPU.
TEST(ProductsOnGpu, Float8EqualsItsNumbersMultiplied) {
  at::manual_seed(6);
  const at::Tensor x = at::randn({2, 32, 64}).to(at::kBFloat16),
                   weight = at::randn({96, 64}).to(at::kBFloat16),
                   bias = at::randn({96}).to(at::kBFloat16),
                   residual = at::randn({2, 32, 96}).to(at::kBFloat16),
                   g = (at::randn({2, 32, 96}) * 1e-5).to(at::kBFloat16);
  Float8Table here(1, at::kCPU), there(1, at::kCUDA);
  const auto on_gpu = [](const at::Tensor& t) { return t.to(at::kCUDA); };
  for (int step = 0; step < 3; ++step) {
    const Float8 cpu{&here, 0}, gpu{&there, 0};
    const auto expect_near = [&](const at::Tensor& a, const at::Tensor& b, double limit) {
      EXPECT_LE(difference(a.cpu().to(at::kDouble), b.to(at::kDouble), 0), limit) << step;
    };
    expect_near(product(on_gpu(x), on_gpu(weight), on_gpu(bias), on_gpu(residual), gpu),
                product(x, weight, bias, residual, cpu), 1e-2);
    expect_near(product_input_gradient(on_gpu(g), on_gpu(weight), {}, gpu) * 1e5,
                product_input_gradient(g, weight, {}, cpu) * 1e5, 1e-2);
    const at::Tensor dw = at::ones({96, 64}), dw_gpu = on_gpu(dw);
    product_weight_gradient(on_gpu(g), on_gpu(x), dw_gpu, {}, step != 1, {}, gpu);
    product_weight_gradient(g, x, dw, {}, step != 1, {}, cpu);
    expect_near(dw_gpu, dw, 1e-2);
    if (has_float8_products({device::Kind::cuda, 0})) {
      EXPECT_TRUE(gpu.multiplied()) << "the rounded numbers were multiplied in bfloat16 instead";
    }
    here.finish_step({});
    there.finish_step({});
    EXPECT_TRUE(there.largest().cpu().equal(here.largest()));
  }
}

}  // namespace
}  // namespace ocoee::nn

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  if (ocoee::device::cuda_device_count() == 0) {
    std::printf("skipped: %s\n", ocoee::device::cuda_unavailable_reason().c_str());
    return 77;
  }
  return RUN_ALL_TESTS();
}
