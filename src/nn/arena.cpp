// SPDX-License-Identifier: Apache-2.0
#include "nn/arena.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "nn/layer.h"

namespace ocoee::nn {
namespace {

bool has_place(const Context& context, const std::string& name) {
  return context.arena && context.arena->has(name);
}

}  // namespace

Arena::Arena(const plan::ArenaPlan& plan, const c10::Device& device) : plan_(plan) {
  for (size_t part = 0; part < parts_.size(); ++part) {
    if (plan.bytes[part] > 0)
      parts_[part] =
          at::empty({plan.bytes[part]}, at::TensorOptions().dtype(at::kByte).device(device));
  }
}

at::Tensor Arena::take(const std::string& name, at::IntArrayRef sizes,
                       const at::TensorOptions& options) const {
  const plan::ArenaPlan::Place* place = plan_.find(name);
  OCOEE_CHECK(place, "no place for '{}' is planned", name);
  const auto width = static_cast<int64_t>(options.dtype().itemsize());
  const int64_t bytes = c10::multiply_integers(sizes) * width;
  OCOEE_CHECK(bytes == place->bytes, "'{}' has {} bytes, and {} are planned", name, bytes,
              place->bytes);
  at::Tensor array = at::empty({0}, options);
  if (bytes == 0) return array.view(sizes);
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * sizes[d];
  return array.set_(parts_[place->part].storage(), place->offset / width, sizes, strides);
}

at::Tensor keep(const Context& context, const std::string& name, at::IntArrayRef sizes,
                const at::TensorOptions& options) {
  return has_place(context, name) ? context.arena->take(name, sizes, options)
                                  : at::empty(sizes, options);
}

at::Tensor output(const Context& context, at::IntArrayRef sizes, const at::TensorOptions& options) {
  return keep(context, plan::ArenaPlan::kOutput, sizes, options);
}

at::Tensor keep(const Context& context, const std::string& name, const at::Tensor& made) {
  if (!has_place(context, name)) return made;
  return context.arena->take(name, made.sizes(), made.options()).copy_(made);
}

}  // namespace ocoee::nn
