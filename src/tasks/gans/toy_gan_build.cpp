// SPDX-License-Identifier: Apache-2.0
// Non-saturating GAN (Goodfellow et al. 2014). Critic: softplus(-D(real)) + softplus(D(G(z))).
// Generator: softplus(-D(G(z))), whose gradient reaches G through the critic's input gradient.
#include <fmt/format.h>

#include <algorithm>
#include <array>
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
constexpr int64_t kMadePoints = 512;    // that the generator is measured on
constexpr int64_t kDrawnPoints = 8192;  // that the report shows
constexpr int64_t kDrawnCells = 48;     // along each axis of its pictures

std::pair<double, double> centre(int k, double radius) {
  const double angle = 6.283185307179586 * k / kGaussians;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

using Point = std::array<double, 2>;

struct Nearest {
  int gaussian = 0;
  double distance = INFINITY;
};
Nearest nearest(const Point& point, double radius) {
  Nearest out;
  for (int k = 0; k < kGaussians; ++k) {
    const auto [x, y] = centre(k, radius);
    const double distance = std::hypot(point[0] - x, point[1] - y);
    if (distance < out.distance) out = {k, distance};
  }
  return out;
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

std::vector<Point> real_points(const RingSource& source, int64_t latent, int64_t count) {
  std::vector<Point> out;
  std::vector<float> noise(static_cast<size_t>(latent));
  for (int64_t i = 0; i < count; ++i) {
    std::array<float, 2> point{};
    source.fill(i, {point.data(), noise.data()});
    out.push_back({point[0], point[1]});
  }
  return out;
}

double mean_distance(const std::vector<Point>& points, double radius) {
  double sum = 0;
  for (const Point& point : points) sum += nearest(point, radius).distance;
  return sum / static_cast<double>(points.size());
}

// How many points lie in each cell of a square from -edge to edge.
nlohmann::json density_figure(const std::vector<Point>& points, double edge, const char* title,
                              const std::string& caption) {
  constexpr auto kCells = static_cast<size_t>(kDrawnCells);
  std::vector<int64_t> counts(kCells * kCells, 0);
  int64_t outside = 0;
  for (const auto& [x, y] : points) {
    const double column = std::floor((x + edge) / (2 * edge) * kDrawnCells);
    const double row = std::floor((edge - y) / (2 * edge) * kDrawnCells);  // y upwards
    if (column >= 0 && column < kDrawnCells && row >= 0 && row < kDrawnCells)
      ++counts[static_cast<size_t>(row) * kCells + static_cast<size_t>(column)];
    else
      ++outside;
  }
  const double middle = edge * (1 - 1.0 / kDrawnCells);
  const auto axis = [&](const char* name) {
    return nlohmann::json{{"label", name}, {"low", -middle}, {"high", middle}};
  };
  return {{"chart", "heat"},
          {"title", title},
          {"caption", outside == 0 ? caption : fmt::format("{} Outside: {}.", caption, outside)},
          {"columns", kDrawnCells},
          {"rows", kDrawnCells},
          {"values", counts},
          {"unit", "points"},
          {"low", 0},
          {"x", axis("x")},
          {"y", axis("y")}};
}

// A GAN's losses say little of what it makes: how far made points lie from the nearest Gaussian,
// and, since all may lie near one of them, how many are reached.
class MadePoints final : public train::Evaluation {
 public:
  MadePoints(const ToyGanConfig& config, uint64_t seed)
      : source_(config, seed),
        latent_(config.latent),
        radius_(config.ring_radius),
        spread_(config.ring_spread) {
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
  double distance_of_real() const {
    return mean_distance(real_points(source_, latent_, kMadePoints), radius_);
  }
  nlohmann::json at_end(Models& models) override {
    const std::vector<Point> made = drawn(models.at("generator"));
    const double near = 3 * spread_;
    std::array<int64_t, kGaussians> reached{};
    for (const Point& point : made)
      if (const Nearest to = nearest(point, radius_); to.distance <= near)
        ++reached[static_cast<size_t>(to.gaussian)];
    int64_t gaussians = 0, close = 0;
    for (const int64_t points : reached) {
      close += points;
      gaussians += points * 100 >= kDrawnPoints ? 1 : 0;  // each should have an eighth of them
    }
    const double share = static_cast<double>(close) / static_cast<double>(kDrawnPoints);
    const double edge = 1.5 * radius_ + 3 * spread_;
    const std::string of = fmt::format("{} points, counted in cells.", kDrawnPoints);
    return {{"gaussians_reached", gaussians},
            {"share_near_a_gaussian", share},
            {"figures",
             {density_figure(
                  made, edge, "Points that the generator makes",
                  fmt::format(
                      "{} Within three standard deviations of a Gaussian's centre lie {:.0f} % "
                      "(of real points 99 %); {} of {} Gaussians have one in a hundred or more.",
                      of, 100 * share, gaussians, kGaussians)),
              density_figure(real_points(source_, latent_, kDrawnPoints), edge,
                             "Points of the ring, which it learns from", of)}}};
  }

 private:
  // By a generator that may be shared: every rank asks the same.
  std::vector<Point> drawn(parallel::Engine& generator) const {
    constexpr int64_t kAtOnce = 256;
    const at::NoGradGuard no_grad;
    const auto device = generator.weights().value().device();
    std::vector<Point> out;
    for (int64_t first = 0; first < kDrawnPoints; first += kAtOnce) {
      const at::Tensor noise = at::empty({kAtOnce, latent_}, at::kFloat);
      std::array<float, 2> unused{};
      for (int64_t i = 0; i < kAtOnce; ++i)
        source_.fill(kMadePoints + first + i,
                     {unused.data(), noise.data_ptr<float>() + i * latent_});
      const at::Tensor made = generator.evaluate(input(converted(noise.to(device), generator)))
                                  .at("x")
                                  .to(at::kCPU, at::kDouble)
                                  .contiguous();
      const double* values = made.data_ptr<double>();
      for (int64_t i = 0; i < kAtOnce; ++i) out.push_back({values[2 * i], values[2 * i + 1]});
    }
    return out;
  }

  RingSource source_;
  int64_t latent_;
  double radius_, spread_;
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
  auto evaluation = std::make_unique<MadePoints>(config, seed + 2);
  parts.summary["reference_label"] = "points of the Gaussians themselves";
  parts.summary["reference_value"] = evaluation->distance_of_real();
  parts.evaluation = std::move(evaluation);
  parts.summary["headline_metric"] = "distance";
  parts.summary["headline_label"] = "mean distance of made points to the nearest Gaussian";
  parts.batch = config.batch;
  parts.layout = config.layout;
  parts.precision = config.precision;
  parts.train = config.train;
  return train::make_trainer(std::move(parts), context);
}

}  // namespace ocoee::tasks
