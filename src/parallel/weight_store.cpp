// SPDX-License-Identifier: Apache-2.0
#include "parallel/weight_store.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "core/text.h"

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
        if (index >= first && index < last) out[index] = static_cast<float>(values[i]);
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
        out[index] = static_cast<float>((2.0 * (bits.v[i] * 0x1p-32) - 1.0) * scale);
    }
  }
}

}  // namespace

WeightStore::WeightStore(const plan::ModelSpec& model, Precision precision, c10::Device device)
    : precision_(precision), device_(device) {
  for (const plan::BlockSpec& block : model.blocks) {
    auto& ranges = ranges_.emplace_back();
    for (const plan::LayerSpec& layer : block.layers) {
      LayerRange range;
      if (!layer.parameters.empty() && !layer.parameters[0].tied_to.empty()) {
        OCOEE_CHECK(layer.parameters.size() == 1, "{}: a tied layer has one parameter", layer.name);
        const Slot& lender = slot(layer.parameters[0].tied_to);
        range = {lender.offset, lender.offset + lender.elements, true};
      } else {
        range.begin = elements_;
        for (const plan::ParameterSpec& parameter : layer.parameters) {
          slots_.push_back({&parameter, elements_, parameter.elements()});
          elements_ += parameter.elements();
        }
        range.end = elements_;
        elements_ = (elements_ + kAlignment - 1) / kAlignment * kAlignment;
      }
      ranges.push_back(range);
    }
  }
  const auto options = at::TensorOptions().device(device_);
  master_ = at::zeros({elements_}, options.dtype(precision_.master()));
  value_ = precision_.has_master_copy() ? at::zeros({elements_}, options.dtype(precision_.compute))
                                        : master_;
  gradient_ = at::zeros({elements_}, options.dtype(precision_.master()));
}

void WeightStore::initialize(uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (const Slot& slot : slots_) {
    const plan::ParameterSpec& spec = *slot.spec;
    at::Tensor target = master_.narrow(0, slot.offset, slot.elements);
    if (spec.init == plan::Init::zeros || spec.init == plan::Init::ones) {
      target.fill_(spec.init == plan::Init::ones ? 1.0 : 0.0);
      continue;
    }
    const PhiloxKey key = random_key(seed ^ hash64(spec.name), Purpose::initialization, 0);
    const at::Tensor drawn = at::empty({slot.elements}, at::kFloat);
    float* out = drawn.data_ptr<float>();
    at::parallel_for(0, slot.elements, 1 << 14, [&](int64_t first, int64_t last) {
      (spec.init == plan::Init::normal ? draw_normal : draw_uniform)(out, first, last, key,
                                                                     spec.scale);
    });
    target.copy_(drawn);
  }
  refresh_values();
}

void WeightStore::refresh_values() {
  const at::NoGradGuard no_grad;
  if (precision_.has_master_copy()) value_.copy_(master_);
}

nn::Weights WeightStore::weights_of(size_t block, size_t layer, bool with_gradient) const {
  const LayerRange& range = ranges_[block][layer];
  nn::Weights weights;
  weights.value = value_.narrow(0, range.begin, range.end - range.begin);
  if (with_gradient) weights.gradient = gradient_.narrow(0, range.begin, range.end - range.begin);
  return weights;
}

const Slot& WeightStore::slot(const std::string& name) const {
  for (const Slot& candidate : slots_) {
    if (candidate.spec->name == name) return candidate;
  }
  fail(ErrorKind::internal, "no parameter '{}'", name);
}

at::Tensor WeightStore::parameter(const std::string& name) const {
  const Slot& found = slot(name);
  return master_.narrow(0, found.offset, found.elements).view(found.spec->shape);
}

at::Tensor WeightStore::parameter_gradient(const std::string& name) const {
  const Slot& found = slot(name);
  return gradient_.narrow(0, found.offset, found.elements).view(found.spec->shape);
}

std::vector<run::StateArray> WeightStore::arrays(const std::string& prefix,
                                                 const at::Tensor& flat) const {
  std::vector<run::StateArray> out;
  for (const Slot& slot : slots_) {
    const at::Tensor view = flat.narrow(0, slot.offset, slot.elements);
    run::StateArray& array = out.emplace_back();
    array.name = prefix + slot.spec->name;
    array.shape = slot.spec->shape;
    array.dtype = dtype_of(flat.scalar_type());
    run::Piece piece;
    piece.box.offset.assign(array.shape.size(), 0);
    piece.box.size = array.shape;
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
  return out;
}

}  // namespace ocoee::parallel
