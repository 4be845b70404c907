// SPDX-License-Identifier: Apache-2.0
#include "optim/optimizer.h"

#include <cstddef>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "kernels/reduce.h"

namespace ocoee::optim {
namespace {

using kernels::DecaySegment;
using kernels::StepScalars;

// Neighbours become one stretch: fewer borders for the kernel to step over.
std::vector<DecaySegment> joined(const std::vector<std::pair<int64_t, int64_t>>& ranges,
                                 double decay) {
  std::vector<DecaySegment> segments;
  if (decay == 0) return segments;
  for (const auto& [begin, end] : ranges) {
    OCOEE_CHECK(begin <= end && (segments.empty() || segments.back().end <= begin),
                "decaying ranges are sorted and apart");
    if (begin == end) continue;
    if (!segments.empty() && segments.back().end == begin) {
      segments.back().end = end;
    } else {
      segments.push_back({begin, end, decay});
    }
  }
  return segments;
}

void send(const device::Memory& to, const device::Device& device, const void* from, size_t bytes,
          const device::Stream& stream) {
  device::copy(to.data(), device, from, {}, bytes, stream);
  device::synchronize(stream);
}

}  // namespace

Optimizer::Optimizer(const OptimizerSetup& setup)
    : config_(setup.config),
      total_updates_(setup.total_updates),
      device_(setup.device),
      dtype_(setup.dtype),
      loss_scaling_(setup.loss_scaling),
      largest_piece_(setup.largest_piece),
      scalars_(sizeof(StepScalars), device::Memory::Where::device, setup.device) {
  const device::Stream stream{nullptr, device_};
  const std::vector<DecaySegment> segments = joined(setup.decaying, config_.weight_decay);
  segment_count_ = static_cast<int64_t>(segments.size());
  segments_ = device::Memory(std::max<size_t>(1, segments.size()) * sizeof(DecaySegment),
                             device::Memory::Where::device, device_);
  if (!segments.empty())
    send(segments_, device_, segments.data(), segments.size() * sizeof(DecaySegment), stream);
  workspace_ = device::Memory(
      std::max<size_t>(8, kernels::sum_of_squares_workspace(largest_piece_, device_)),
      device::Memory::Where::device, device_);
  StepScalars start;
  start.loss_scale = loss_scaling_.on ? loss_scaling_.initial : 1;
  send(scalars_, device_, &start, sizeof start, stream);
}

kernels::StepRules Optimizer::rules() const {
  kernels::StepRules r;
  r.clip = config_.clip;
  r.scales_loss = loss_scaling_.on;
  r.growth_interval = loss_scaling_.window;
  r.least_scale = loss_scaling_.least;
  r.most_scale = loss_scaling_.most;
  return r;
}

device::Buffer Optimizer::scalar(size_t offset) const {
  return {static_cast<char*>(scalars_.data()) + offset, 1, DType::f64, device_};
}
device::Buffer Optimizer::sum_of_squares() const {
  return scalar(offsetof(StepScalars, sum_of_squares));
}
device::Buffer Optimizer::loss_scale() const {
  return scalar(offsetof(StepScalars, loss_scale));
}

void Optimizer::prepare(int64_t update, const device::Stream& stream) {
  set_learning_rate(learning_rate_at(config_, update, total_updates_), stream);
}

void Optimizer::set_learning_rate(double rate, const device::Stream& stream) {
  kernels::set_learning_rate(scalars(), rate, stream);
}

void Optimizer::clear_norm(const device::Stream& stream) {
  device::set_zero(sum_of_squares(), stream);
}

void Optimizer::add_to_norm(const device::Buffer& gradient, double factor,
                            const device::Stream& stream) {
  OCOEE_CHECK(gradient.count <= largest_piece_, "a piece of {} elements; the workspace is for {}",
              gradient.count, largest_piece_);
  kernels::sum_of_squares({gradient.dtype, gradient.data, gradient.count, factor,
                           &scalars()->sum_of_squares, workspace_.data()},
                          stream);
}

void Optimizer::finish(const device::Stream& stream) {
  kernels::finish_step(scalars(), rules(), stream);
}

void Optimizer::update(const Piece& piece, const device::Stream& stream) {
  const int64_t count = piece.master.count;
  const bool narrow = piece.gradient.dtype == DType::bf16;
  const bool split = piece.master.dtype == DType::i16 && dtype_ == DType::f32;
  OCOEE_CHECK((split || piece.master.dtype == dtype_) &&
                  (narrow || piece.gradient.dtype == dtype_) && piece.gradient.count == count,
              "masters and gradients of one size, and of one type unless gradients are bf16");
  OCOEE_CHECK(piece.states.size() == state_names().size(), "{} states for {}", piece.states.size(),
              config_.name);
  const bool narrow_states = !piece.states.empty() && piece.states[0].dtype == DType::bf16;
  for (const device::Buffer& state : piece.states)
    OCOEE_CHECK(state.dtype == (narrow_states ? DType::bf16 : dtype_) && state.count == count,
                "states like the masters, or all in bf16");
  OCOEE_CHECK(piece.value.data ? piece.value.count == count : !split, "a value for each master");
  kernels::FlatPiece flat;
  flat.dtype = dtype_;
  flat.begin = piece.begin, flat.count = count;
  flat.master = piece.master.data, flat.gradient = piece.gradient.data;
  flat.value = piece.value.data, flat.value_dtype = piece.value.dtype;
  flat.segments = static_cast<const DecaySegment*>(segments_.data()),
  flat.segment_count = segment_count_;
  flat.scalars = scalars();
  flat.bf16_gradient = narrow;
  flat.bf16_states = narrow_states;
  flat.split_masters = split;
  flat.id = piece.id;
  run(flat, piece.states, stream);
}

StepScalars Optimizer::fetch(const device::Stream& stream) const {
  StepScalars s;
  device::copy(&s, {}, scalars_.data(), device_, sizeof s, stream);
  device::synchronize(stream);
  return s;
}

StepReport Optimizer::read(const device::Stream& stream) const {
  const StepScalars s = fetch(stream);
  return {s.learning_rate, s.gradient_norm,  s.loss_scale,  s.updates,
          s.skipped,       s.skipped_in_row, s.zero_in_row, s.finite != 0};
}

nlohmann::json Optimizer::values(const device::Stream& stream) const {
  const StepScalars s = fetch(stream);
  return {
      {"updates", s.updates}, {"loss_scale", s.loss_scale},         {"good_steps", s.good_steps},
      {"skipped", s.skipped}, {"skipped_in_row", s.skipped_in_row}, {"zero_in_row", s.zero_in_row}};
}

void Optimizer::load_values(const nlohmann::json& values, const device::Stream& stream) {
  StepScalars s = fetch(stream);
  const auto take = [&](const char* name, auto& to) {
    if (!values.contains(name) || !values[name].is_number())
      fail(ErrorKind::file,
           "the checkpoint holds no number '{}' for its optimizer: it was written by another "
           "version, or is damaged",
           name);
    to = values[name].get<std::remove_reference_t<decltype(to)>>();
  };
  take("updates", s.updates);
  take("loss_scale", s.loss_scale);
  take("good_steps", s.good_steps);
  take("skipped", s.skipped);
  take("skipped_in_row", s.skipped_in_row);
  take("zero_in_row", s.zero_in_row);
  if (!loss_scaling_.on)
    s.loss_scale = 1, s.good_steps = s.skipped_in_row = 0;  // continued in another precision
  if (loss_scaling_.on && s.loss_scale == 1) s.loss_scale = loss_scaling_.initial;
  s.finite = 1;
  send(scalars_, device_, &s, sizeof s, stream);
}

}  // namespace ocoee::optim
