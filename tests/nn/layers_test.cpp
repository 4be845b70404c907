// SPDX-License-Identifier: Apache-2.0
// Every registered layer against autograd through plain float64 code written here anew.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "models/gpt.h"
#include "models/mlp.h"
#include "nn/registry.h"

namespace ocoee::nn {
namespace {

// A layer on its own, with random weights and somewhere for its gradients.
struct Bench {
  std::unique_ptr<Layer> layer;
  Weights weights;
  Context context;
  std::vector<at::Tensor> leaves;  // the same weights, for the reference

  explicit Bench(const plan::LayerSpec& spec, at::ScalarType type = at::kDouble)
      : layer(make_layer(spec)) {
    int64_t elements = 0;
    for (const auto& p : spec.parameters) elements += p.elements();
    weights.value = at::randn({elements}, type) * 0.3;
    weights.gradient = at::zeros({elements}, type);
    layer->bind(weights);
    weights.spec = &layer->spec();
    for (size_t i = 0; i < spec.parameters.size(); ++i)
      leaves.push_back(weights.view(i).clone().requires_grad_(true));
  }
};

void expect_close(const at::Tensor& a, const at::Tensor& b, const std::string& what,
                  double tolerance = 1e-11) {
  ASSERT_TRUE(a.defined() && b.defined()) << what;
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  const double scale = std::max(0.1, b.norm().item<double>());  // some gradients are zero by nature
  EXPECT_LE((a - b).norm().item<double>() / scale, tolerance) << what;
}

using Reference = std::function<at::Tensor(const std::vector<at::Tensor>& inputs,
                                           const std::vector<at::Tensor>& w)>;

// Runs the layer and the reference on the same input; compares output, input gradients and weight
// gradients.
void check_layer(const plan::LayerSpec& spec, const std::vector<std::string>& inputs,
                 const at::Tensor& like, const std::string& output, const Reference& reference) {
  at::manual_seed(3);
  Bench bench(spec);
  Bundle in;
  std::vector<at::Tensor> reference_inputs;
  for (const std::string& name : inputs) {
    in[name] = at::randn_like(like);
    reference_inputs.push_back(in[name].clone().requires_grad_(true));
  }
  Bundle out, grad_out, grad_in;
  Saved saved;
  bench.layer->forward(in, out, saved, bench.context);
  const at::Tensor expected = reference(reference_inputs, bench.leaves);
  expect_close(out.at(output), expected, spec.name + " output");

  const at::Tensor seed = at::randn_like(expected);
  grad_out[output] = seed.clone();
  const bool passes_x = output == "h" && out.has("x");
  const at::Tensor passing = passes_x ? at::randn_like(like) : at::Tensor();
  if (passes_x) grad_out["x"] = passing.clone();
  WeightWork work;
  bench.layer->backward(grad_out, grad_in, saved, work, bench.context);
  work.drain();

  at::Tensor total = (expected * seed).sum();
  if (passes_x) total = total + (reference_inputs[0] * passing).sum();
  total.backward();
  for (size_t i = 0; i < inputs.size(); ++i)
    expect_close(grad_in.at(inputs[i]), reference_inputs[i].grad(),
                 spec.name + " gradient of " + inputs[i]);
  for (size_t i = 0; i < bench.leaves.size(); ++i)
    expect_close(bench.weights.gradient_view(i), bench.leaves[i].grad(),
                 spec.parameters[i].name + " gradient");

  // Gradients accumulate: a second identical pass doubles them.
  Bundle out2, grad_in2;
  const at::Tensor once = bench.weights.gradient.clone();
  bench.layer->forward(in, out2, saved, bench.context);
  bench.layer->backward(grad_out, grad_in2, saved, work, bench.context);
  work.drain();
  expect_close(bench.weights.gradient, once * 2, spec.name + " accumulated gradient");

  // What a layer writes first it does not read: NaN lies there, as in memory that nobody cleared.
  bench.weights.gradient.zero_();
  for (const auto& [first, count] : bench.layer->written_groups())
    bench.weights.gradient_view(first, count).fill_(std::nan(""));
  bench.layer->expect_first_gradients();
  for (int pass = 0; pass < 2; ++pass) {
    Bundle out3, grad_in3;
    bench.layer->forward(in, out3, saved, bench.context);
    bench.layer->backward(grad_out, grad_in3, saved, work, bench.context);
    work.drain();
    expect_close(bench.weights.gradient, once * (pass + 1), spec.name + " written gradient");
  }

  // Evaluation keeps nothing and gives the same numbers.
  bench.context.training = bench.context.save = false;
  Bundle evaluated;
  Saved nothing;
  bench.layer->forward(in, evaluated, nothing, bench.context);
  expect_close(evaluated.at(output), out.at(output), spec.name + " evaluation");
  EXPECT_TRUE(nothing.tensors.empty() && !nothing.tape);
}

models::GptConfig small(const std::string& style) {
  models::GptConfig config;
  config.style = style;
  config.layers = 2;
  config.width = 24;
  config.heads = 4;
  config.context = 8;
  return config;
}

const plan::LayerSpec& layer_named(const plan::ModelSpec& model, const std::string& name) {
  for (const auto& block : model.blocks) {
    for (const auto& layer : block.layers) {
      if (layer.name == name) return layer;
    }
  }
  throw std::runtime_error("no layer " + name);
}

at::Tensor activation() {
  return at::zeros({3, 8, 24}, at::kDouble);
}

// Causal attention by the definition, one head at a time.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const int64_t length = q.size(0);
  at::Tensor scores = at::matmul(q, k.t()) / std::sqrt(static_cast<double>(q.size(1)));
  scores = scores.masked_fill(at::ones({length, length}, at::kBool).triu(1),
                              -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, 1), v);
}

at::Tensor plain_rotation(const at::Tensor& t,
                          double base) {  // [T, D], pairs (i, i + D/2) turned by t * base^(-2i/D)
  const int64_t length = t.size(0), half = t.size(1) / 2;
  std::vector<at::Tensor> rows;
  for (int64_t p = 0; p < length; ++p) {
    const at::Tensor angle =
        p * at::pow(base, -2.0 * at::arange(half, at::kDouble) / (2.0 * static_cast<double>(half)));
    const at::Tensor a = t[p].narrow(0, 0, half), b = t[p].narrow(0, half, half);
    rows.push_back(at::cat({a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()}));
  }
  return at::stack(rows);
}

at::Tensor plain_attention_layer(const at::Tensor& x, const at::Tensor& h,
                                 const std::vector<at::Tensor>& w, int64_t heads, int64_t kv_heads,
                                 double rope_base) {
  const bool bias = w.size() == 8;
  const auto project = [&](size_t i) {
    return bias ? at::linear(h, w[i], w[i + 3]) : at::linear(h, w[i]);
  };
  const at::Tensor q = project(0), k = project(1), v = project(2);
  const int64_t d = q.size(2) / heads;
  std::vector<at::Tensor> samples;
  for (int64_t b = 0; b < h.size(0); ++b) {
    std::vector<at::Tensor> mixed;
    for (int64_t a = 0; a < heads; ++a) {
      const int64_t shared = a / (heads / kv_heads);
      at::Tensor qa = q[b].narrow(1, a * d, d), ka = k[b].narrow(1, shared * d, d);
      if (rope_base > 0) qa = plain_rotation(qa, rope_base), ka = plain_rotation(ka, rope_base);
      mixed.push_back(plain_attention(qa, ka, v[b].narrow(1, shared * d, d)));
    }
    samples.push_back(at::cat(mixed, 1));
  }
  const at::Tensor all = at::stack(samples);
  return x + (bias ? at::linear(all, w[6], w[7]) : at::linear(all, w[3]));
}

TEST(Layers, NormMatchesItsDefinition) {
  for (const std::string style : {"gpt2", "llama"}) {
    const auto model = models::build_gpt(small(style), 11);
    for (const std::string name : {"blocks.0.norm1", "final_norm"}) {
      check_layer(
          layer_named(model, name), {"x"}, activation(), "h", [&](const auto& in, const auto& w) {
            if (style == "llama")
              return in[0] * at::rsqrt(in[0].square().mean(-1, true) + 1e-5) * w[0];
            const at::Tensor centred = in[0] - in[0].mean(-1, true);
            return centred * at::rsqrt(centred.square().mean(-1, true) + 1e-5) * w[0] + w[1];
          });
    }
  }
}

TEST(Layers, AttentionMatchesItsDefinition) {
  const auto gpt2 = models::build_gpt(small("gpt2"), 11);
  check_layer(layer_named(gpt2, "blocks.1.attention"), {"x", "h"}, activation(), "x",
              [](const auto& in, const auto& w) {
                return plain_attention_layer(in[0], in[1], w, 4, 4, 0);
              });
  models::GptConfig grouped = small("llama");
  grouped.kv_heads = 2;
  check_layer(layer_named(models::build_gpt(grouped, 11), "blocks.1.attention"), {"x", "h"},
              activation(), "x", [](const auto& in, const auto& w) {
                return plain_attention_layer(in[0], in[1], w, 4, 2, 10000);
              });
}

TEST(Layers, MlpMatchesItsDefinition) {
  check_layer(layer_named(models::build_gpt(small("gpt2"), 11), "blocks.0.mlp"), {"x", "h"},
              activation(), "x", [](const auto& in, const auto& w) {
                const at::Tensor a = at::linear(in[1], w[0], w[1]);
                const at::Tensor gelu =
                    0.5 * a * (1 + at::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a.pow(3))));
                return in[0] + at::linear(gelu, w[2], w[3]);
              });
  check_layer(layer_named(models::build_gpt(small("llama"), 11), "blocks.0.mlp"), {"x", "h"},
              activation(), "x", [](const auto& in, const auto& w) {
                const at::Tensor gate = at::linear(in[1], w[0]);
                return in[0] + at::linear(gate * at::sigmoid(gate) * at::linear(in[1], w[1]), w[2]);
              });
}

TEST(Layers, LinearMatchesItsDefinition) {
  for (const std::string name : {"relu", "leaky_relu", "tanh"}) {
    const auto model = models::build_mlp({24, 16, 1, 5, name}, "");
    check_layer(layer_named(model, "linear0"), {"x"}, activation(), "x",
                [&](const auto& in, const auto& w) {
                  const at::Tensor y = at::matmul(in[0], w[0].t()) + w[1];
                  if (name == "tanh") return at::tanh(y);
                  return at::where(y > 0, y, name == "relu" ? y * 0 : y * 0.2);
                });
  }
}

TEST(Layers, EmbeddingAddsPositions) {
  at::manual_seed(1);
  Bench bench(layer_named(models::build_gpt(small("gpt2"), 11), "embedding"));
  Bundle in, out, grad_out, grad_in;
  in["tokens"] = at::randint(0, 11, {3, 8}, at::kLong);
  Saved saved;
  bench.layer->forward(in, out, saved, bench.context);
  const at::Tensor expected = bench.leaves[0].index({in.at("tokens")}) + bench.leaves[1];
  expect_close(out.at("x"), expected, "embedding");
  grad_out["x"] = at::randn_like(expected);
  WeightWork work;
  bench.layer->backward(grad_out, grad_in, saved, work, bench.context);
  work.drain();
  (expected * grad_out.at("x")).sum().backward();
  expect_close(bench.weights.gradient_view(0), bench.leaves[0].grad(), "wte gradient");
  expect_close(bench.weights.gradient_view(1), bench.leaves[1].grad(), "wpe gradient");
}

TEST(Layers, HeadScoresWeightedCrossEntropy) {
  at::manual_seed(2);
  models::GptConfig config = small("llama");
  Bench bench(layer_named(models::build_gpt(config, 11), "head"));
  Bundle in, out, grad_out, grad_in, batch;
  in["h"] = at::randn({3, 8, 24}, at::kDouble);
  batch["targets"] = at::randint(0, 11, {3, 8}, at::kLong);
  batch["weights"] = at::rand({3, 8}, at::kFloat);  // exact in both
  bench.context.batch = &batch;
  Saved saved;
  bench.layer->forward(in, out, saved, bench.context);
  const at::Tensor h = in.at("h").clone().requires_grad_(true);
  const at::Tensor log_p = at::log_softmax(at::matmul(h, bench.leaves[0].t()), -1);
  const at::Tensor expected = -(log_p.gather(2, batch.at("targets").unsqueeze(2)).squeeze(2) *
                                batch.at("weights").to(at::kDouble))
                                   .sum();
  expect_close(out.at("loss_sum"), expected, "loss");
  expect_close(out.at("weight_sum"), batch.at("weights").sum().to(at::kDouble), "weight", 1e-6);
  grad_out["loss_sum"] = at::full({}, 0.7, at::kDouble);
  WeightWork work;
  bench.layer->backward(grad_out, grad_in, saved, work, bench.context);
  work.drain();
  (expected * 0.7).backward();
  expect_close(grad_in.at("h"), h.grad(), "gradient of h");
  expect_close(bench.weights.gradient_view(0), bench.leaves[0].grad(), "lm_head gradient");
}

// The same numbers from logits of a part of the rows at a time, also where weight gradients are put
// off; 24 rows in parts of 16 and 8, and of 8.
TEST(Layers, HeadInChunksHasTheSameAnswer) {
  at::manual_seed(2);
  Bundle in, batch;
  in["h"] = at::randn({3, 8, 24}, at::kDouble);
  batch["targets"] = at::randint(0, 11, {3, 8}, at::kLong);
  batch["weights"] = at::rand({3, 8}, at::kFloat);
  std::map<std::string, at::Tensor> whole;
  for (const int chunks : {1, 2, 5, 100}) {
    for (const bool put_off : {false, true}) {
      at::manual_seed(3);
      Bench bench(layer_named(models::build_gpt(small("llama"), 11, chunks), "head"));
      bench.context.batch = &batch;
      const std::string what =
          std::to_string(chunks) + (put_off ? " chunks, put off, " : " chunks, ");
      Bundle out, grad_out, grad_in, evaluated, logits;
      Saved saved, none;
      bench.layer->forward(in, out, saved, bench.context);
      EXPECT_EQ(saved.tensors.size(), chunks == 1 ? 2u : 1u);  // no logits
      grad_out["loss_sum"] = at::full({}, 0.7, at::kDouble);
      WeightWork work(put_off);
      bench.layer->backward(grad_out, grad_in, saved, work, bench.context);
      EXPECT_EQ(work.empty(), chunks > 1 && !put_off);
      work.drain();
      bench.context.save = false;
      bench.layer->forward(in, evaluated, none, bench.context);
      bench.context.batch = nullptr;
      bench.layer->forward(in, logits, none, bench.context);
      for (const auto& [name, value] :
           std::map<std::string, at::Tensor>{{"loss", out.at("loss_sum")},
                                             {"weight", out.at("weight_sum")},
                                             {"evaluated loss", evaluated.at("loss_sum")},
                                             {"logits", logits.at("logits")},
                                             {"gradient of h", grad_in.at("h")},
                                             {"lm_head gradient", bench.weights.gradient_view(0)}})
        expect_close(value, whole.try_emplace(name, value.clone()).first->second, what + name);
    }
  }
}

// Chunks are summed in float32 before they meet a gradient in fewer digits, written or added to.
TEST(Layers, HeadInChunksRoundsABfloat16GradientOnce) {
  at::manual_seed(2);
  Bundle in, batch;
  in["h"] = at::randn({3, 8, 24}, at::kFloat);
  batch["targets"] = at::randint(0, 11, {3, 8}, at::kLong);
  std::vector<at::Tensor> gradients;
  for (const int chunks : {1, 3}) {
    at::manual_seed(3);
    Bench bench(layer_named(models::build_gpt(small("llama"), 11, chunks), "head"), at::kFloat);
    if (chunks > 1) {  // what nobody cleared
      bench.weights.gradient = at::full_like(bench.weights.gradient, NAN).to(at::kBFloat16);
      bench.layer->bind(bench.weights);
      bench.layer->expect_first_gradients();
    }
    bench.context.batch = &batch;
    for (int pass = 0; pass < 2; ++pass) {
      Bundle out, grad_out, grad_in;
      Saved saved;
      WeightWork work;
      bench.layer->forward(in, out, saved, bench.context);
      grad_out["loss_sum"] = at::ones({}, at::kFloat);
      bench.layer->backward(grad_out, grad_in, saved, work, bench.context);
      work.drain();
      gradients.push_back(bench.weights.gradient_view(0).clone());
    }
  }
  EXPECT_TRUE(at::equal(gradients[2], gradients[0].to(at::kBFloat16)));
  expect_close(gradients[3].to(at::kFloat), gradients[1], "two passes", 4e-3);
}

// A new kind of layer must come with its own comparison above.
TEST(Layers, EveryRegisteredKindIsCompared) {
  const std::set<std::string> compared{"embedding", "norm", "attention", "mlp", "head", "linear"};
  for (const std::string& kind : layer_kinds())
    EXPECT_TRUE(compared.contains(kind)) << kind << " has no comparison in this file";
}

}  // namespace
}  // namespace ocoee::nn
