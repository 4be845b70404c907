// SPDX-License-Identifier: Apache-2.0
// All weights of one model in flat buffers, in the order of its layers: values in the compute type,
// masters and gradients in float32. Layers borrow views; collectives and optimizers see ranges;
// state sees named boxes.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "nn/layer.h"
#include "parallel/precision.h"
#include "plan/layer_spec.h"
#include "run/state.h"

namespace ocoee::parallel {

struct Slot {  // one parameter in the flat space
  const plan::ParameterSpec* spec;
  int64_t offset;  // elements
  int64_t elements;
};

struct LayerRange {  // where a layer's own parameters lie; a tied layer points at its lender's
  int64_t begin = 0, end = 0;
  bool tied = false;
};

class WeightStore {
 public:
  // Keeps a reference to `model`, which must outlive the store. Values are undefined until
  // initialize() or a load.
  WeightStore(const plan::ModelSpec& model, Precision precision, c10::Device device);

  // Every element is a function of (seed, parameter name, element index) alone.
  void initialize(uint64_t seed);
  void refresh_values();  // values <- masters, after masters changed outside an optimizer step

  nn::Weights weights_of(size_t block, size_t layer, bool with_gradient) const;
  const LayerRange& range_of(size_t block, size_t layer) const { return ranges_[block][layer]; }
  const std::vector<Slot>& slots() const { return slots_; }
  const Slot& slot(const std::string& name) const;
  int64_t elements() const { return elements_; }  // with padding between layers

  at::Tensor& value() { return value_; }
  at::Tensor& master() { return master_; }  // the same tensor as value() when the types agree
  at::Tensor& gradient() { return gradient_; }
  at::Tensor parameter(const std::string& name) const;           // view of the master
  at::Tensor parameter_gradient(const std::string& name) const;  // view

  // Named arrays over a flat buffer of this layout (masters, or an optimizer state): PREFIX +
  // parameter name.
  std::vector<run::StateArray> arrays(const std::string& prefix, const at::Tensor& flat) const;

 private:
  Precision precision_;
  c10::Device device_;
  std::vector<Slot> slots_;
  std::vector<std::vector<LayerRange>> ranges_;
  int64_t elements_ = 0;
  at::Tensor value_, master_, gradient_;
};

}  // namespace ocoee::parallel
