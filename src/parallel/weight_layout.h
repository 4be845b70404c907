// SPDX-License-Identifier: Apache-2.0
// Where each parameter of a stage lies in the flat space, and which boxes of it one rank's slice
// holds. No tensor exists here, so the layout of thousands of ranks is known in one process.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "parallel/shard.h"
#include "plan/layer_spec.h"
#include "run/state.h"

namespace ocoee::parallel {

struct Slot {  // one parameter in the flat space
  const plan::ParameterSpec* spec;
  int64_t offset;  // elements
  int64_t elements;
  size_t unit = 0;
};

struct LayerRange {  // where a layer's own parameters lie; a tied layer points at its lender's
  int64_t begin = 0, end = 0;
  bool tied = false;
  int lender = -1;       // tied: the unit of the lender, or -1 when it lies in another stage
  std::string borrowed;  // the parameter's name, in that case
};

class WeightLayout {
 public:
  // Keeps pointers into `model`. This rank is number `which` of the `ways` that share what is
  // sharded.
  explicit WeightLayout(const plan::ModelSpec& model, int64_t ways = 1, int64_t which = 0);

  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<Unit>& units() const { return units_; }  // one a block
  const LayerRange& range_of(size_t block, size_t layer) const { return ranges_[block][layer]; }
  const Slot& slot(const std::string& name) const;
  // Parameters that layers here use and another stage holds.
  const std::vector<const plan::ParameterSpec*>& borrowed() const { return borrowed_; }
  int64_t elements() const { return elements_; }  // with padding between layers
  int64_t shard_elements() const { return elements_ / ways_; }
  int64_t ways() const { return ways_; }
  int64_t which() const { return which_; }

  struct Held {            // what this rank's slice holds of a parameter
    int64_t begin, end;    // elements of the parameter
    int64_t shard_offset;  // where they begin in the shard space
  };
  Held held_of(const Slot& slot) const;
  struct LocalBox {  // of the whole array, without padding
    run::Box box;
    int64_t offset;  // of its data, from the first element held
  };
  static std::vector<LocalBox> local_boxes(const plan::ParameterSpec& spec, const Held& held);

  // A named array over a flat buffer of the shard space (masters, an optimizer state), PREFIX +
  // parameter name: its boxes here, and where each begins in the buffer.
  struct Array {
    run::StateArray array;  // pieces without save and load
    std::vector<int64_t> shard_offset;
  };
  std::vector<Array> arrays(const std::string& prefix, DType dtype) const;

 private:
  int64_t ways_, which_;
  std::vector<Slot> slots_;
  std::vector<Unit> units_;
  std::vector<std::vector<LayerRange>> ranges_;
  std::vector<const plan::ParameterSpec*> borrowed_;
  int64_t elements_ = 0;
};

}  // namespace ocoee::parallel
