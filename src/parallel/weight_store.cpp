// SPDX-License-Identifier: Apache-2.0
#include "parallel/weight_store.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "core/text.h"
#include "parallel/storage.h"
#include "run/box_runs.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kAlignment = 64;  // elements; keeps every layer on a 128-byte line in any type

// Four elements share one Philox block, so any box of a parameter can be drawn by itself.
void draw_normal(float* out, int64_t first, int64_t last, PhiloxKey key, double scale) {
  for (int64_t block = first / 4; block * 4 < last; ++block) {
    const PhiloxCounter bits = random_bits(key, static_cast<uint64_t>(block), 0);
    for (int pair = 0; pair < 2; ++pair) {
      const double u = (bits.v[2 * pair] + 0.5) * 0x1p-32,
                   angle = 6.283185307179586 * (bits.v[2 * pair + 1] * 0x1p-32);
      const double radius = std::sqrt(-2.0 * std::log(u)) * scale;
      const double values[2] = {radius * std::cos(angle), radius * std::sin(angle)};
      for (int i = 0; i < 2; ++i) {
        const int64_t index = block * 4 + pair * 2 + i;
        if (index >= first && index < last) out[index - first] = static_cast<float>(values[i]);
      }
    }
  }
}

void draw_uniform(float* out, int64_t first, int64_t last, PhiloxKey key, double scale) {
  for (int64_t block = first / 4; block * 4 < last; ++block) {
    const PhiloxCounter bits = random_bits(key, static_cast<uint64_t>(block), 0);
    for (int i = 0; i < 4; ++i) {
      const int64_t index = block * 4 + i;
      if (index >= first && index < last)
        out[index - first] = static_cast<float>((2.0 * (bits.v[i] * 0x1p-32) - 1.0) * scale);
    }
  }
}

run::Box whole_box(const plan::ParameterSpec& spec) {
  return {std::vector<int64_t>(spec.whole_shape().size(), 0), spec.whole_shape()};
}

}  // namespace

WeightStore::WeightStore(const plan::ModelSpec& model, Precision precision, c10::Device device,
                         Shard level, comm::Communicator* group)
    : precision_(precision),
      device_(device),
      level_(group && group->size() > 1 ? level : Shard::none),
      group_(group) {
  if (split()) ways_ = group->size(), which_ = group->rank();
  lay_out(model);
  allocate();
}

void WeightStore::lay_out(const plan::ModelSpec& model) {
  for (size_t b = 0; b < model.blocks.size(); ++b) {
    auto& ranges = ranges_.emplace_back();
    Unit unit;
    unit.begin = elements_;
    for (const plan::LayerSpec& layer : model.blocks[b].layers) {
      LayerRange range;
      if (!layer.parameters.empty() && !layer.parameters[0].tied_to.empty()) {
        OCOEE_CHECK(layer.parameters.size() == 1, "{}: a tied layer has one parameter", layer.name);
        const plan::ParameterSpec& parameter = layer.parameters[0];
        range.tied = true;
        const auto lender = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
          return slot.spec->name == parameter.tied_to;
        });
        if (lender != slots_.end()) {
          range.begin = lender->offset, range.end = lender->offset + lender->elements;
          range.lender = static_cast<int>(lender->unit);
        } else {
          range.borrowed = parameter.tied_to;
          borrowed_.push_back({parameter.tied_to, parameter.shape, {}, {}});
        }
      } else {
        range.begin = elements_;
        for (const plan::ParameterSpec& parameter : layer.parameters) {
          slots_.push_back({&parameter, elements_, parameter.elements(), b});
          elements_ += parameter.elements();
        }
        range.end = elements_;
        elements_ = (elements_ + kAlignment - 1) / kAlignment * kAlignment;
      }
      ranges.push_back(range);
    }
    const int64_t step = kAlignment * ways_;
    elements_ = unit.begin + (elements_ - unit.begin + step - 1) / step * step;
    unit.end = elements_;
    unit.shard_begin = unit.begin / ways_;
    units_.push_back(unit);
  }
}

void WeightStore::allocate() {
  const auto options = at::TensorOptions().device(device_);
  const auto wide = options.dtype(precision_.master()), narrow = options.dtype(precision_.compute);
  master_ = at::zeros({shard_elements()}, wide);
  if (split() && precision_.has_master_copy()) shard_value_ = at::zeros({shard_elements()}, narrow);
  if (level_ == Shard::parameters) {
    for (const Unit& unit : units_) unit_values_.push_back(absent_tensor(unit.elements(), narrow));
    gathers_.resize(units_.size());
  } else {
    const bool apart = split() || precision_.has_master_copy();
    value_ = apart ? at::zeros({elements_}, narrow) : master_;
  }
  if (level_ == Shard::none || level_ == Shard::states) {
    gradient_ = at::zeros({elements_}, wide);
  } else {
    for (const Unit& unit : units_) unit_gradients_.push_back(absent_tensor(unit.elements(), wide));
  }
  if (split()) shard_gradient_ = at::zeros({shard_elements()}, wide);
  for (Borrowed& one : borrowed_) {
    one.value = at::zeros(one.shape, narrow);
    one.gradient = at::zeros(one.shape, wide);
  }
}

at::Tensor WeightStore::shard_value() const {
  if (split()) return shard_value_;
  return precision_.has_master_copy() ? value_ : at::Tensor();
}

WeightStore::Held WeightStore::held_of(const Slot& slot) const {
  const Unit& unit = units_[slot.unit];
  const int64_t length = unit.elements() / ways_, first = unit.begin + which_ * length;
  const int64_t begin = std::max(slot.offset, first),
                end = std::min(slot.offset + slot.elements, first + length);
  return {begin - slot.offset, std::max(begin, end) - slot.offset,
          unit.shard_begin + begin - first};
}

std::vector<WeightStore::LocalBox> WeightStore::local_boxes(const plan::ParameterSpec& spec,
                                                            const Held& held) {
  std::vector<LocalBox> out;
  int64_t offset = 0;
  for (run::Box& box : boxes_of_range(spec.shape, held.begin, held.end)) {
    const int64_t elements = box.elements();
    if (!spec.whole.empty()) {
      const auto dim = static_cast<size_t>(spec.tensor_dim);
      box.offset[dim] += spec.first;
      box.size[dim] = std::min(box.size[dim], spec.whole[dim] - box.offset[dim]);
    }
    if (elements > 0 && *std::min_element(box.size.begin(), box.size.end()) > 0)
      out.push_back({std::move(box), offset});
    offset += elements;
  }
  return out;
}

void WeightStore::initialize(uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const Slot& slot : slots_) {
    const plan::ParameterSpec& spec = *slot.spec;
    const Held held = held_of(slot);
    if (held.begin >= held.end) continue;
    at::Tensor target = master_.narrow(0, held.shard_offset, held.end - held.begin);
    if (spec.init == plan::Init::zeros || spec.init == plan::Init::ones) {
      target.fill_(spec.init == plan::Init::ones ? 1.0 : 0.0);
      continue;
    }
    const PhiloxKey key = random_key(seed ^ hash64(spec.name), Purpose::initialization, 0);
    const at::Tensor drawn = at::zeros({held.end - held.begin}, at::kFloat);
    float* out = drawn.data_ptr<float>();
    const auto draw = spec.init == plan::Init::normal ? draw_normal : draw_uniform;
    for (const LocalBox& local : local_boxes(spec, held)) {
      run::for_each_run(whole_box(spec), local.box, [&](int64_t from, int64_t to, int64_t count) {
        float* target_run = out + local.offset + to;
        at::parallel_for(0, count, 1 << 14, [&](int64_t first, int64_t last) {
          draw(target_run + first, from + first, from + last, key, spec.scale);
        });
      });
    }
    target.copy_(drawn);
  }
  refresh_values();
}

void WeightStore::refresh_values() {
  const at::NoGradGuard no_grad;
  if (!precision_.has_master_copy()) return;
  (split() ? shard_value_ : value_).copy_(master_);
}

nn::Weights WeightStore::weights_of(size_t block, size_t layer, bool with_gradient) const {
  const LayerRange& range = ranges_[block][layer];
  nn::Weights weights;
  if (!range.borrowed.empty()) {
    for (const Borrowed& one : borrowed_) {
      if (one.name != range.borrowed) continue;
      weights.value = one.value.view(-1);
      if (with_gradient) weights.gradient = one.gradient.view(-1);
    }
    return weights;
  }
  const size_t unit = range.lender >= 0 ? static_cast<size_t>(range.lender) : block;
  const int64_t first = range.begin - units_[unit].begin, count = range.end - range.begin;
  weights.value = values_of(unit).narrow(0, first, count);
  if (with_gradient) weights.gradient = gradients_of(unit).narrow(0, first, count);
  return weights;
}

const Slot& WeightStore::slot(const std::string& name) const {
  for (const Slot& candidate : slots_) {
    if (candidate.spec->name == name) return candidate;
  }
  fail(ErrorKind::internal, "no parameter '{}'", name);
}

at::Tensor WeightStore::parameter(const std::string& name) const {
  OCOEE_CHECK(!split(), "'{}' is split over ranks", name);
  const Slot& found = slot(name);
  return master_.narrow(0, found.offset, found.elements).view(found.spec->shape);
}

at::Tensor WeightStore::parameter_gradient(const std::string& name) const {
  OCOEE_CHECK(!split(), "'{}' is split over ranks", name);
  const Slot& found = slot(name);
  return gradient_.narrow(0, found.offset, found.elements).view(found.spec->shape);
}

std::vector<run::StateArray> WeightStore::arrays(const std::string& prefix,
                                                 const at::Tensor& flat) const {
  std::vector<run::StateArray> out;
  for (const Slot& slot : slots_) {
    const Held held = held_of(slot);
    if (held.begin >= held.end) continue;
    run::StateArray& array = out.emplace_back();
    array.name = prefix + slot.spec->name;
    array.shape = slot.spec->whole_shape();
    array.dtype = dtype_of(flat.scalar_type());
    for (LocalBox& local : local_boxes(*slot.spec, held)) {
      const at::Tensor view =
          flat.narrow(0, held.shard_offset + local.offset, local.box.elements());
      run::Piece piece;
      piece.box = std::move(local.box);
      piece.save = [view](void* host) {
        at::from_blob(host, view.sizes(), view.options().device(at::kCPU)).copy_(view);
      };
      piece.load = [view](const void* host) {
        const at::NoGradGuard no_grad;
        at::Tensor target = view;
        target.copy_(
            at::from_blob(const_cast<void*>(host), view.sizes(), view.options().device(at::kCPU)));
      };
      array.pieces.push_back(std::move(piece));
    }
    if (array.pieces.empty()) out.pop_back();  // nothing but padding
  }
  return out;
}

}  // namespace ocoee::parallel
