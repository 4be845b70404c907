// SPDX-License-Identifier: Apache-2.0
#include "train/update.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace ocoee::train {
namespace {

// Offsets in the device buffer of numbers that change from step to step (float64).
enum Scalar { kLearningRate, kCorrection1, kCorrection2, kNorm, kScale, kGoodSteps, kSkipped, kZero, kFinite, kScalars };

}  // namespace

struct Update::Impl {
  std::string model;
  parallel::WeightStore& weights;
  comm::Mesh& mesh;
  optim::OptimizerConfig config;
  plan::PrecisionConfig precision;
  int64_t total = 0;
  at::Tensor scalars;               // float64 [kScalars] on the device
  at::Tensor host_scalars;          // what prepare() sends
  std::vector<at::Tensor> states;   // flat, like the masters
  at::Tensor decay;                 // per element, 1 or 0
  at::Tensor s(int i) const { return scalars.select(0, i); }
};

Update::Update(const std::string& model, parallel::WeightStore& weights, comm::Mesh& mesh, const optim::OptimizerConfig& config,
               const plan::PrecisionConfig& precision, int64_t total)
    : impl_(new Impl{model, weights, mesh, config, precision, total, {}, {}, {}, {}}) {
  const auto options = weights.master().options();
  impl_->scalars = at::zeros({kScalars}, options.dtype(at::kDouble));
  impl_->scalars.select(0, kScale).fill_(precision.compute == "float16" ? precision.loss_scale : 1.0);
  impl_->scalars.select(0, kFinite).fill_(1.0);
  impl_->host_scalars = at::zeros({3}, at::kDouble);
  for (int i = 0; i < config.states_per_parameter(); ++i) impl_->states.push_back(at::zeros_like(weights.master()));
  impl_->decay = at::zeros_like(weights.master());
  for (const parallel::Slot& slot : weights.slots()) {
    if (slot.spec->decay) impl_->decay.narrow(0, slot.offset, slot.elements).fill_(1);
  }
}
Update::~Update() = default;
Update::Update(Update&&) noexcept = default;

at::Tensor Update::loss_scale() const { return impl_->s(kScale).to(impl_->weights.master().scalar_type()); }

void Update::prepare(int64_t update) {
  double* h = impl_->host_scalars.data_ptr<double>();
  h[0] = optim::learning_rate_at(impl_->config, update, impl_->total);
  h[1] = 1 - std::pow(impl_->config.beta1, static_cast<double>(update + 1));
  h[2] = 1 - std::pow(impl_->config.beta2, static_cast<double>(update + 1));
  const at::NoGradGuard no_grad;
  impl_->scalars.narrow(0, 0, 3).copy_(impl_->host_scalars, /*non_blocking=*/true);
}

void Update::apply() {
  const at::NoGradGuard no_grad;
  Impl& u = *impl_;
  at::Tensor& master = u.weights.master();
  at::Tensor& gradient = u.weights.gradient();
  const auto type = master.scalar_type();

  const at::Tensor norm = at::linalg_vector_norm(gradient, 2, std::nullopt, false, at::kDouble) / u.s(kScale);
  const at::Tensor finite = at::isfinite(norm).to(at::kDouble);
  u.s(kNorm).copy_(norm);
  u.s(kFinite).copy_(finite);
  u.s(kZero).copy_((u.s(kZero) + 1) * (norm == 0));
  at::Tensor factor = 1 / u.s(kScale);
  if (u.config.clip > 0) factor = factor * at::clamp(u.config.clip / (norm + 1e-6), std::nullopt, 1.0);
  const at::Tensor lr = u.s(kLearningRate).to(type);
  at::Tensor g = gradient * factor.to(type);
  const bool scaled = u.precision.compute == "float16";
  if (scaled) g = at::where(finite.to(at::kBool), g, at::zeros_like(g));

  at::Tensor step;
  std::vector<at::Tensor> next = {};
  if (u.config.name == "adamw") {
    at::Tensor m = u.states[0] * u.config.beta1 + g * (1 - u.config.beta1);
    at::Tensor v = u.states[1] * u.config.beta2 + g * g * (1 - u.config.beta2);
    step = lr * (m / u.s(kCorrection1).to(type)) / (at::sqrt(v / u.s(kCorrection2).to(type)) + u.config.epsilon);
    next = {m, v};
  } else {
    at::Tensor m = u.states[0] * u.config.momentum + g;
    step = lr * m;
    next = {m};
  }
  at::Tensor moved = master - u.decay * master * (lr * u.config.weight_decay) - step;
  if (scaled) {
    const at::Tensor ok = finite.to(at::kBool);
    moved = at::where(ok, moved, master);
    for (size_t i = 0; i < next.size(); ++i) next[i] = at::where(ok, next[i], u.states[i]);
    const at::Tensor good = (u.s(kGoodSteps) + 1) * finite;
    const at::Tensor grow = good >= static_cast<double>(u.precision.loss_scale_window);
    u.s(kScale).copy_(at::clamp(at::where(ok, at::where(grow, u.s(kScale) * 2, u.s(kScale)), u.s(kScale) / 2), 1.0, 16777216.0));
    u.s(kGoodSteps).copy_(at::where(grow, at::zeros_like(good), good));
    u.s(kSkipped).copy_((u.s(kSkipped) + 1) * (1 - finite));
  }
  master.copy_(moved);
  for (size_t i = 0; i < next.size(); ++i) u.states[i].copy_(next[i]);
  u.weights.refresh_values();
}

Update::Report Update::read() const {
  const at::Tensor host = impl_->scalars.to(at::kCPU);
  const double* s = host.data_ptr<double>();
  return {s[kLearningRate], s[kNorm], s[kScale], static_cast<int64_t>(s[kSkipped]), static_cast<int64_t>(s[kZero]), s[kFinite] != 0};
}

std::vector<run::StateArray> Update::arrays() const {
  static const char* adamw[] = {"first_moment", "second_moment"};
  static const char* sgd[] = {"velocity"};
  std::vector<run::StateArray> out;
  for (size_t i = 0; i < impl_->states.size(); ++i) {
    const std::string name = impl_->config.name == "adamw" ? adamw[i] : sgd[i];
    for (run::StateArray& array : impl_->weights.arrays("optimizer." + impl_->model + "." + name + ".", impl_->states[i])) out.push_back(std::move(array));
  }
  return out;
}

nlohmann::json Update::values() const {
  const at::Tensor host = impl_->scalars.to(at::kCPU);
  const double* s = host.data_ptr<double>();
  return {{"loss_scale", s[kScale]}, {"good_steps", s[kGoodSteps]}, {"skipped", s[kSkipped]}, {"zero", s[kZero]}};
}

void Update::load_values(const nlohmann::json& values) {
  const at::NoGradGuard no_grad;
  impl_->s(kScale).fill_(values.at("loss_scale").get<double>());
  impl_->s(kGoodSteps).fill_(values.at("good_steps").get<double>());
  impl_->s(kSkipped).fill_(values.at("skipped").get<double>());
  impl_->s(kZero).fill_(values.at("zero").get<double>());
}

}  // namespace ocoee::train
