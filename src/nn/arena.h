// SPDX-License-Identifier: Apache-2.0
// Memory for what a layer keeps from its forward pass, laid out beforehand (plan/arena.h). Its
// tensors are views; the memory goes with the last of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>

#include "plan/arena.h"

namespace ocoee::nn {

struct Context;

class Arena {
 public:
  Arena(const plan::ArenaPlan& plan, const c10::Device& device);  // the plan outlives it
  bool has(const std::string& name) const { return plan_.find(name) != nullptr; }
  // Throws Error(internal) where the array is not as large as planned.
  at::Tensor take(const std::string& name, at::IntArrayRef sizes,
                  const at::TensorOptions& options) const;

 private:
  const plan::ArenaPlan& plan_;
  std::array<at::Tensor, 2> parts_;
};

// For layers. A tensor to be filled, in the arena where the plan has a place for it: an array of
// the layer's spec by its name, or the output that the next layer may keep.
at::Tensor keep(const Context& context, const std::string& name, at::IntArrayRef sizes,
                const at::TensorOptions& options);
at::Tensor output(const Context& context, at::IntArrayRef sizes, const at::TensorOptions& options);
// What was made elsewhere, and is to be kept.
at::Tensor keep(const Context& context, const std::string& name, const at::Tensor& made);

}  // namespace ocoee::nn
