// SPDX-License-Identifier: Apache-2.0
#include "parallel/weight_store.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "core/text.h"
#include "kernels/parallel_for.h"
#include "kernels/split_master.h"
#include "parallel/storage.h"
#include "parallel/tensor_memory.h"
#include "run/box_runs.h"

namespace ocoee::parallel {
namespace {

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
                         Shard level, comm::Communicator* group, comm::Communicator* twins)
    : precision_(precision),
      device_(device),
      level_(group && group->size() > 1 ? level : Shard::none),
      group_(group),
      twins_(split() && twins && twins->size() > 1 ? twins : nullptr),
      layout_(model, split() ? group->size() : 1, split() ? group->rank() : 0) {
  OCOEE_CHECK(!precision.split_masters || precision.compute == at::kBFloat16,
              "masters are split below values in bfloat16");
  for (const plan::ParameterSpec* parameter : layout_.borrowed())
    borrowed_.push_back({parameter->tied_to, parameter->shape, {}, {}});
  allocate();
}

void WeightStore::allocate() {
  count_tensor_memory();  // from the first weight on
  const auto options = at::TensorOptions().device(device_);
  const auto wide = options.dtype(precision_.kept_master()),
             narrow = options.dtype(precision_.compute),
             of_gradients = options.dtype(precision_.gradient());
  master_ = at::zeros({shard_elements()}, wide);
  if (level_ == Shard::parameters) {
    if (precision_.has_master_copy()) shard_value_ = at::zeros({shard_elements()}, narrow);
    for (const Unit& unit : units()) unit_values_.push_back(absent_tensor(unit.elements(), narrow));
    gathers_.resize(units().size());
  } else {
    const bool apart = split() || precision_.has_master_copy();
    value_ = apart ? at::zeros({elements()}, narrow) : master_;
  }
  if (level_ == Shard::none || level_ == Shard::states) {
    gradient_ = at::zeros({elements()}, of_gradients);
  } else {
    for (const Unit& unit : units())
      unit_gradients_.push_back(absent_tensor(unit.elements(), of_gradients));
  }
  if (level_ == Shard::gradients || level_ == Shard::parameters)
    shard_gradient_ = at::zeros({shard_elements()}, of_gradients);
  for (Borrowed& one : borrowed_) {
    one.value = at::zeros(one.shape, narrow);
    one.gradient = at::zeros(one.shape, of_gradients);
  }
}

bool WeightStore::values_in_place() const {
  return precision_.has_master_copy() && (level_ == Shard::states || level_ == Shard::gradients);
}

std::vector<WeightStore::Piece> WeightStore::pieces(bool by_unit) const {
  if (!split())
    return {{0, master_, gradient_, precision_.has_master_copy() ? value_ : at::Tensor()}};
  if (level_ != Shard::states && !values_in_place() && !by_unit)
    return {{0, master_, shard_gradient_, shard_value_}};
  std::vector<Piece> out;
  for (size_t u = 0; u < units().size(); ++u) {
    const Unit& unit = units()[u];
    if (unit.elements() == 0) continue;
    const at::Tensor value = values_in_place()        ? own_part(value_, u)
                             : shard_value_.defined() ? slice_of(shard_value_, u)
                                                      : at::Tensor();
    const int64_t before = layout_.which() * (unit.elements() / layout_.ways());
    out.push_back({unit.shard_begin, slice_of(master_, u), gradient_slice(u), value,
                   unit.unsplit_begin + before});
  }
  return out;
}

void WeightStore::initialize(uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const Slot& slot : layout_.slots()) {
    const plan::ParameterSpec& spec = *slot.spec;
    const WeightLayout::Held held = layout_.held_of(slot);
    if (held.begin >= held.end) continue;
    const at::Tensor drawn = at::zeros({held.end - held.begin}, at::kFloat);
    if (spec.init == plan::Init::zeros || spec.init == plan::Init::ones) {
      set_masters(held.shard_offset, spec.init == plan::Init::ones ? drawn.fill_(1) : drawn);
      continue;
    }
    const PhiloxKey key = random_key(seed ^ hash64(spec.name), Purpose::initialization, 0);
    float* out = drawn.data_ptr<float>();
    const auto draw = spec.init == plan::Init::normal ? draw_normal : draw_uniform;
    for (const WeightLayout::LocalBox& local : WeightLayout::local_boxes(spec, held)) {
      run::for_each_run(whole_box(spec), local.box, [&](int64_t from, int64_t to, int64_t count) {
        float* target_run = out + local.offset + to;
        kernels::parallel_for(count, 1 << 14, [&](int64_t first, int64_t last) {
          draw(target_run + first, from + first, from + last, key, spec.scale);
        });
      });
    }
    set_masters(held.shard_offset, drawn);
  }
  refresh_values();
}

void WeightStore::refresh_values() {
  const at::NoGradGuard no_grad;
  if (!precision_.has_master_copy() || precision_.split_masters) return;
  for (Piece& piece : pieces()) piece.value.copy_(piece.master);
}

nn::Weights WeightStore::weights_of(size_t block, size_t layer, bool with_gradient) const {
  const LayerRange& range = range_of(block, layer);
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
  const int64_t first = range.begin - units()[unit].begin, count = range.end - range.begin;
  weights.value = values_of(unit).narrow(0, first, count);
  if (with_gradient) weights.gradient = gradients_of(unit).narrow(0, first, count);
  return weights;
}

at::Tensor WeightStore::parameter(const std::string& name) const {
  OCOEE_CHECK(!split() && !precision_.split_masters, "'{}' is split", name);
  const Slot& found = slot(name);
  return master_.narrow(0, found.offset, found.elements).view(found.spec->shape);
}

at::Tensor WeightStore::parameter_gradient(const std::string& name) const {
  OCOEE_CHECK(!split(), "'{}' is split over ranks", name);
  const Slot& found = slot(name);
  return gradient_.narrow(0, found.offset, found.elements).view(found.spec->shape);
}

namespace {

void attach(run::Piece& piece, const at::Tensor& view) {
  piece.save = [view](void* host) {
    at::from_blob(host, view.sizes(), view.options().device(at::kCPU)).copy_(view);
  };
  piece.load = [view](const void* host) {
    const at::NoGradGuard no_grad;
    at::Tensor target = view;
    target.copy_(
        at::from_blob(const_cast<void*>(host), view.sizes(), view.options().device(at::kCPU)));
  };
}

// Float32 on the host, halves on the device. A stretch at a time: what waits on the host beside the
// piece itself is small.
template <class F>
void for_each_stretch(const at::Tensor& value, const at::Tensor& rest, const F& f) {
  constexpr int64_t kStretch = 1 << 20;
  for (int64_t first = 0; first < value.numel(); first += kStretch) {
    const int64_t count = std::min(kStretch, value.numel() - first);
    f(first, value.narrow(0, first, count), rest.narrow(0, first, count));
  }
}

void attach_split(run::Piece& piece, const at::Tensor& value, const at::Tensor& rest) {
  piece.save = [=](void* host) {
    for_each_stretch(value, rest, [&](int64_t begin, const at::Tensor& v, const at::Tensor& r) {
      const at::Tensor values = v.cpu(), rests = r.cpu();
      const auto* upper = static_cast<const kernels::BFloat16*>(values.data_ptr());
      const auto* lower = static_cast<const kernels::LowerHalf*>(rests.data_ptr());
      float* masters = static_cast<float*>(host) + begin;
      kernels::parallel_for(v.numel(), 1 << 16, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) masters[i] = kernels::joined(upper[i], lower[i]);
      });
    });
  };
  piece.load = [=](const void* host) {
    const at::NoGradGuard no_grad;
    const auto on_host = [](const at::Tensor& t) {
      return t.is_cpu() ? t : at::empty_like(t, at::kCPU);
    };
    for_each_stretch(value, rest, [&](int64_t begin, const at::Tensor& v, const at::Tensor& r) {
      const at::Tensor values = on_host(v), rests = on_host(r);
      auto* upper = static_cast<kernels::BFloat16*>(values.data_ptr());
      auto* lower = static_cast<kernels::LowerHalf*>(rests.data_ptr());
      const float* masters = static_cast<const float*>(host) + begin;
      kernels::parallel_for(v.numel(), 1 << 16, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
          const kernels::SplitMaster master = kernels::split(masters[i]);
          upper[i] = master.value, lower[i] = master.rest;
        }
      });
      if (v.is_cpu()) return;
      at::Tensor(v).copy_(values);
      at::Tensor(r).copy_(rests);
    });
  };
}

// attach_piece(piece, begin, end): its stretch of the shard space.
template <class Attach>
std::vector<run::StateArray> arrays_of(const WeightLayout& layout, const std::string& prefix,
                                       DType dtype, const Attach& attach_piece) {
  std::vector<run::StateArray> out;
  for (WeightLayout::Array& one : layout.arrays(prefix, dtype)) {
    for (size_t p = 0; p < one.array.pieces.size(); ++p) {
      run::Piece& piece = one.array.pieces[p];
      attach_piece(piece, one.shard_offset[p], one.shard_offset[p] + piece.box.elements());
    }
    out.push_back(std::move(one.array));
  }
  return out;
}

}  // namespace

run::StateArray whole_array(const std::string& name, const at::Tensor& values) {
  run::StateArray array;
  array.name = name;
  array.shape = values.sizes().vec();
  array.dtype = dtype_of(values.scalar_type());
  run::Piece& piece = array.pieces.emplace_back();
  piece.box = {std::vector<int64_t>(array.shape.size(), 0), array.shape};
  attach(piece, values);
  return array;
}

std::vector<run::StateArray> WeightStore::arrays(const std::string& prefix,
                                                 const at::Tensor& flat) const {
  return arrays_of(layout_, prefix, dtype_of(flat.scalar_type()),
                   [&](run::Piece& piece, int64_t begin, int64_t end) {
                     attach(piece, flat.narrow(0, begin, end - begin));
                   });
}

std::vector<run::StateArray> WeightStore::master_arrays(const std::string& prefix) const {
  if (!precision_.split_masters) return arrays(prefix, master_);
  return arrays_of(layout_, prefix, dtype_of(precision_.master()),
                   [&](run::Piece& piece, int64_t begin, int64_t end) {
                     attach_split(piece, value_at(begin, end),
                                  master_.narrow(0, begin, end - begin));
                   });
}

std::vector<run::StateArray> WeightStore::gradient_arrays(const std::string& prefix) const {
  return arrays_of(layout_, prefix, dtype_of(precision_.gradient()),
                   [&](run::Piece& piece, int64_t begin, int64_t end) {
                     attach(piece, gradient_at(begin, end).at(0));
                   });
}

at::Tensor WeightStore::value_at(int64_t begin, int64_t end) const {
  if (!values_in_place()) return (split() ? shard_value_ : value_).narrow(0, begin, end - begin);
  size_t u = 0;
  while (begin >= units()[u].shard_begin + units()[u].elements() / layout_.ways()) ++u;
  return own_part(value_, u).narrow(0, begin - units()[u].shard_begin, end - begin);
}

void WeightStore::set_masters(int64_t begin, const at::Tensor& host) {
  const at::Tensor target = master_.narrow(0, begin, host.numel());
  if (!precision_.split_masters) {
    at::Tensor(target).copy_(host);
    return;
  }
  run::Piece piece;
  attach_split(piece, value_at(begin, begin + host.numel()), target);
  piece.load(host.data_ptr());
}

}  // namespace ocoee::parallel
