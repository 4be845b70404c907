// SPDX-License-Identifier: Apache-2.0
// Where samples come from. A source is a pure function of (seed, position): position p of the
// global sample stream is always the same sample, whoever asks. So data order does not depend on
// ranks, threads or resumes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace ocoee::data {

struct FieldSpec {   // one tensor of a sample
  std::string name;  // "tokens", "image", "noise"
  DType dtype = DType::i64;
  std::vector<int64_t> shape;  // of one sample
  int64_t elements() const {
    int64_t n = 1;
    for (const int64_t extent : shape) n *= extent;
    return n;
  }
};

class Source {
 public:
  virtual ~Source() = default;
  virtual const std::vector<FieldSpec>& fields() const = 0;
  // Writes the sample at `position`; rows[i] has room for fields()[i]. Called by several threads at
  // once.
  virtual void fill(int64_t position, const std::vector<void*>& rows) const = 0;
};

// A finite list of samples, each scored once, in order: for evaluation. `weight` of a padded tail
// sample's field says which elements count.
class EvaluationSource : public Source {
 public:
  virtual int64_t size() const = 0;
};

}  // namespace ocoee::data
