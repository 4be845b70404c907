// SPDX-License-Identifier: Apache-2.0
#include "train/update.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "kernels/cast.h"
#include "kernels/optimizer_step.h"
#include "kernels/reduce.h"
#include "nn/tensors.h"

namespace ocoee::train {
namespace {

using kernels::StepScalars;

at::Tensor bytes_on(const void* host, size_t bytes, const at::Tensor& like) {
  at::Tensor out = nn::workspace(bytes, like);
  if (bytes > 0) out.narrow(0, 0, static_cast<int64_t>(bytes)).copy_(at::from_blob(const_cast<void*>(host), {static_cast<int64_t>(bytes)}, at::kByte));
  return out;
}

}  // namespace

struct Update::Impl {
  std::string model;
  parallel::WeightStore& weights;
  optim::OptimizerConfig config;
  kernels::StepRules rules;
  int64_t total = 0;
  at::Tensor scalars;               // StepScalars, on the device
  at::Tensor segments;              // DecaySegment list, on the device
  int64_t segment_count = 0;
  at::Tensor norm_space;
  std::vector<at::Tensor> states;   // flat, like the masters

  StepScalars* device_scalars() const { return static_cast<StepScalars*>(scalars.data_ptr()); }
  StepScalars read() const {
    const at::Tensor host = scalars.to(at::kCPU);
    StepScalars out;
    std::memcpy(&out, host.data_ptr(), sizeof out);
    return out;
  }
  device::Stream stream() const { return nn::current_stream(nn::place_of(scalars)); }
  void find_segments();
  kernels::FlatPiece whole() const;
};

// Neighbouring parameters that decay become one stretch; padding between layers is zero and may decay with them.
void Update::Impl::find_segments() {
  std::vector<kernels::DecaySegment> list;
  for (const parallel::Slot& slot : weights.slots()) {
    if (!slot.spec->decay || config.weight_decay == 0) continue;
    if (!list.empty() && list.back().end == slot.offset) list.back().end += slot.elements;
    else list.push_back({slot.offset, slot.offset + slot.elements, config.weight_decay});
  }
  segment_count = static_cast<int64_t>(list.size());
  segments = bytes_on(list.data(), list.size() * sizeof list[0], weights.master());
}

kernels::FlatPiece Update::Impl::whole() const {
  kernels::FlatPiece piece;
  piece.dtype = nn::dtype_of(weights.master().scalar_type());
  piece.begin = 0;
  piece.count = weights.elements();
  piece.master = weights.master().data_ptr();
  piece.gradient = weights.gradient().data_ptr();
  if (weights.value().data_ptr() != weights.master().data_ptr()) {
    piece.value = weights.value().data_ptr();
    piece.value_dtype = nn::dtype_of(weights.value().scalar_type());
  }
  piece.segments = static_cast<const kernels::DecaySegment*>(segments.data_ptr());
  piece.segment_count = segment_count;
  piece.scalars = device_scalars();
  return piece;
}

Update::Update(const std::string& model, parallel::WeightStore& weights, const optim::OptimizerConfig& config, const plan::PrecisionConfig& precision,
               int64_t total)
    : impl_(new Impl{model, weights, config, {}, total, {}, {}, 0, {}, {}}) {
  impl_->rules.clip = config.clip;
  impl_->rules.beta1 = config.beta1;
  impl_->rules.beta2 = config.beta2;
  impl_->rules.scales_loss = precision.compute == "float16";
  impl_->rules.growth_interval = precision.loss_scale_window;
  StepScalars start;
  if (impl_->rules.scales_loss) start.loss_scale = precision.loss_scale;
  impl_->scalars = bytes_on(&start, sizeof start, weights.master());
  impl_->find_segments();
  impl_->norm_space = nn::workspace(kernels::sum_of_squares_workspace(weights.elements(), nn::place_of(weights.master())), weights.master());
  for (int i = 0; i < config.states_per_parameter(); ++i) impl_->states.push_back(at::zeros_like(weights.master()));
}
Update::~Update() = default;
Update::Update(Update&&) noexcept = default;

at::Tensor Update::loss_scale() const {
  static_assert(offsetof(StepScalars, loss_scale) % 8 == 0);
  return impl_->scalars.narrow(0, offsetof(StepScalars, loss_scale), 8).view(at::kDouble).squeeze(0);
}

void Update::prepare(int64_t update) {
  kernels::set_learning_rate(impl_->device_scalars(), optim::learning_rate_at(impl_->config, update, impl_->total), impl_->stream());
}

void Update::apply() {
  Impl& u = *impl_;
  const device::Stream stream = u.stream();
  at::Tensor sum = u.scalars.narrow(0, offsetof(StepScalars, sum_of_squares), 8);
  device::set_zero(nn::buffer_of(sum), stream);
  kernels::SumOfSquares squares;
  squares.dtype = nn::dtype_of(u.weights.gradient().scalar_type());
  squares.x = u.weights.gradient().data_ptr();
  squares.count = u.weights.elements();
  squares.out = &u.device_scalars()->sum_of_squares;
  squares.workspace = u.norm_space.data_ptr();
  kernels::sum_of_squares(squares, stream);
  kernels::finish_step(u.device_scalars(), u.rules, stream);
  if (u.config.name == "adamw") {
    kernels::adamw({u.whole(), u.states[0].data_ptr(), u.states[1].data_ptr(), u.config.beta1, u.config.beta2, u.config.epsilon}, stream);
  } else {
    kernels::sgd({u.whole(), u.states[0].data_ptr(), u.config.momentum}, stream);
  }
}

Update::Report Update::read() const {
  const StepScalars s = impl_->read();
  return {s.learning_rate, s.gradient_norm, s.loss_scale, s.skipped_in_row, s.zero_in_row, s.finite != 0};
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
  const StepScalars s = impl_->read();
  return {{"updates", s.updates},   {"loss_scale", s.loss_scale}, {"good_steps", s.good_steps}, {"skipped", s.skipped}, {"skipped_in_row", s.skipped_in_row},
          {"zero_in_row", s.zero_in_row}};
}

void Update::load_values(const nlohmann::json& values) {
  StepScalars s;
  s.updates = values.at("updates").get<int64_t>();
  s.loss_scale = values.at("loss_scale").get<double>();
  s.good_steps = values.at("good_steps").get<int64_t>();
  s.skipped = values.at("skipped").get<int64_t>();
  s.skipped_in_row = values.at("skipped_in_row").get<int64_t>();
  s.zero_in_row = values.at("zero_in_row").get<int64_t>();
  impl_->scalars.copy_(bytes_on(&s, sizeof s, impl_->weights.master()));
}

}  // namespace ocoee::train
