// SPDX-License-Identifier: Apache-2.0
// Non-saturating GAN (Goodfellow et al. 2014). Critic: softplus(-D(real)) + softplus(D(G(z))).
// Generator: softplus(-D(G(z))), whose gradient reaches G through the critic's input gradient.
#include <cmath>

#include "core/random.h"
#include "tasks/gans/toy_gan.h"
#include "train/trainer.h"

namespace ocoee::tasks {
namespace {

using train::MicroBatch;
using train::Models;
using train::Sums;

constexpr int kGaussians = 8;
constexpr int64_t kMadePoints = 512;  // that the generator is measured on

std::pair<double, double> centre(int k, double radius) {
  const double angle = 6.283185307179586 * k / kGaussians;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

// Points of the ring and noise; both are functions of (seed, position).
class RingSource final : public data::EvaluationSource {
 public:
  RingSource(const ToyGanConfig& config, uint64_t seed)
      : latent_(config.latent),
        radius_(config.ring_radius),
        spread_(config.ring_spread),
        seed_(seed) {
    fields_ = {{"point", DType::f32, {2}}, {"noise", DType::f32, {latent_}}};
  }
  const std::vector<data::FieldSpec>& fields() const override { return fields_; }
  int64_t size() const override { return kMadePoints; }
  void fill(int64_t position, const std::vector<void*>& rows) const override {
    RandomStream stream(seed_, Purpose::noise, 0, static_cast<uint64_t>(position));
    const auto [x, y] = centre(static_cast<int>(stream.below(kGaussians)), radius_);
    auto* point = static_cast<float*>(rows[0]);
    point[0] = static_cast<float>(x + spread_ * stream.normal());
    point[1] = static_cast<float>(y + spread_ * stream.normal());
    for (int64_t i = 0; i < latent_; ++i)
      static_cast<float*>(rows[1])[i] = static_cast<float>(stream.normal());
  }

 private:
  std::vector<data::FieldSpec> fields_;
  int64_t latent_;
  double radius_, spread_;
  uint64_t seed_;
};

nn::Bundle input(const at::Tensor& x) {
  nn::Bundle bundle;
  bundle["x"] = x;
  return bundle;
}

// softplus(sign * score), summed over samples, and its gradient with respect to the score times
// `seed`.
Sums softplus_loss(const at::Tensor& score, double sign, const at::Tensor& seed,
                   nn::Bundle& gradient) {
  const at::NoGradGuard no_grad;
  gradient["x"] = at::sigmoid(score * sign) * (seed * sign).to(score.scalar_type());
  return {at::softplus(score * sign).sum(),
          at::full({}, static_cast<double>(score.size(0)), score.options())};
}

at::Tensor converted(const at::Tensor& field, parallel::Engine& engine) {
  return field.to(engine.weights().value().scalar_type());
}

class CriticObjective final : public train::Objective {
 public:
  explicit CriticObjective(int64_t repeats) : repeats_(repeats) {}
  std::string name() const override { return "critic"; }
  std::vector<std::string> updates() const override { return {"critic"}; }
  int64_t repeats() const override { return repeats_; }
  double weight_per_sample() const override { return 1; }
  Sums micro_batch(Models& models, const MicroBatch& batch) override {
    parallel::Engine& critic = models.at("critic");
    const nn::Bundle noise = input(converted(batch.fields.at("noise"), models.at("generator")));
    const nn::Bundle made = models.at("generator").evaluate(noise);
    const nn::Bundle real = input(converted(batch.fields.at("point"), critic));
    nn::Bundle gradient;
    auto pass = critic.forward(real, batch.first_sample);
    const Sums on_real = softplus_loss(pass.output.at("x"), -1, batch.seed, gradient);
    critic.backward(pass, gradient, /*last_micro_batch=*/false);
    pass = critic.forward(made, batch.first_sample);
    const Sums on_made = softplus_loss(pass.output.at("x"), 1, batch.seed, gradient);
    critic.backward(pass, gradient, batch.last);
    return {on_real.loss + on_made.loss, on_real.weight};
  }

 private:
  int64_t repeats_;
};

class GeneratorObjective final : public train::Objective {
 public:
  std::string name() const override { return "generator"; }
  std::vector<std::string> updates() const override { return {"generator"}; }
  double weight_per_sample() const override { return 1; }
  Sums micro_batch(Models& models, const MicroBatch& batch) override {
    const nn::Bundle noise = input(converted(batch.fields.at("noise"), models.at("generator")));
    auto made = models.at("generator").forward(noise, batch.first_sample);
    auto scored = models.at("critic").forward(made.output, batch.first_sample);
    nn::Bundle gradient;
    const Sums sums = softplus_loss(scored.output.at("x"), -1, batch.seed, gradient);
    // The critic's own gradients from this pass are dropped: its objective zeroes them before its
    // next update.
    const nn::Bundle to_points =
        models.at("critic").backward(scored, gradient, /*last_micro_batch=*/false);
    models.at("generator").backward(made, to_points, batch.last);
    return sums;
  }
};

// A GAN's losses say little of what it makes: how far made points lie from the nearest Gaussian.
class MadePoints final : public train::Evaluation {
 public:
  MadePoints(const ToyGanConfig& config, uint64_t seed) : source_(config, seed) {
    for (int k = 0; k < kGaussians; ++k) {
      const auto [x, y] = centre(k, config.ring_radius);
      centres_.insert(centres_.end(), {x, y});
    }
  }
  const data::EvaluationSource& source() const override { return source_; }
  std::string best_metric() const override { return "distance"; }
  Sums micro_batch(Models& models, const nn::Bundle& fields) override {
    parallel::Engine& generator = models.at("generator");
    const at::Tensor made =
        generator.evaluate(input(converted(fields.at("noise"), generator))).at("x").to(at::kDouble);
    const at::Tensor centres = at::tensor(centres_, made.options()).view({1, kGaussians, 2});
    const at::Tensor distances = (made.unsqueeze(1) - centres).square().sum(2).sqrt();
    return {distances.amin(1).sum(),
            at::full({}, static_cast<double>(made.size(0)), made.options())};
  }
  nlohmann::json metrics(double sum, double points) const override {
    return {{"distance", sum / points}};
  }

 private:
  RingSource source_;
  std::vector<double> centres_;
};

}  // namespace

std::unique_ptr<run::Task> build_toy_gan(const run::TaskConfig& base, run::Context& context) {
  const auto& config = dynamic_cast<const ToyGanConfig&>(base);
  train::TrainerParts parts;
  parallel::EngineOptions options;
  options.precision = parallel::precision_from_name(
      config.precision.compute, config.precision.gradients, config.precision.masters);
  options.seed = static_cast<uint64_t>(context.run.seed);
  parts.models.add("generator", std::make_unique<parallel::Engine>(config.generator_spec(), options,
                                                                   context.mesh));
  parts.models.add("critic",
                   std::make_unique<parallel::Engine>(config.critic_spec(), options, context.mesh));
  const auto seed = static_cast<uint64_t>(context.run.seed);
  parts.objectives.push_back({std::make_unique<CriticObjective>(config.critic_repeats),
                              std::make_shared<RingSource>(config, seed), config.critic});
  parts.objectives.push_back({std::make_unique<GeneratorObjective>(),
                              std::make_shared<RingSource>(config, seed + 1), config.generator});
  parts.evaluation = std::make_unique<MadePoints>(config, seed + 2);
  parts.summary["headline_metric"] = "distance";
  parts.summary["headline_label"] = "mean distance of made points to the nearest Gaussian";
  parts.batch = config.batch;
  parts.layout = config.layout;
  parts.precision = config.precision;
  parts.train = config.train;
  return train::make_trainer(std::move(parts), context);
}

}  // namespace ocoee::tasks
