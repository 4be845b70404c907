// SPDX-License-Identifier: Apache-2.0
// Sources without files: rows in memory, and samples computed from their position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "data/source.h"

namespace ocoee::data {

// Rows held in memory. In training, position p gives row p modulo size().
class ArraySource final : public EvaluationSource {
 public:
  // values[i] holds `size` rows of fields[i], one after another, as bytes.
  ArraySource(std::vector<FieldSpec> fields, std::vector<std::vector<std::byte>> values,
              int64_t size);

  const std::vector<FieldSpec>& fields() const override { return fields_; }
  void fill(int64_t position, const std::vector<void*>& rows) const override;
  int64_t size() const override { return size_; }

 private:
  std::vector<FieldSpec> fields_;
  std::vector<std::vector<std::byte>> values_;
  int64_t size_;
};

// Calls `fill` for each sample; it must be a pure function of the position, and thread-safe.
class FunctionSource final : public Source {
 public:
  using Fill = std::function<void(int64_t position, const std::vector<void*>& rows)>;
  FunctionSource(std::vector<FieldSpec> fields, Fill fill)
      : fields_(std::move(fields)), fill_(std::move(fill)) {}

  const std::vector<FieldSpec>& fields() const override { return fields_; }
  void fill(int64_t position, const std::vector<void*>& rows) const override {
    fill_(position, rows);
  }

 private:
  std::vector<FieldSpec> fields_;
  Fill fill_;
};

// A mixture of `modes` round Gaussians, evenly spaced on a circle: the usual toy distribution for
// GANs.
struct GaussianRing {
  uint64_t seed = 1;
  int modes = 8;
  double radius = 2.0;
  double deviation = 0.1;
  int64_t latent = 2;  // size of the noise vector that comes with each point
};
// Fields: "points" f32 [2] and "noise" f32 [latent] (standard normal), both by Purpose::noise.
FunctionSource gaussian_ring(const GaussianRing& ring);

}  // namespace ocoee::data
