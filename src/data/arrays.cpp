// SPDX-License-Identifier: Apache-2.0
#include "data/arrays.h"

#include <cmath>
#include <cstring>
#include <numbers>

#include "core/error.h"
#include "core/random.h"

namespace ocoee::data {
namespace {

size_t bytes_of(const FieldSpec& field) {
  return static_cast<size_t>(field.elements()) * size_of(field.dtype);
}

}  // namespace

ArraySource::ArraySource(std::vector<FieldSpec> fields, std::vector<std::vector<std::byte>> values,
                         int64_t size)
    : fields_(std::move(fields)), values_(std::move(values)), size_(size) {
  OCOEE_CHECK(size_ > 0 && values_.size() == fields_.size());
  for (size_t i = 0; i < fields_.size(); ++i) {
    OCOEE_CHECK(values_[i].size() == static_cast<size_t>(size_) * bytes_of(fields_[i]),
                "field {}: {} bytes for {} rows", fields_[i].name, values_[i].size(), size_);
  }
}

void ArraySource::fill(int64_t position, const std::vector<void*>& rows) const {
  const auto row = static_cast<size_t>(position % size_);
  for (size_t i = 0; i < fields_.size(); ++i) {
    const size_t bytes = bytes_of(fields_[i]);
    std::memcpy(rows[i], values_[i].data() + row * bytes, bytes);
  }
}

FunctionSource gaussian_ring(const GaussianRing& ring) {
  OCOEE_CHECK(ring.modes > 0 && ring.latent > 0);
  std::vector<FieldSpec> fields = {{"points", DType::f32, {2}},
                                   {"noise", DType::f32, {ring.latent}}};
  return {
      std::move(fields), [ring](int64_t position, const std::vector<void*>& rows) {
        RandomStream random(ring.seed, Purpose::noise, 0, static_cast<uint64_t>(position));
        const auto mode = static_cast<double>(random.below(static_cast<uint64_t>(ring.modes)));
        const double angle = 2 * std::numbers::pi * mode / ring.modes;
        auto* point = static_cast<float*>(rows[0]);
        point[0] =
            static_cast<float>(ring.radius * std::cos(angle) + ring.deviation * random.normal());
        point[1] =
            static_cast<float>(ring.radius * std::sin(angle) + ring.deviation * random.normal());
        auto* noise = static_cast<float*>(rows[1]);
        for (int64_t i = 0; i < ring.latent; ++i) noise[i] = static_cast<float>(random.normal());
      }};
}

}  // namespace ocoee::data
