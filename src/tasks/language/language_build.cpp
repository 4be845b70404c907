// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/language_build.h"

#include <cmath>

namespace ocoee::tasks {
namespace {

using train::MicroBatch;
using train::Models;
using train::Sums;

class NextToken final : public train::Objective {
 public:
  explicit NextToken(int64_t context) : context_(context) {}
  std::string name() const override { return "next_token"; }
  std::vector<std::string> updates() const override { return {kLanguageModel}; }
  double weight_per_sample() const override { return static_cast<double>(context_); }
  Sums micro_batch(Models& models, const MicroBatch& batch) override {
    parallel::Engine& engine = models.at(kLanguageModel);
    const nn::Bundle inputs = decoder_inputs(batch.fields);
    auto pass = engine.forward(inputs, batch.first_sample);
    const Sums sums{pass.output.at("loss_sum"), pass.output.at("weight_sum")};
    nn::Bundle gradient;
    gradient["loss_sum"] = batch.seed.to(sums.loss.scalar_type());
    engine.backward(pass, gradient, batch.last);
    return sums;
  }

  std::vector<Sums> pipeline(Models& models, const std::vector<MicroBatch>& batches) override {
    std::vector<nn::Bundle> inputs;
    for (const MicroBatch& batch : batches) inputs.push_back(decoder_inputs(batch.fields));
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
  int64_t context_;
};

class BitsPerLetter final : public train::Evaluation {
 public:
  BitsPerLetter(std::shared_ptr<const data::HeldOutSource> source, std::string unit)
      : source_(std::move(source)), unit_(std::move(unit)) {}
  const data::EvaluationSource& source() const override { return *source_; }
  std::string best_metric() const override { return unit_; }
  Sums micro_batch(Models& models, const nn::Bundle& fields) override {
    const nn::Bundle out = models.at(kLanguageModel).evaluate(decoder_inputs(fields));
    if (!out.has("loss_sum")) return {at::zeros({}), at::zeros({})};  // not the last stage
    return {out.at("loss_sum"), out.at("weight_sum")};
  }
  nlohmann::json metrics(double loss_sum, double weight_sum) const override {
    const double letters = weight_sum * source_->letters_per_token();
    return {{"loss", loss_sum / weight_sum}, {unit_, loss_sum / std::log(2.0) / letters}};
  }

 private:
  std::shared_ptr<const data::HeldOutSource> source_;
  std::string unit_;
};

}  // namespace

nn::Bundle decoder_inputs(const nn::Bundle& fields) {
  const at::Tensor& tokens = fields.at("tokens");
  const int64_t length = tokens.size(1) - 1;
  nn::Bundle out;
  out["tokens"] = tokens.narrow(1, 0, length).contiguous();
  out["targets"] = tokens.narrow(1, 1, length).contiguous();
  if (fields.has("weights")) out["weights"] = fields.at("weights");
  return out;
}

parallel::EngineOptions engine_options(const LanguageConfig& config, uint64_t seed) {
  parallel::EngineOptions options;
  options.precision = parallel::precision_from_name(config.precision.compute);
  options.recompute =
      config.layout.recompute == "full" ? parallel::Recompute::full : parallel::Recompute::none;
  options.seed = seed;
  options.shard = parallel::shard_from_name(config.layout.shard);
  options.schedule = plan::schedule_from_name(config.layout.schedule);
  options.chunks = static_cast<int>(config.layout.chunks);
  return options;
}

train::TrainerParts language_parts(const LanguageConfig& config, run::Context& context,
                                   std::shared_ptr<data::Source> training,
                                   std::shared_ptr<const data::HeldOutSource> held_out,
                                   const std::string& unit) {
  const plan::ModelSpec spec = config.model_spec();
  train::TrainerParts parts;
  parts.models.add(
      kLanguageModel,
      std::make_unique<parallel::Engine>(
          spec, engine_options(config, static_cast<uint64_t>(context.run.seed)), context.mesh));
  parts.objectives.push_back(
      {std::make_unique<NextToken>(config.model.context), std::move(training), config.optimizer});
  parts.evaluation = std::make_unique<BitsPerLetter>(std::move(held_out), unit);
  parts.batch = config.batch;
  parts.layout = config.layout;
  parts.precision = config.precision;
  parts.train = config.train;
  const double tokens = static_cast<double>(config.model.context);
  parts.tokens_per_sample = tokens;
  parts.flops_per_sample = spec.training_flops_per_token() * tokens;
  parts.recompute_flops_per_sample =
      config.layout.recompute == "full" ? spec.forward_flops_per_token() * tokens : 0;
  return parts;
}

}  // namespace ocoee::tasks
