// SPDX-License-Identifier: Apache-2.0
// Products of layers in float8 with delayed scaling: each product has three tensors that are
// rounded, its input, its weight (E4M3) and the gradient of its output (E5M2), and a table holds
// their scales. In a tensor's first step, when nothing is known of it, it is looked at before it is
// rounded.
//
// Where the GPU has no such products, and on a CPU, the rounded values are multiplied in the type
// that they came from, which holds them exactly, for scales are powers of two.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "kernels/float8.h"

namespace ocoee::nn {

class Float8Table {
 public:
  Float8Table(int64_t products, const c10::Device& device);

  // float32 [products, 3]: the magnitudes that scales are made of; what a checkpoint keeps.
  const at::Tensor& largest() const { return largest_; }
  void loaded();  // they came from a checkpoint
  // After a step: scales from what was seen in it, on any rank of `groups`.
  void finish_step(const std::vector<comm::Communicator*>& groups);
  void record(bool on) { records_ = on; }  // evaluation sees, and tells nobody

 private:
  friend struct Float8;
  kernels::Float8Scales scales(int64_t first, int64_t count) const;
  at::Tensor formats_, seen_, largest_, scale_, inverse_, first_seen_;
  bool records_ = true, fresh_ = true;
  int64_t roundings_ = 0;
};

// One product's place in the table; none: it computes in the type of its operands.
struct Float8 {
  Float8Table* table = nullptr;
  int64_t product = 0;
  explicit operator bool() const { return table != nullptr; }

  enum Operand : uint8_t { input, weight, gradient };
  // x [..., width] as rows of bytes, or transposed.
  at::Tensor bytes(const at::Tensor& x, Operand operand, bool transposed = false) const;
  const float* inverse(Operand operand) const;
  // Did the library multiply float8 in all products so far (and not another type, rounded)?
  bool multiplied() const { return table->roundings_ == 0; }
  // x rounded, in its own type.
  at::Tensor rounded(const at::Tensor& x, Operand operand) const;
};

}  // namespace ocoee::nn
