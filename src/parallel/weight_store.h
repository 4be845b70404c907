// SPDX-License-Identifier: Apache-2.0
// All weights of one model in flat buffers, in the order of its layers: values in the compute type,
// masters in float32 (whole, or what lies below their bfloat16 values), gradients in float32 or
// bfloat16. Layers borrow views; collectives and optimizers see ranges; state sees named boxes.
//
// With a group to share with, masters and optimizer states are slices (shard.h). Level states keeps
// whole gradients and values, and sums each unit's gradient into the rank's own part of it; level
// gradients keeps a unit's whole gradient only while its backward runs, and its slice; level
// parameters does the same with values.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "nn/layer.h"
#include "parallel/precision.h"
#include "parallel/weight_layout.h"

namespace ocoee::parallel {

// The weights of one stage, or of a whole model.
class WeightStore {
 public:
  // Keeps a reference to `model`, which must outlive the store. Values are undefined until
  // initialize() or a load. `group`: the ranks that share what `level` splits; null or a group of
  // one: nothing is split. `twins`: the ranks that hold the same slice in other groups (hybrid
  // sharding); null or a group of one: there are none.
  WeightStore(const plan::ModelSpec& model, Precision precision, c10::Device device,
              Shard level = Shard::none, comm::Communicator* group = nullptr,
              comm::Communicator* twins = nullptr);

  // Every element is a function of (seed, parameter name, index in the whole array) alone. Only
  // masters, when they are split: publish() follows.
  void initialize(uint64_t seed);
  void refresh_values();  // values <- masters, after masters changed outside an optimizer step
  // Whole values from the masters of all ranks, after an update (collective; nothing when unsplit,
  // or when values are gathered at each use). Those of units whose slices lie below `end` of the
  // shard space are final and may leave: publish() starts the others, and waits for all.
  void start_publishing(int64_t end);
  void publish();

  nn::Weights weights_of(size_t block, size_t layer, bool with_gradient) const;
  const WeightLayout& layout() const { return layout_; }
  const LayerRange& range_of(size_t block, size_t layer) const {
    return layout_.range_of(block, layer);
  }
  const std::vector<Unit>& units() const { return layout_.units(); }  // one a block
  const Slot& slot(const std::string& name) const { return layout_.slot(name); }
  int64_t elements() const { return layout_.elements(); }
  int64_t shard_elements() const { return layout_.shard_elements(); }
  Shard level() const { return level_; }
  bool split() const { return level_ != Shard::none; }

  at::Tensor& value() { return value_; }  // whole; undefined at level parameters
  // Of the shard space; value() itself when nothing is split and the types agree, lower halves
  // (kernels/split_master.h) where masters are split.
  at::Tensor& master() { return master_; }
  const Precision& precision() const { return precision_; }
  at::Tensor& gradient() { return gradient_; }  // whole; undefined from level gradients on
  // What the optimizer reads and writes: together the whole shard space, in order.
  struct Piece {
    int64_t begin;  // in the shard space
    at::Tensor master, gradient;
    at::Tensor value;  // the copy of the masters in the compute type; undefined: none
    int64_t id = 0;    // of the first element: its place in the flat space of one rank
  };
  // `by_unit`: none reaches over units, so that ids follow each other in each.
  std::vector<Piece> pieces(bool by_unit = false) const;
  // The summed gradient of a stretch of the shard space; in more than one view where it crosses
  // units.
  std::vector<at::Tensor> gradient_at(int64_t begin, int64_t end) const;
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
  // is there. With `last`, the slice is then summed over the twins. finish_reductions() waits for
  // all of them.
  void start_reduce(size_t unit, bool last);
  void finish_reductions();
  // Of the masters' space [returned, end) has its final gradients, though one sum is under way.
  int64_t finish_all_but_last();
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
    for (const Slot& slot : layout_.slots()) {
      const WeightLayout::Held held = layout_.held_of(slot);
      if (held.begin >= held.end || !choose(*slot.spec)) continue;
      if (!out.empty() && out.back().second == held.shard_offset)
        out.back().second += held.end - held.begin;
      else
        out.emplace_back(held.shard_offset, held.shard_offset + held.end - held.begin);
    }
    return out;
  }

  // Named arrays over a flat buffer of the shard space (an optimizer state), over the masters,
  // whole whatever they are kept as, and over the gradients: PREFIX + parameter name.
  std::vector<run::StateArray> arrays(const std::string& prefix, const at::Tensor& flat) const;
  std::vector<run::StateArray> master_arrays(const std::string& prefix) const;
  std::vector<run::StateArray> gradient_arrays(const std::string& prefix) const;

 private:
  struct Reduction {
    comm::WorkHandle work;
    size_t unit;
    at::Tensor arrived;  // to be added to the slice
    bool releases;       // the whole gradient goes when the sum has arrived
    bool last;
  };
  void finish_oldest();
  void allocate();
  at::Tensor values_of(size_t unit) const;  // whole, of one unit
  at::Tensor gradients_of(size_t unit) const;
  at::Tensor slice_of(const at::Tensor& shard_space, size_t unit) const;
  at::Tensor own_part(const at::Tensor& whole, size_t unit) const;  // this rank's, of flat space
  at::Tensor gradient_slice(size_t unit) const;
  // The values of a stretch of the shard space that lies in one unit; with has_master_copy().
  at::Tensor value_at(int64_t begin, int64_t end) const;
  void set_masters(int64_t begin, const at::Tensor& host);
  bool values_in_place() const;  // the optimizer writes into this rank's part of the whole values

  Precision precision_;
  c10::Device device_;
  Shard level_;
  comm::Communicator *group_, *twins_;
  WeightLayout layout_;
  std::vector<Borrowed> borrowed_;
  at::Tensor value_, master_, gradient_, shard_gradient_, shard_value_, unsplit_gradients_;
  std::vector<at::Tensor> unit_values_, unit_gradients_;  // their storage comes and goes
  std::vector<comm::WorkHandle> gathers_;                 // under way, by unit
  std::vector<comm::WorkHandle> publishing_;
  size_t published_units_ = 0;
  std::vector<Reduction> reductions_;
  std::vector<comm::WorkHandle> twin_sums_;
};

// An array of State that every rank holds whole; `values` is what it saves and loads.
run::StateArray whole_array(const std::string& name, const at::Tensor& values);

}  // namespace ocoee::parallel
