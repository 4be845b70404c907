// SPDX-License-Identifier: Apache-2.0
// One model trained for a few steps under any layout, and what came of it as whole arrays.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>

#include "models/gpt.h"
#include "support/mpi_world.h"
#include "train/update.h"

namespace ocoee::parallel {

struct LayoutCase {
  int tensor = 1, pipeline = 1, context = 1, data = 1;
  Shard shard = Shard::none;
  int shard_group = 0;
  bool pipeline_inside = false;
  plan::ScheduleKind schedule = plan::ScheduleKind::one_f_one_b;
  int chunks = 1;
  std::vector<int64_t> cuts = {};
  Recompute recompute = Recompute::none;
  bool offload = false, float8 = false, bfloat16_gradients = false, bfloat16_moments = false,
       split_masters = false;
  Halves halves = Halves::off;
  bool own_rows_first = false;
  std::string style = "gpt2";
  double dropout = 0, attention_dropout = 0;
  at::ScalarType type = at::kDouble;
  int64_t micro = 1;    // samples
  int64_t samples = 8;  // a step
  int64_t steps = 5;    // of AdamW
  bool losses_only = false;
  int64_t layers = 8, width = 64, heads = 8;
  plan::ContextMethod method = plan::ContextMethod::ring;
  int64_t loss_chunks = 1;
  int ranks() const { return tensor * pipeline * context * data; }
  comm::Shape shape() const {
    comm::Shape out;
    out[comm::Axis::tensor] = tensor, out[comm::Axis::pipeline] = pipeline;
    out[comm::Axis::context] = context, out[comm::Axis::data] = data;
    out.shard_group = shard_group, out.pipeline_inside = pipeline_inside;
    // As layout.copy_engines = auto has it; nothing on CPUs and where ranks share a GPU.
    out.copy_engines = ranks() == data && shard == Shard::none && bfloat16_gradients
                           ? comm::CopyEngines::tensor_and_data
                           : comm::CopyEngines::tensor;
    return out;
  }
  std::string text() const {
    static const char* const levels[] = {"none", "states", "gradients", "parameters"};
    return fmt::format(
        "tensor {} pipeline {} context {}{} data {} shard {} in {} {} chunks {} cuts {} recompute "
        "{} {} dropout {} {} samples {} of {}{}{} {}{}{}{}{}",
        tensor, pipeline_inside ? fmt::format("{} inside", pipeline) : std::to_string(pipeline),
        context, method == plan::ContextMethod::ring ? "" : " by heads", data,
        levels[static_cast<size_t>(shard)], shard_group, plan::name_of(schedule), chunks,
        fmt::join(cuts, " "), static_cast<int>(recompute), style, dropout, attention_dropout, micro,
        samples, halves == Halves::on ? " in halves" : "", own_rows_first ? " own rows first" : "",
        c10::toString(type), bfloat16_gradients ? " with bfloat16 gradients" : "",
        bfloat16_moments ? ", moments in bfloat16" : "", split_masters ? ", masters split" : "",
        loss_chunks > 1 ? fmt::format(", logits in {} chunks", loss_chunks) : "");
  }
};

constexpr int64_t kSamples = 8, kTokens = 32, kVocabulary = 97;
constexpr double kLearningRate = 1e-3;

inline models::GptConfig case_model(const LayoutCase& c) {
  models::GptConfig config;
  config.style = c.style;
  config.layers = c.layers;
  config.width = c.width;
  config.heads = c.heads;
  if (c.style == "llama") config.kv_heads = c.heads / 2;
  config.context = kTokens;
  config.dropout = c.dropout, config.attention_dropout = c.attention_dropout;
  return config;
}

// Samples [first, first + count) of a step, and of their sequences the pieces.
inline nn::Bundle case_batch(int64_t step, int64_t first, int64_t count,
                             const device::Device& device = {},
                             const plan::SequencePieces& pieces = {{0, kTokens}}) {
  at::manual_seed(static_cast<uint64_t>(100 + step));
  const at::Tensor all = at::randint(0, kVocabulary, {kSamples, kTokens + 1}, at::kLong);
  std::vector<at::Tensor> tokens, targets;
  for (const auto& [begin, end] : pieces) {
    tokens.push_back(all.narrow(0, first, count).narrow(1, begin, end - begin));
    targets.push_back(all.narrow(0, first, count).narrow(1, begin + 1, end - begin));
  }
  nn::Bundle batch;
  batch["tokens"] = at::cat(tokens, 1).to(torch_device(device));
  batch["targets"] = at::cat(targets, 1).to(torch_device(device));
  return batch;
}

using Arrays = std::map<std::string, at::Tensor>;

// Whole arrays from the boxes that the ranks hold; a box on several ranks has the same bits on all.
inline Arrays whole_arrays(const plan::ModelSpec& model, const std::vector<run::StateArray>& held,
                           comm::Communicator* world) {
  int64_t elements = 0;
  for (const plan::ParameterSpec* parameter : model.all_parameters())
    elements += parameter->elements();
  // Of each element the highest that a rank holds, and the negative of the lowest.
  const at::Tensor highest =
      at::full({2, elements}, -std::numeric_limits<double>::infinity(), at::kDouble);
  Arrays out;
  std::map<std::string, at::Tensor> negative;
  int64_t begin = 0;
  for (const plan::ParameterSpec* parameter : model.all_parameters()) {
    const auto view = [&](int64_t row) {
      return highest[row].narrow(0, begin, parameter->elements()).view(parameter->shape);
    };
    out[parameter->name] = view(0), negative[parameter->name] = view(1);
    begin += parameter->elements();
  }
  for (const run::StateArray& array : held) {
    if (!out.contains(array.name)) continue;
    EXPECT_EQ(at::IntArrayRef(array.shape), out[array.name].sizes());
    for (const run::Piece& piece : array.pieces) {
      const at::Tensor host =
          at::empty(piece.box.size, at::TensorOptions().dtype(scalar_type_of(array.dtype)));
      piece.save(host.data_ptr());
      const at::Tensor wide = host.to(at::kDouble);
      const auto put = [&](at::Tensor whole, const at::Tensor& part) {
        for (size_t d = 0; d < piece.box.size.size(); ++d)
          whole = whole.narrow(static_cast<int64_t>(d), piece.box.offset[d], piece.box.size[d]);
        whole.copy_(at::maximum(whole, part));
      };
      put(out[array.name], wide), put(negative[array.name], -wide);
    }
  }
  if (world) world->all_reduce(buffer_of(highest), comm::Reduce::max);
  if (world && world->rank() > 0) return out;  // the first rank looks at what all have now
  for (const auto& [name, high] : out) {
    EXPECT_TRUE(at::isfinite(high).all().item<bool>()) << name << " has a hole, or is not finite";
    EXPECT_TRUE(at::equal(high, -negative[name])) << name << " differs between ranks";
  }
  return out;
}

struct Outcome {
  std::vector<double> losses;
  double evaluation = 0;
  Arrays gradients, parameters;  // of the first step; after the last
  std::vector<double> norms;
};

// Relative, but for parameters: absolute; `apart` is that of apart().
struct Tolerances {
  double loss, first_norm, norms, gradient, parameter,
      apart = std::numeric_limits<double>::infinity();
};

// How far a tensor of two runs is apart: the root mean square of the difference. One of fewer than
// 1,024 elements counts as so many: in a small one a single sign makes all the difference.
inline double apart(const at::Tensor& got, const at::Tensor& wanted) {
  return (got - wanted).norm().item<double>() /
         std::sqrt(static_cast<double>(std::max<int64_t>(1024, wanted.numel())));
}

// How far AdamW takes two runs apart whose gradients differ by `error` of a tensor's norm. Its
// first steps are one learning rate long, whatever the gradient's size, so what counts are signs:
// of elements spread about zero (normally) 0.8 x error lie nearer to it than the error does, and
// where these change sign a step is off by two learning rates. Later steps follow averages, in
// which as many are right again as go wrong anew.
inline double parted_by(double error) {
  return 2 * std::sqrt(0.8 * error) * kLearningRate;
}

// Losses, norms, the evaluation after them, the first gradients and the last parameters.
inline void expect_equal(const Outcome& got, const Outcome& wanted, const Tolerances& near) {
  for (size_t s = 0; s < wanted.losses.size(); ++s) {
    EXPECT_NEAR(got.losses[s], wanted.losses[s], near.loss * wanted.losses[s]) << "step " << s;
    EXPECT_NEAR(got.norms[s], wanted.norms[s],
                (s == 0 ? near.first_norm : near.norms) * wanted.norms[s])
        << "step " << s;
  }
  EXPECT_NEAR(got.evaluation, wanted.evaluation, near.loss * wanted.evaluation);
  if (testing_support::world().rank() > 0) return;  // all ranks have the same whole arrays
  double all = 0;
  for (const auto& [name, gradient] : wanted.gradients)
    all += gradient.square().sum().item<double>();
  for (const auto& [name, gradient] : wanted.gradients) {
    const double scale = std::max(gradient.norm().item<double>(), 1e-3 * std::sqrt(all));
    EXPECT_LT((got.gradients.at(name) - gradient).norm().item<double>(), near.gradient * scale)
        << name;
  }
  for (const auto& [name, parameter] : wanted.parameters) {
    const at::Tensor& other = got.parameters.at(name);
    EXPECT_LT((other - parameter).abs().max().item<double>(), near.parameter) << name;
    EXPECT_LT(apart(other, parameter), near.apart) << name;
  }
}

using Visit = std::function<void(Engine&, train::Update&)>;

// Forward and backward of a step's micro-batches, through a pipeline where there is one; score(m,
// output) gives the gradient of output m.
template <class Score>
void run_micro_batches(Engine& engine, const std::vector<MicroStep>& micro, const Score& score) {
  if (engine.pipelined()) {
    engine.run_pipeline(micro, score);
    return;
  }
  for (size_t m = 0; m < micro.size(); ++m) {
    auto pass = engine.forward(*micro[m].batch, micro[m].first_sample);
    engine.backward(pass, score(m, pass.output), m + 1 == micro.size());
  }
}

// `world`: null on one rank. `examine` sees the engine before it goes; `begin` before step `first`.
inline Outcome train_case(const LayoutCase& c, comm::Mesh& mesh, comm::Communicator* world,
                          int64_t steps, const Visit& examine = {}, const Visit& begin = {},
                          int64_t first = 0) {
  const plan::ModelSpec model = models::build_gpt(case_model(c), kVocabulary, c.loss_chunks);
  EngineOptions options;
  options.precision = {c.type, c.bfloat16_gradients, c.split_masters};
  options.recompute = c.recompute;
  options.offload = c.offload;
  options.float8 = c.float8;
  options.halves = c.halves;
  options.own_rows_first = c.own_rows_first;
  options.shard = c.shard;
  options.schedule = c.schedule;
  options.chunks = c.chunks;
  options.context_method = c.method;
  options.cuts = c.cuts;
  options.bucket_bytes = 1 << 17;
  Engine engine(model, options, mesh);
  engine.initialize(7);
  optim::OptimizerConfig adamw;
  adamw.learning_rate = kLearningRate;
  adamw.warmup_steps = 0;
  // Well above the rounding noise of a gradient: an element that is zero but for noise would move
  // by a whole step of its own.
  adamw.epsilon = 1e-5;
  adamw.clip = 0.5;
  plan::PrecisionConfig precision;
  precision.compute = c.type == at::kDouble     ? "float64"
                      : c.type == at::kBFloat16 ? "bfloat16"
                                                : "float32";
  if (c.bfloat16_moments) precision.moments = "bfloat16";
  train::Update update("lm", engine, adamw, precision, 1000);
  if (begin) begin(engine, update);

  const int64_t rank = mesh.coordinate(comm::Axis::data), micros = c.samples / (c.data * c.micro);
  const plan::SequencePieces pieces =
      plan::sequence_pieces(c.method, kTokens, c.context, mesh.coordinate(comm::Axis::context));
  Outcome outcome;
  for (int64_t s = first; s < first + steps; ++s) {
    engine.set_random_state(at::tensor({s, int64_t{0}}).to(torch_device(mesh.device())));
    engine.zero_gradients();
    std::vector<nn::Bundle> batches;
    std::vector<MicroStep> micro;
    for (int64_t m = 0; m < micros; ++m)
      batches.push_back(
          case_batch(s, m * c.micro * c.data + rank * c.micro, c.micro, mesh.device(), pieces));
    for (int64_t m = 0; m < micros; ++m)
      micro.push_back({&batches[static_cast<size_t>(m)], m * c.micro * c.data + rank * c.micro});
    std::vector<at::Tensor> losses;  // whole only after the backward passes
    const auto score = [&](size_t, const nn::Bundle& output) {
      losses.push_back(output.at("loss_sum"));
      nn::Bundle seed;
      seed["loss_sum"] = at::full({}, 1.0 / static_cast<double>(c.samples * kTokens),
                                  output.at("loss_sum").options());
      return seed;
    };
    run_micro_batches(engine, micro, score);
    update.finish_gradients();
    double loss = 0;
    for (const at::Tensor& sum : losses) loss += sum.item<double>();
    if (world) loss = world->all_reduce_value(loss, comm::Reduce::sum) / c.tensor;
    outcome.losses.push_back(loss / static_cast<double>(c.samples * kTokens));
    if (s == first && !c.losses_only)
      outcome.gradients = whole_arrays(model, engine.weights().gradient_arrays(""), world);
    update.prepare(s);
    update.apply();
    outcome.norms.push_back(update.read().gradient_norm);
  }
  EXPECT_TRUE(engine.kept().planned > 0 || engine.model().blocks.size() == 1) << c.text();
  EXPECT_EQ(engine.kept().taken, engine.kept().planned) << c.text();
  if (c.losses_only) {
    if (examine) examine(engine, update);
    return outcome;
  }
  outcome.parameters = whole_arrays(model, engine.weights().master_arrays(""), world);
  const nn::Bundle held_out =
      case_batch(99, rank * (kSamples / c.data), kSamples / c.data, mesh.device(), pieces);
  const nn::Bundle scored = engine.evaluate(held_out);
  outcome.evaluation = scored.has("loss_sum") ? scored.at("loss_sum").item<double>() : 0;
  if (world)
    outcome.evaluation = world->all_reduce_value(outcome.evaluation, comm::Reduce::sum) / c.tensor;
  if (examine) examine(engine, update);
  return outcome;
}

}  // namespace ocoee::parallel
