// SPDX-License-Identifier: Apache-2.0
#include "train/update.h"

#include <nlohmann/json.hpp>

#include "nn/tensors.h"
#include "optim/optimizer.h"

namespace ocoee::train {
namespace {

// Neighbouring parameters that decay become one stretch of the flat space.
std::vector<std::pair<int64_t, int64_t>> decaying_stretches(const parallel::WeightStore& weights) {
  std::vector<std::pair<int64_t, int64_t>> out;
  for (const parallel::Slot& slot : weights.slots()) {
    if (!slot.spec->decay) continue;
    if (!out.empty() && out.back().second == slot.offset)
      out.back().second += slot.elements;
    else
      out.emplace_back(slot.offset, slot.offset + slot.elements);
  }
  return out;
}

}  // namespace

struct Update::Impl {
  std::string model;
  parallel::WeightStore& weights;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::vector<at::Tensor> states;  // flat, like the masters

  device::Stream stream() const { return nn::current_stream(nn::place_of(weights.master())); }
};

Update::Update(const std::string& model, parallel::WeightStore& weights,
               const optim::OptimizerConfig& config, const plan::PrecisionConfig& precision,
               int64_t total)
    : impl_(new Impl{model, weights, nullptr, {}}) {
  optim::OptimizerSetup setup;
  setup.config = config;
  setup.total_updates = total;
  setup.device = nn::place_of(weights.master());
  setup.dtype = nn::dtype_of(weights.master().scalar_type());
  setup.decaying = decaying_stretches(weights);
  setup.largest_piece = weights.elements();
  setup.loss_scaling.on = precision.compute == "float16";
  setup.loss_scaling.initial = precision.loss_scale;
  setup.loss_scaling.window = precision.loss_scale_window;
  impl_->optimizer = optim::make_optimizer(setup);
  for (size_t i = 0; i < impl_->optimizer->state_names().size(); ++i)
    impl_->states.push_back(at::zeros_like(weights.master()));
}
Update::~Update() = default;
Update::Update(Update&&) noexcept = default;

at::Tensor Update::loss_scale() const {
  const device::Buffer scale = impl_->optimizer->loss_scale();
  return at::from_blob(
      scale.data, {},
      at::TensorOptions().dtype(at::kDouble).device(impl_->weights.master().device()));
}

void Update::prepare(int64_t update) {
  impl_->optimizer->prepare(update, impl_->stream());
}

void Update::apply() {
  parallel::WeightStore& weights = impl_->weights;
  optim::Piece piece;
  piece.master = nn::buffer_of(weights.master());
  piece.gradient = nn::buffer_of(weights.gradient());
  for (const at::Tensor& state : impl_->states) piece.states.push_back(nn::buffer_of(state));
  if (weights.value().data_ptr() != weights.master().data_ptr())
    piece.value = nn::buffer_of(weights.value());
  impl_->optimizer->step(piece, impl_->stream());
}

Update::Report Update::read() const {
  const optim::StepReport r = impl_->optimizer->read(impl_->stream());
  return {r.learning_rate,  r.gradient_norm,         r.loss_scale,
          r.skipped_in_row, r.zero_gradients_in_row, r.finite};
}

std::vector<run::StateArray> Update::arrays() const {
  std::vector<run::StateArray> out;
  const auto names = impl_->optimizer->state_names();
  for (size_t i = 0; i < names.size(); ++i) {
    for (run::StateArray& array : impl_->weights.arrays(
             "optimizer." + impl_->model + "." + names[i] + ".", impl_->states[i]))
      out.push_back(std::move(array));
  }
  return out;
}

nlohmann::json Update::values() const {
  return impl_->optimizer->values(impl_->stream());
}
void Update::load_values(const nlohmann::json& values) {
  impl_->optimizer->load_values(values, impl_->stream());
}

}  // namespace ocoee::train
