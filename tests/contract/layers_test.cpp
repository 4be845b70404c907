// SPDX-License-Identifier: Apache-2.0
// The contract of every registered kind of layer, as the models use it: each layer of a model is
// taken out with the input that reaches it, and held against finite differences in float64.
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>

#include "models/gpt.h"
#include "models/mlp.h"
#include "nn/registry.h"
#include "parallel/engine.h"

namespace ocoee {
namespace {

constexpr int64_t kSamples = 2, kContext = 6, kVocabulary = 11;

// Together they hold every kind of layer, in each of its forms.
std::vector<plan::ModelSpec> models_of_all_layers() {
  std::vector<plan::ModelSpec> all;
  for (const std::string style : {"gpt2", "llama"}) {
    for (const double dropout : {0.0, 0.2}) {
      models::GptConfig config;
      config.style = style;
      config.layers = 1;
      config.width = 16;
      config.heads = 4;
      config.kv_heads = style == "llama" ? 2 : 0;
      config.context = kContext;
      config.dropout = config.attention_dropout = dropout;
      config.init_std = 0.3;
      config.tied = "no";  // so that each layer owns its weights here
      all.push_back(models::build_gpt(config, kVocabulary));
    }
  }
  for (const std::string activation : {"relu", "leaky_relu", "tanh"})
    all.push_back(models::build_mlp({5, 12, 2, 3, activation}, ""));
  return all;
}

nn::Bundle batch_for(const plan::ModelSpec& model, at::ScalarType type) {
  at::manual_seed(11);
  nn::Bundle batch;
  if (model.blocks[0].layers[0].kind == "embedding") {
    batch["tokens"] = at::randint(0, kVocabulary, {kSamples, kContext}, at::kLong);
    batch["targets"] = at::randint(0, kVocabulary, {kSamples, kContext}, at::kLong);
  } else {
    batch["x"] = at::randn({kSamples, model.blocks[0].layers[0].parameters[0].shape[1]}, type);
  }
  return batch;
}

nn::Bundle copy_of(const nn::Bundle& bundle) {
  nn::Bundle out;
  for (const auto& [name, tensor] : bundle.items()) out[name] = tensor.detach().clone();
  return out;
}

// A layer with weights of its own and the input that reaches it within its model.
struct Subject {
  std::unique_ptr<nn::Layer> layer;
  nn::Weights weights;
  nn::Context context;
  nn::Bundle batch, in;
  nn::Bundle directions;  // the scalar under test is the sum of outputs times these

  double scalar() {
    nn::Bundle out;
    nn::Saved saved;
    layer->forward(copy_of(in), out, saved, context);
    double sum = 0;
    for (const auto& [name, direction] : directions.items())
      sum += (out.at(name).detach() * direction).sum().item<double>();
    return sum;
  }
};

void for_each_layer(const plan::ModelSpec& model, const std::function<void(Subject&)>& visit,
                    at::ScalarType type = at::kDouble) {
  const nn::Bundle batch = batch_for(model, type);
  nn::Bundle passing = copy_of(batch);
  for (const auto& block : model.blocks) {
    for (const plan::LayerSpec& spec : block.layers) {
      Subject subject;
      subject.layer = nn::make_layer(spec);
      int64_t elements = 0;
      for (const auto& p : spec.parameters) elements += p.elements();
      at::manual_seed(elements);
      subject.weights.value = at::randn({elements}, type) * 0.4;
      subject.weights.gradient = at::zeros({elements}, type);
      subject.weights.spec = &subject.layer->spec();
      subject.layer->bind(subject.weights);
      subject.batch = copy_of(batch);
      subject.context.batch = &subject.batch;
      subject.context.random_state = at::tensor({int64_t{3}, int64_t{0}});
      subject.in = copy_of(passing);
      nn::Bundle out;
      nn::Saved saved;
      subject.layer->forward(copy_of(subject.in), out, saved, subject.context);
      for (const auto& [name, tensor] : out.items())
        subject.directions[name] = at::randn(tensor.sizes(), tensor.options().requires_grad(false));
      passing = copy_of(out);
      visit(subject);
    }
  }
}

// d scalar along `direction` at `point`, which the layer reads: central differences.
double slope(Subject& subject, at::Tensor point, const at::Tensor& direction) {
  const at::NoGradGuard no_grad;
  const at::Tensor start = point.clone();
  constexpr double kStep = 1e-5;
  point.copy_(start + direction * kStep);
  const double above = subject.scalar();
  point.copy_(start - direction * kStep);
  const double below = subject.scalar();
  point.copy_(start);
  return (above - below) / (2 * kStep);
}

TEST(LayerContract, EveryRegisteredKindIsInAModelHere) {
  std::set<std::string> used;
  for (const auto& model : models_of_all_layers()) {
    for (const auto& block : model.blocks) {
      for (const auto& layer : block.layers) used.insert(layer.kind);
    }
  }
  for (const std::string& kind : nn::layer_kinds())
    EXPECT_TRUE(used.contains(kind)) << "add a model that uses " << kind;
}

TEST(LayerContract, GradientsEqualFiniteDifferences) {
  int64_t checked = 0;
  for (const auto& model : models_of_all_layers()) {
    for_each_layer(model, [&](Subject& subject) {
      nn::Bundle out, grad_in;
      nn::Saved saved;
      nn::WeightWork later;
      subject.layer->forward(copy_of(subject.in), out, saved, subject.context);
      subject.layer->backward(copy_of(subject.directions), grad_in, saved, later, subject.context);
      later.drain();
      const auto check = [&](const at::Tensor& point, const at::Tensor& gradient,
                             const std::string& what) {
        const at::Tensor direction = at::randn(point.sizes(), at::kDouble);
        const double expected = slope(subject, point, direction);
        const double found = (gradient.detach() * direction).sum().item<double>();
        EXPECT_NEAR(found, expected, 2e-6 * std::max(1.0, std::abs(expected)))
            << subject.layer->spec().name << " (" << subject.layer->spec().kind << "): " << what;
        ++checked;
      };
      for (auto& [name, tensor] : subject.in.items()) {
        if (!tensor.is_floating_point()) continue;
        ASSERT_TRUE(grad_in.has(name)) << subject.layer->spec().name << ": no gradient of " << name;
        check(tensor, grad_in.at(name), name);
      }
      const auto& parameters = subject.layer->spec().parameters;
      for (size_t i = 0; i < parameters.size(); ++i)
        check(subject.weights.view(i), subject.weights.gradient_view(i), parameters[i].name);
    });
  }
  EXPECT_GT(checked, 100);
}

TEST(LayerContract, TheSameBitsTwice) {
  for (const auto& model : models_of_all_layers()) {
    for_each_layer(model, [&](Subject& subject) {
      nn::Bundle grad_in[2];
      at::Tensor weights[2];
      for (const int i : {0, 1}) {
        nn::Bundle out;
        nn::Saved saved;
        nn::WeightWork later;
        subject.weights.gradient.zero_();
        subject.layer->forward(copy_of(subject.in), out, saved, subject.context);
        subject.layer->backward(copy_of(subject.directions), grad_in[i], saved, later,
                                subject.context);
        later.drain();
        weights[i] = subject.weights.gradient.clone();
      }
      EXPECT_TRUE(at::equal(weights[0], weights[1])) << subject.layer->spec().name;
      for (const auto& [name, tensor] : grad_in[0].items())
        EXPECT_TRUE(at::equal(tensor, grad_in[1].at(name))) << subject.layer->spec().name;
    });
  }
}

// Zero-bubble pipelines put weight gradients off: until then nothing is added, and then the same.
TEST(LayerContract, WeightWorkCanWaitWhereTheLayerSaysSo) {
  std::set<std::string> split;
  for (const auto& model : models_of_all_layers()) {
    for_each_layer(model, [&](Subject& subject) {
      if (!subject.layer->spec().splits_backward) return;
      split.insert(subject.layer->spec().kind);
      at::Tensor at_once;
      for (const bool waits : {false, true}) {
        nn::Bundle out, grad_in;
        nn::Saved saved;
        nn::WeightWork later(/*put_off=*/waits);
        subject.weights.gradient.zero_();
        subject.layer->forward(copy_of(subject.in), out, saved, subject.context);
        {
          nn::Bundle grad_out = copy_of(subject.directions);
          subject.layer->backward(grad_out, grad_in, saved, later, subject.context);
        }
        saved.clear();
        if (waits) {
          EXPECT_EQ(subject.weights.gradient.abs().sum().item<double>(), 0)
              << subject.layer->spec().name;
          for (auto& [name, tensor] : out.items())
            tensor.zero_();  // others use the memory meanwhile
        }
        later.drain();
        if (!waits) at_once = subject.weights.gradient.clone();
      }
      EXPECT_TRUE(at::equal(subject.weights.gradient, at_once)) << subject.layer->spec().name;
    });
  }
  for (const char* kind : {"embedding", "norm", "attention", "mlp", "head"})
    EXPECT_TRUE(split.contains(kind));
}

// What a layer keeps for its backward is what its spec says, to the byte, and less in selective
// recompute. A tape cannot be looked into.
TEST(LayerContract, SavedBytesEqualTheSpec) {
  int64_t counted = 0;
  for (const auto& model : models_of_all_layers()) {
    const bool is_language = model.blocks[0].layers[0].kind == "embedding";
    const double tokens = static_cast<double>(is_language ? kSamples * kContext : kSamples);
    for_each_layer(
        model,
        [&](Subject& subject) {
          for (const bool selective : {false, true}) {
            nn::Bundle out;
            nn::Saved saved;
            subject.context.selective = selective;
            subject.layer->forward(copy_of(subject.in), out, saved, subject.context);
            if (saved.tape) return;
            std::map<const void*, size_t> storages;
            for (const at::Tensor& tensor : saved.tensors) {
              if (tensor.defined()) storages[tensor.storage().data()] = tensor.storage().nbytes();
            }
            double bytes = 0;
            for (const auto& [memory, size] : storages) bytes += static_cast<double>(size);
            const plan::Cost& cost = subject.layer->spec().cost;
            const double elements = cost.saved_elements - (selective ? cost.cheap_elements : 0);
            EXPECT_EQ(bytes, tokens * (4 * elements + cost.saved_bytes_fixed))
                << model.family << " " << subject.layer->spec().name;
          }
          ++counted;
        },
        at::kFloat);
  }
  EXPECT_GT(counted, 25);
}

// Selective recompute changes no bit, whether the norm before a layer makes its output again at
// once, or in its own backward pass, before weight gradients are made.
TEST(LayerContract, SelectiveRecomputeIsBitEqual) {
  int64_t owed = 0;
  for (const auto& model : models_of_all_layers()) {
    std::unique_ptr<nn::Layer> norm;  // that feeds the layer under test
    nn::Saved of_norm;
    nn::Weights weights;
    nn::Bundle to_norm, norm_gradient;  // of its input, without what it owes
    for_each_layer(model, [&](Subject& subject) {
      nn::Bundle grad_in[3];
      at::Tensor gradients[3];
      for (const int way : {0, 1, 2}) {  // nothing made again, at once, with the backward pass
        nn::Bundle out, again;
        nn::Saved saved;
        nn::WeightWork later;
        subject.weights.gradient.zero_();
        subject.context.selective = way > 0;
        subject.layer->forward(copy_of(subject.in), out, saved, subject.context);
        if (way > 0 && norm) norm->repeat(of_norm, again, subject.context, way == 2);
        subject.context.again = &again;
        subject.layer->backward(copy_of(subject.directions), grad_in[way], saved, later,
                                subject.context);
        subject.context.again = nullptr;
        if (way == 2 && norm) {
          if (again.has("h")) again["h"].fill_(std::nan(""));
          subject.context.owed = &again;
          nn::Bundle grad_x;
          nn::WeightWork of_it;
          nn::Saved kept = of_norm;
          norm->backward(to_norm, grad_x, kept, of_it, subject.context);
          subject.context.owed = nullptr;
          EXPECT_TRUE(at::equal(grad_x.at("x"), norm_gradient.at("x")));
          ++owed;
        }
        later.drain();
        gradients[way] = subject.weights.gradient.clone();
      }
      for (const int way : {1, 2}) {
        EXPECT_TRUE(at::equal(gradients[0], gradients[way])) << subject.layer->spec().name;
        for (const auto& [name, tensor] : grad_in[0].items())
          EXPECT_TRUE(at::equal(tensor, grad_in[way].at(name))) << subject.layer->spec().name;
      }
      norm.reset();
      if (!subject.layer->repeats()) return;
      nn::Bundle out;
      subject.context.selective = false;
      of_norm.clear();
      subject.layer->forward(copy_of(subject.in), out, of_norm, subject.context);
      to_norm = copy_of(subject.directions);
      norm_gradient = grad_in[0];
      weights = subject.weights;
      norm = std::move(subject.layer);
    });
  }
  EXPECT_GT(owed, 10);
}

// ---- FLOPs: what the library is asked to multiply, by the shapes of its operands.

std::atomic<double> counted_flops{0};

double product(const at::Tensor& t) {
  return static_cast<double>(t.numel());
}

std::unique_ptr<at::ObserverContext> count_flops(const at::RecordFunction& call) {
  const std::string name = call.name();
  const auto inputs = call.inputs();
  const auto tensor = [&](size_t i) { return inputs[i].toTensor(); };
  double flops = 0;
  if (name == "aten::mm" || name == "aten::bmm")
    flops = 2 * product(tensor(0)) * static_cast<double>(tensor(1).size(-1));
  else if (name == "aten::addmm" || name == "aten::addmm_")
    flops = 2 * product(tensor(1)) * static_cast<double>(tensor(2).size(-1));
  else if (name == "aten::_scaled_dot_product_flash_attention_for_cpu")
    flops = 4 * product(tensor(0)) * static_cast<double>(tensor(1).size(2));
  else if (name == "aten::_scaled_dot_product_flash_attention_for_cpu_backward")
    flops = 8 * product(tensor(1)) * static_cast<double>(tensor(2).size(2));
  counted_flops = counted_flops + flops;
  return nullptr;
}

TEST(LayerContract, ModelsMultiplyWhatTheirSpecsSay) {
  comm::World world = comm::World::alone();
  comm::Mesh mesh(world, comm::Shape{}, device::Device{});
  for (const auto& model : models_of_all_layers()) {
    const bool is_language = model.blocks[0].layers[0].kind == "embedding";
    bool drops_attention = false;  // the unfused form also multiplies what it masks; the same count
    for (const auto& layer : model.blocks[is_language ? 1 : 0].layers)
      drops_attention |=
          layer.options.contains("attention_dropout") && layer.option("attention_dropout") > 0;
    const double tokens = static_cast<double>(is_language ? kSamples * kContext : kSamples);
    parallel::Engine engine(model, parallel::EngineOptions{}, mesh);
    engine.weights().initialize(1);
    engine.set_random_state(at::tensor({int64_t{0}, int64_t{0}}));
    engine.zero_gradients();
    const nn::Bundle batch = batch_for(model, at::kFloat);
    counted_flops = 0;
    const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(count_flops)
                                                  .needsInputs(true)
                                                  .scopes({at::RecordScope::FUNCTION}));
    auto pass = engine.forward(batch);
    const double forward = counted_flops;
    nn::Bundle seed;
    const std::string output = is_language ? "loss_sum" : "x";
    seed[output] = at::ones_like(pass.output.at(output));
    engine.backward(pass, seed, true);
    engine.finish_gradients();
    const double both = counted_flops;
    at::removeCallback(handle);
    EXPECT_DOUBLE_EQ(forward, tokens * model.forward_flops_per_token())
        << model.family << (drops_attention ? " with attention dropout" : "");
    EXPECT_DOUBLE_EQ(both, tokens * model.training_flops_per_token())
        << model.family << (drops_attention ? " with attention dropout" : "");
  }
}

}  // namespace
}  // namespace ocoee
