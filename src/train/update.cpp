// SPDX-License-Identifier: Apache-2.0
#include "train/update.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "nn/tensors.h"
#include "optim/optimizer.h"

namespace ocoee::train {

struct Update::Impl {
  std::string model;
  parallel::Engine& engine;
  parallel::WeightStore& weights;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::vector<at::Tensor> states;  // flat, like the masters
  bool norm_is_taken = false;
  bool rounded_states = false;  // in bfloat16

  device::Stream stream() const { return nn::current_stream(nn::place_of(weights.master())); }
};

Update::Update(const std::string& model, parallel::Engine& engine,
               const optim::OptimizerConfig& config, const plan::PrecisionConfig& precision,
               int64_t total)
    : impl_(new Impl{model, engine, engine.weights(), nullptr, {}, false}) {
  parallel::WeightStore& weights = engine.weights();
  optim::OptimizerSetup setup;
  setup.config = config;
  setup.total_updates = total;
  setup.device = nn::place_of(weights.master());
  setup.dtype = nn::dtype_of(weights.precision().master());
  setup.decaying =
      weights.stretches([](const plan::ParameterSpec& parameter) { return parameter.decay; });
  setup.largest_piece = weights.shard_elements();
  setup.loss_scaling.on = precision.compute == "float16";
  setup.loss_scaling.initial = precision.loss_scale;
  setup.loss_scaling.window = precision.loss_scale_window;
  impl_->optimizer = optim::make_optimizer(setup);
  impl_->rounded_states = precision.moments == "bfloat16";
  const auto type = weights.master().options().dtype(
      impl_->rounded_states ? at::kBFloat16 : weights.precision().master());
  for (size_t i = 0; i < impl_->optimizer->state_names().size(); ++i)
    impl_->states.push_back(at::zeros({weights.shard_elements()}, type));
}
Update::~Update() = default;
const std::string& Update::model() const {
  return impl_->model;
}
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

void Update::finish_gradients() {
  parallel::WeightStore& weights = impl_->weights;
  optim::Optimizer& optimizer = *impl_->optimizer;
  const device::Stream stream = impl_->stream();
  optimizer.clear_norm(stream);
  impl_->engine.finish_gradients([&](int64_t begin, int64_t end) {
    for (const at::Tensor& part : weights.gradient_at(begin, end))
      optimizer.add_to_norm(nn::buffer_of(part), 1, stream);
  });
  // What tensor ranks do not split all of them hold, and have taken 1/ranks of it each.
  if (weights.unsplit_gradients().defined())
    optimizer.add_to_norm(nn::buffer_of(weights.unsplit_gradients()),
                          1.0 / impl_->engine.mesh().size(comm::Axis::tensor) - 1, stream);
  impl_->norm_is_taken = true;
}

void Update::apply() {
  OCOEE_CHECK(impl_->norm_is_taken,
              "finish_gradients() of the update, not of the engine, is first");
  impl_->norm_is_taken = false;
  parallel::WeightStore& weights = impl_->weights;
  std::vector<optim::Piece> pieces;
  for (const parallel::WeightStore::Piece& part : weights.pieces(impl_->rounded_states)) {
    optim::Piece& piece = pieces.emplace_back();
    piece.begin = part.begin, piece.id = part.id;
    piece.master = nn::buffer_of(part.master);
    piece.gradient = nn::buffer_of(part.gradient);
    for (const at::Tensor& state : impl_->states)
      piece.states.push_back(nn::buffer_of(state.narrow(0, part.begin, part.master.numel())));
    if (part.value.defined()) piece.value = nn::buffer_of(part.value);
  }
  const device::Stream stream = impl_->stream();
  comm::Mesh& mesh = impl_->engine.mesh();
  const bool stages = mesh.size(comm::Axis::pipeline) > 1;
  const int tensor = mesh.size(comm::Axis::tensor);
  optim::Optimizer& optimizer = *impl_->optimizer;
  // Each parameter lies in one slice of one stage, so the sum over all axes counts it once.
  const device::Buffer sum = optimizer.sum_of_squares();
  if (weights.split()) mesh.shard().all_reduce(sum, comm::Reduce::sum, stream);
  if (tensor > 1) mesh.axis(comm::Axis::tensor).all_reduce(sum, comm::Reduce::sum, stream);
  if (stages) mesh.axis(comm::Axis::pipeline).all_reduce(sum, comm::Reduce::sum, stream);
  optimizer.finish(stream);
  // A block's new values leave while the next block is updated.
  for (const optim::Piece& piece : pieces) {
    optimizer.update(piece, stream);
    weights.start_publishing(piece.begin + piece.master.count);
  }
  impl_->engine.publish();
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
             "optimizer." + impl_->model + "." + names[i] + ".", impl_->states[i])) {
      array.converts = true;
      out.push_back(std::move(array));
    }
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
