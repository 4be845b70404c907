// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/language_build.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "plan/block_cost.h"
#include "plan/timed_cuts.h"

namespace ocoee::tasks {
namespace {

using train::MicroBatch;
using train::Models;
using train::Sums;

class NextToken final : public train::Objective {
 public:
  NextToken(int64_t context, int64_t pieces) : context_(context), pieces_(pieces) {}
  std::string name() const override { return "next_token"; }
  std::vector<std::string> updates() const override { return {kLanguageModel}; }
  double weight_per_sample() const override { return static_cast<double>(context_); }
  Sums micro_batch(Models& models, const MicroBatch& batch) override {
    parallel::Engine& engine = models.at(kLanguageModel);
    const nn::Bundle inputs = decoder_inputs(batch.fields, pieces_);
    auto pass = engine.forward(inputs, batch.first_sample);
    const Sums sums{pass.output.at("loss_sum"), pass.output.at("weight_sum")};
    nn::Bundle gradient;
    gradient["loss_sum"] = batch.seed.to(sums.loss.scalar_type());
    engine.backward(pass, gradient, batch.last);
    return sums;
  }

  std::vector<Sums> pipeline(Models& models, const std::vector<MicroBatch>& batches) override {
    std::vector<nn::Bundle> inputs;
    for (const MicroBatch& batch : batches) inputs.push_back(decoder_inputs(batch.fields, pieces_));
    std::vector<parallel::MicroStep> micro;
    for (size_t m = 0; m < batches.size(); ++m)
      micro.push_back({&inputs[m], batches[m].first_sample});
    std::vector<Sums> sums;
    models.at(kLanguageModel).run_pipeline(micro, [&](size_t m, const nn::Bundle& output) {
      sums.push_back({output.at("loss_sum"), output.at("weight_sum")});
      nn::Bundle gradient;
      gradient["loss_sum"] = batches[m].seed.to(sums.back().loss.scalar_type());
      return gradient;
    });
    return sums;
  }

 private:
  int64_t context_, pieces_;
};

class BitsPerLetter final : public train::Evaluation {
 public:
  BitsPerLetter(std::shared_ptr<const data::HeldOutSource> source, std::string unit, int64_t pieces)
      : source_(std::move(source)), unit_(std::move(unit)), pieces_(pieces) {}
  const data::EvaluationSource& source() const override { return *source_; }
  std::string best_metric() const override { return unit_; }
  Sums micro_batch(Models& models, const nn::Bundle& fields) override {
    const nn::Bundle out = models.at(kLanguageModel).evaluate(decoder_inputs(fields, pieces_));
    if (!out.has("loss_sum")) {  // not the last stage
      const at::Tensor none =
          at::zeros({}, fields.items().front().second.options().dtype(at::kDouble));
      return {none, none};
    }
    return {out.at("loss_sum"), out.at("weight_sum")};
  }
  nlohmann::json metrics(double loss_sum, double weight_sum) const override {
    const double letters = weight_sum * source_->letters_per_token();
    return {{"loss", loss_sum / weight_sum}, {unit_, loss_sum / std::log(2.0) / letters}};
  }

 private:
  std::shared_ptr<const data::HeldOutSource> source_;
  std::string unit_;
  int64_t pieces_;
};

double recompute_flops_per_token(const LanguageConfig& config, const plan::ModelSpec& spec) {
  if (config.layout.recompute == "full") {
    double sum = 0;
    for (const plan::BlockSpec& block : spec.blocks) sum += plan::flops_made_again(block);
    return sum;
  }
  // Selective recompute multiplies only for attention probabilities, which exist for dropout.
  if (config.layout.recompute != "selective" || config.model.attention_dropout == 0) return 0;
  double scores = 0;
  for (const plan::BlockSpec& block : spec.blocks) {
    for (const plan::LayerSpec& layer : block.layers) scores += layer.cost.attention_flops / 2;
  }
  return scores;
}

// Those of the plan, by rank 0's profile of the machine: another rank may have none.
std::vector<int64_t> agreed_cuts(const LanguageConfig& config, run::Context& context) {
  if (config.layout.pipeline == 1) return {};
  std::string text;
  if (context.world.rank() == 0) {
    const auto planned = config.planned(context.world.size());
    text = nlohmann::json(plan::timed_cuts(*planned, context.run.machine)).dump();
  }
  text = context.world.host()->broadcast_text(text, 0);
  return nlohmann::json::parse(text).get<std::vector<int64_t>>();
}

}  // namespace

nn::Bundle decoder_inputs(const nn::Bundle& fields, int64_t pieces) {
  const at::Tensor& all = fields.at("tokens");
  const at::Tensor tokens = all.view({all.size(0), pieces, all.size(1) / pieces});
  const int64_t length = tokens.size(2) - 1;
  nn::Bundle out;
  out["tokens"] = tokens.narrow(2, 0, length).flatten(1).contiguous();
  out["targets"] = tokens.narrow(2, 1, length).flatten(1).contiguous();
  if (fields.has("weights")) out["weights"] = fields.at("weights");
  return out;
}

data::WindowPieces window_pieces(const LanguageConfig& config, const comm::Mesh& mesh) {
  return plan::sequence_pieces(plan::context_method_from_name(config.layout.context_method),
                               config.model.context, mesh.size(comm::Axis::context),
                               mesh.coordinate(comm::Axis::context));
}

data::WindowOptions window_options(const LanguageConfig& config, const run::Context& context) {
  data::WindowOptions options;
  options.seed = static_cast<uint64_t>(context.run.seed);
  options.context = config.model.context;
  options.pieces = window_pieces(config, context.mesh);
  return options;
}

parallel::EngineOptions engine_options(const LanguageConfig& config, uint64_t seed) {
  parallel::EngineOptions options;
  options.precision = parallel::precision_from_name(
      config.precision.compute, config.precision.gradients, config.precision.masters);
  options.recompute = parallel::recompute_from_name(config.layout.recompute);
  options.seed = seed;
  options.shard = parallel::shard_from_name(config.layout.shard);
  options.schedule = plan::schedule_from_name(config.layout.schedule);
  options.chunks = static_cast<int>(config.layout.chunks);
  options.context_method = plan::context_method_from_name(config.layout.context_method);
  options.cuts = config.layout.cuts;
  options.offload = config.layout.offload;
  options.halves = parallel::halves_from_name(config.layout.halves);
  options.bucket_bytes = config.layout.bucket_bytes;
  options.message_multiprocessors = static_cast<int>(config.layout.message_multiprocessors);
  options.float8 = config.precision.float8;
  return options;
}

train::TrainerParts language_parts(const LanguageConfig& config, run::Context& context,
                                   std::shared_ptr<data::Source> training,
                                   std::shared_ptr<const data::HeldOutSource> held_out,
                                   const std::string& unit) {
  const plan::ModelSpec spec = config.model_spec();
  parallel::EngineOptions options = engine_options(config, static_cast<uint64_t>(context.run.seed));
  options.cuts = agreed_cuts(config, context);
  const auto pieces = static_cast<int64_t>(window_pieces(config, context.mesh).size());
  train::TrainerParts parts;
  parts.models.add(kLanguageModel, std::make_unique<parallel::Engine>(spec, options, context.mesh));
  parts.objectives.push_back({std::make_unique<NextToken>(config.model.context, pieces),
                              std::move(training), config.optimizer});
  parts.evaluation = std::make_unique<BitsPerLetter>(std::move(held_out), unit, pieces);
  parts.batch = config.batch;
  parts.layout = config.layout;
  parts.precision = config.precision;
  parts.train = config.train;
  const double tokens = static_cast<double>(config.model.context);
  parts.tokens_per_sample = tokens;
  parts.flops_per_sample = spec.training_flops_per_token() * tokens;
  parts.recompute_flops_per_sample = recompute_flops_per_token(config, spec) * tokens;
  return parts;
}

}  // namespace ocoee::tasks
