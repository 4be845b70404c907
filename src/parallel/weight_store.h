// SPDX-License-Identifier: Apache-2.0
// All weights of one model in flat buffers, in the order of its layers: values in the compute type,
// masters and gradients in float32. Layers borrow views; collectives and optimizers see ranges;
// state sees named boxes.
//
// With a group to share with, masters, gradients for the optimizer and optimizer states are slices
// (shard.h): level states keeps whole gradients and values, level gradients keeps a unit's whole
// gradient only while its backward runs, level parameters does the same with values.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "nn/layer.h"
#include "parallel/precision.h"
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

// The weights of one stage, or of a whole model.
class WeightStore {
 public:
  // Keeps a reference to `model`, which must outlive the store. Values are undefined until
  // initialize() or a load. `group`: the ranks that share what `level` splits; null or a group of
  // one: nothing is split.
  WeightStore(const plan::ModelSpec& model, Precision precision, c10::Device device,
              Shard level = Shard::none, comm::Communicator* group = nullptr);

  // Every element is a function of (seed, parameter name, index in the whole array) alone. Only
  // masters, when they are split: publish() follows.
  void initialize(uint64_t seed);
  void refresh_values();  // values <- masters, after masters changed outside an optimizer step
  // Whole values from the masters of all ranks, after an update (collective; nothing when unsplit,
  // or when values are gathered at each use).
  void publish();

  nn::Weights weights_of(size_t block, size_t layer, bool with_gradient) const;
  const LayerRange& range_of(size_t block, size_t layer) const { return ranges_[block][layer]; }
  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<Unit>& units() const { return units_; }  // one a block
  const Slot& slot(const std::string& name) const;
  int64_t elements() const { return elements_; }  // with padding between layers
  int64_t shard_elements() const { return elements_ / ways_; }
  Shard level() const { return level_; }
  bool split() const { return level_ != Shard::none; }

  at::Tensor& value() { return value_; }  // whole; undefined at level parameters
  at::Tensor& master() {
    return master_;
  }  // of the shard space; value() itself when nothing is
     // split and the types agree
  at::Tensor& gradient() { return gradient_; }  // whole; undefined from level gradients on
  // What the optimizer reads and writes, in the shard space.
  at::Tensor& shard_gradient() { return split() ? shard_gradient_ : gradient_; }
  at::Tensor shard_value() const;  // the copy of the masters in the compute type; undefined: none
  at::Tensor parameter(const std::string& name) const;           // view of the master; unsplit only
  at::Tensor parameter_gradient(const std::string& name) const;  // view; unsplit only

  // Parameters that layers here use and another stage holds.
  struct Borrowed {
    std::string name;
    std::vector<int64_t> shape;
    at::Tensor value, gradient;
  };
  std::vector<Borrowed>& borrowed() { return borrowed_; }
  at::Tensor whole_value_of(const std::string& name);     // of a held parameter, now gathered
  at::Tensor whole_gradient_of(const std::string& name);  // view of the unit's whole gradient

  // Level parameters: whole values of a unit. Starting twice is one gather.
  void start_gather(size_t unit);
  void finish_gather(size_t unit);
  void release_values(size_t unit);
  // Levels gradients and parameters: the unit's whole gradient, zero at first.
  void open_gradient(size_t unit);
  // Starts the sum over the group of a unit's whole gradient into this rank's slice; adds to what
  // is there. finish_reductions() waits for all of them.
  void start_reduce(size_t unit);
  void finish_reductions();
  void poll_reductions();  // lets MPI progress

  // The gradients of parameters that tensor ranks do not split are sums over their rows on each:
  // after this, sums over all. `tensor` is the axis (collective). Last of all, once a step.
  void sum_unsplit_gradients(comm::Communicator& tensor);
  // A copy of them, in a row; undefined before the first sum.
  const at::Tensor& unsplit_gradients() const { return unsplit_gradients_; }

  void zero_gradients();
  // Memory behind a unit while layers make their views of it; its contents are undefined.
  void lend(size_t unit, bool on);

  // [begin, end) stretches of the shard space in which `choose` holds for the parameter.
  template <class Choose>
  std::vector<std::pair<int64_t, int64_t>> stretches(Choose choose) const {
    std::vector<std::pair<int64_t, int64_t>> out;
    for (const Slot& slot : slots_) {
      const Held held = held_of(slot);
      if (held.begin >= held.end || !choose(*slot.spec)) continue;
      if (!out.empty() && out.back().second == held.shard_offset)
        out.back().second += held.end - held.begin;
      else
        out.emplace_back(held.shard_offset, held.shard_offset + held.end - held.begin);
    }
    return out;
  }

  // Named arrays over a flat buffer of the shard space (masters, gradients, an optimizer state):
  // PREFIX + parameter name.
  std::vector<run::StateArray> arrays(const std::string& prefix, const at::Tensor& flat) const;

 private:
  struct Held {            // what this rank's slice holds of a parameter
    int64_t begin, end;    // elements of the parameter
    int64_t shard_offset;  // where they begin in the shard space
  };
  struct LocalBox {  // of the whole array, without padding
    run::Box box;
    int64_t offset;  // of its data, from the first element held
  };
  static std::vector<LocalBox> local_boxes(const plan::ParameterSpec& spec, const Held& held);
  struct Reduction {
    comm::WorkHandle work;
    size_t unit;
    at::Tensor arrived;  // to be added to the slice
    bool releases;       // the whole gradient goes when the sum has arrived
  };
  void finish_oldest();
  void lay_out(const plan::ModelSpec& model);
  void allocate();
  Held held_of(const Slot& slot) const;
  at::Tensor values_of(size_t unit) const;  // whole, of one unit
  at::Tensor gradients_of(size_t unit) const;
  at::Tensor slice_of(const at::Tensor& shard_space, size_t unit) const;

  Precision precision_;
  c10::Device device_;
  Shard level_;
  comm::Communicator* group_;
  int64_t ways_ = 1, which_ = 0;
  std::vector<Slot> slots_;
  std::vector<Unit> units_;
  std::vector<std::vector<LayerRange>> ranges_;
  std::vector<Borrowed> borrowed_;
  int64_t elements_ = 0;
  at::Tensor value_, master_, gradient_, shard_gradient_, shard_value_, unsplit_gradients_;
  std::vector<at::Tensor> unit_values_, unit_gradients_;  // their storage comes and goes
  std::vector<comm::WorkHandle> gathers_;                 // under way, by unit
  std::vector<Reduction> reductions_;
};

}  // namespace ocoee::parallel
