// SPDX-License-Identifier: Apache-2.0
#include "parallel/weight_layout.h"

#include <algorithm>

#include "core/error.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kAlignment = 64;  // elements; keeps every layer on a 128-byte line in any type

}  // namespace

WeightLayout::WeightLayout(const plan::ModelSpec& model, int64_t ways, int64_t which)
    : ways_(ways), which_(which) {
  int64_t unsplit = 0;
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
          borrowed_.push_back(&parameter);
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
    unit.unsplit_begin = unsplit;
    unsplit += elements_ - unit.begin;
    const int64_t step = kAlignment * ways_;
    elements_ = unit.begin + (elements_ - unit.begin + step - 1) / step * step;
    unit.end = elements_;
    unit.shard_begin = unit.begin / ways_;
    units_.push_back(unit);
  }
}

const Slot& WeightLayout::slot(const std::string& name) const {
  for (const Slot& candidate : slots_) {
    if (candidate.spec->name == name) return candidate;
  }
  fail(ErrorKind::internal, "no parameter '{}'", name);
}

WeightLayout::Held WeightLayout::held_of(const Slot& slot) const {
  const Unit& unit = units_[slot.unit];
  const int64_t length = unit.elements() / ways_, first = unit.begin + which_ * length;
  const int64_t begin = std::max(slot.offset, first),
                end = std::min(slot.offset + slot.elements, first + length);
  return {begin - slot.offset, std::max(begin, end) - slot.offset,
          unit.shard_begin + begin - first};
}

std::vector<WeightLayout::LocalBox> WeightLayout::local_boxes(const plan::ParameterSpec& spec,
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

std::vector<WeightLayout::Array> WeightLayout::arrays(const std::string& prefix,
                                                      DType dtype) const {
  std::vector<Array> out;
  for (const Slot& slot : slots_) {
    const Held held = held_of(slot);
    if (held.begin >= held.end) continue;
    Array& one = out.emplace_back();
    one.array.name = prefix + slot.spec->name;
    one.array.shape = slot.spec->whole_shape();
    one.array.dtype = dtype;
    for (LocalBox& local : local_boxes(*slot.spec, held)) {
      one.shard_offset.push_back(held.shard_offset + local.offset);
      one.array.pieces.push_back({std::move(local.box), {}, {}});
    }
    if (one.array.pieces.empty()) out.pop_back();  // nothing but padding
  }
  return out;
}

}  // namespace ocoee::parallel
