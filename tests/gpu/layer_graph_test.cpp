// SPDX-License-Identifier: Apache-2.0
// Every layer of the transformers, forward and backward, captured as a CUDA graph and replayed on
// new numbers, has the bits of the same layer run eagerly.
#include <gtest/gtest.h>

#include "device/device.h"
#include "models/gpt.h"
#include "nn/registry.h"
#include "parallel/precision.h"
#include "parallel/step_graph.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSamples = 3, kContext = 32, kVocabulary = 97;
const device::Device kGpu{device::Kind::cuda, 0};

struct Subject {
  std::unique_ptr<nn::Layer> layer;
  nn::Weights weights;
  nn::Context context;
  nn::Bundle in, first_in, out, directions, grad_in;

  void feed(int64_t number) {  // other numbers in the same places
    for (auto& [name, tensor] : in.items()) {
      const at::Tensor& first = first_in.at(name);
      tensor.copy_(at::isFloatingType(first.scalar_type()) ? first * (1 + 0.1 * number)
                                                           : (first + number) % kVocabulary);
    }
  }
  void step() {
    nn::Saved saved;
    nn::WeightWork later;
    out.clear(), grad_in.clear();
    weights.gradient.zero_();
    layer->forward(in, out, saved, context);
    layer->backward(directions, grad_in, saved, later, context);
    later.drain();
  }
  std::vector<at::Tensor> results() const {
    std::vector<at::Tensor> all{weights.gradient.clone()};
    for (const nn::Bundle* bundle : {&out, &grad_in}) {
      for (const auto& item : bundle->items()) all.push_back(item.second.detach().clone());
    }
    return all;
  }
};

nn::Bundle copy_of(const nn::Bundle& bundle) {
  nn::Bundle copy;
  for (const auto& [name, tensor] : bundle.items()) copy[name] = tensor.detach().clone();
  return copy;
}

void expect_equal_replays(const plan::LayerSpec& spec, const nn::Bundle& batch, nn::Bundle& passing,
                          at::ScalarType type) {
  const auto options = at::TensorOptions().device(torch_device(kGpu));
  int64_t elements = 0;
  for (const auto& parameter : spec.parameters) elements += parameter.elements();
  Subject subject;
  subject.layer = nn::make_layer(spec);
  subject.weights.value = at::randn({elements}, options).mul(0.3).to(type);
  subject.weights.gradient = at::zeros({elements}, options);
  subject.layer->bind(subject.weights);
  subject.context.batch = &batch;
  subject.context.random_state = at::tensor({int64_t{3}, int64_t{0}}).to(options.device());
  subject.first_in = copy_of(passing);
  subject.in = copy_of(passing);
  nn::Saved saved;
  subject.layer->forward(subject.in, subject.out, saved, subject.context);
  for (const auto& [name, tensor] : subject.out.items())
    subject.directions[name] = at::randn_like(tensor.detach());
  passing = copy_of(subject.out);

  std::vector<std::vector<at::Tensor>> eager;
  for (int64_t i = 0; i < 3; ++i) {
    subject.feed(i);
    subject.step();
    eager.push_back(subject.results());
  }
  StepGraph graph(kGpu, 1);  // the first is run as it is, the second captured, both others replayed
  for (size_t i = 0; i < eager.size(); ++i) {
    subject.feed(static_cast<int64_t>(i));
    graph.run([&] { subject.step(); });
    const std::vector<at::Tensor> found = subject.results();
    ASSERT_EQ(found.size(), eager[i].size());
    for (size_t t = 0; t < found.size(); ++t)
      EXPECT_TRUE(at::equal(found[t], eager[i][t]))
          << spec.name << ", run " << i << ", tensor " << t;
  }
  EXPECT_TRUE(graph.captured());
  EXPECT_FALSE(at::equal(eager[0][1], eager[1][1])) << "equal inputs prove nothing";
}

TEST(LayerGraph, AReplayHasTheBitsOfAnEagerRun) {
  if (device::cuda_device_count() == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
  const at::NoGradGuard no_grad;
  const StreamScope stream(kGpu);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  for (const std::string style : {"gpt2", "llama"}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      models::GptConfig config;
      config.style = style;
      config.layers = 1;
      config.width = 64;
      config.heads = 4;
      config.kv_heads = style == "llama" ? 2 : 0;
      config.context = kContext;
      config.dropout = 0.1;
      config.tied = "no";  // each layer owns its weights here
      at::manual_seed(11);
      nn::Bundle batch;
      for (const char* field : {"tokens", "targets"})
        batch[field] =
            at::randint(kVocabulary, {kSamples, kContext}, at::kLong).to(torch_device(kGpu));
      nn::Bundle passing = copy_of(batch);
      for (const plan::BlockSpec& block : models::build_gpt(config, kVocabulary).blocks) {
        for (const plan::LayerSpec& spec : block.layers)
          expect_equal_replays(spec, batch, passing, type);
      }
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
