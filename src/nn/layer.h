// SPDX-License-Identifier: Apache-2.0
// The unit of everything: a layer runs forward and backward explicitly; autograd, where used, stays
// inside it. The engine (parallel) owns weights and gradients and lends them through bind().
//
// Where tensors lie between layers, per mesh axis:
//   data, context   a rank has its samples, and its parts of their sequences
//                   (plan/sequence.h), whole in all else
//   tensor          x, h and their gradients are split by rows: of the [B * T, width] of a
//                   micro-batch each rank has an equal run, [B * T / ranks, width] (with one
//                   rank [B, T, width]). Layers gather rows before products whose weights are
//                   split by rows, and sum and split them after products split by columns
//                   (nn/tensor_axis.h). What stands in Context::batch is whole on every rank.
// Gradients of parameters that are whole on every tensor rank are those of a rank's own rows; the
// engine sums them.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/mesh.h"
#include "nn/arena.h"
#include "nn/float8.h"
#include "plan/layer_spec.h"
#include "plan/sequence.h"

namespace ocoee::nn {

// Named tensors that pass between layers.
class Bundle {
 public:
  at::Tensor& operator[](const std::string& name);
  const at::Tensor& at(const std::string& name) const;  // throws Error(internal) when missing
  bool has(const std::string& name) const;
  void erase(const std::string& name);
  void clear() { items_.clear(); }
  std::vector<std::pair<std::string, at::Tensor>>& items() { return items_; }
  const std::vector<std::pair<std::string, at::Tensor>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string, at::Tensor>> items_;
};

// A layer's parameters, contiguous and in the order of its spec, so that consecutive ones fuse into
// one view.
struct Weights {
  at::Tensor value;     // flat, compute dtype
  at::Tensor gradient;  // flat, float32 (float64 when computing in it) or bfloat16, as it is kept;
                        // undefined in evaluation
  const plan::LayerSpec* spec = nullptr;
  at::Tensor view(size_t first,
                  size_t count = 1) const;  // rows of `count` consecutive parameters stacked
  at::Tensor gradient_view(size_t first, size_t count = 1) const;
  int64_t offset(size_t index) const;  // elements before parameter `index`
};

// What a layer may know while it runs.
struct Context {
  comm::Mesh* mesh = nullptr;
  const Bundle* batch =
      nullptr;           // the micro-batch itself: targets and weights, for layers that score
  bool training = true;  // dropout is on
  bool save = true;      // a backward follows: keep what it needs
  // Selective recompute: what is cheap to compute again (Cost::cheap_elements) is not kept. In a
  // backward pass `again` holds inputs of the layer that were computed again, or will have been
  // when its weight gradients are made; `owed` outputs of the layer that this pass has to fill.
  bool selective = false;
  const Bundle* again = nullptr;
  const Bundle* owed = nullptr;
  // False: the layer runs again for its backward pass alone. It may leave out what makes nothing
  // but its outputs.
  bool wants_output = true;
  const Arena* arena = nullptr;  // of the layer that runs; null: arrays are allocated one by one
  uint64_t seed = 1;
  // [step, micro-batch] on the compute device, so that a replayed graph draws new dropout; read by
  // kernels only.
  at::Tensor random_state;   // int64 [2]
  int64_t first_sample = 0;  // of this micro-batch within the step's global batch
  plan::ContextMethod context_method = plan::ContextMethod::ring;
  // Over the tensor axis this rank's own rows are taken apart from the others': first by a product
  // whose rows are gathered, last by one whose rows are summed, and attention, where they are whole
  // samples, goes with them.
  bool own_rows_first = false;
  // By samples and length of a micro-batch: where its rows stand (nn/tensor_axis.h fills it).
  std::map<std::pair<int64_t, int64_t>, at::Tensor> row_index = {};
};

// What a layer keeps from forward for its backward: tensors, and whatever an AutogradLayer's tape
// holds.
struct Saved {
  std::vector<at::Tensor> tensors;
  std::shared_ptr<void> tape;
  void clear() { tensors.clear(), tape.reset(); }
};

// Weight gradients that may be computed now or later (zero-bubble pipelines).
class WeightWork {
 public:
  explicit WeightWork(bool put_off = false) : put_off_(put_off) {}
  void add(std::function<void()> work) { queue_.push_back(std::move(work)); }
  void drain() {
    for (auto& work : queue_) work();
    queue_.clear();
  }
  // Something else is under way: unless the schedule puts weight work off, this is the time for it.
  void meanwhile() {
    if (!put_off_) drain();
  }
  bool puts_off() const { return put_off_; }
  bool empty() const { return queue_.empty(); }

 private:
  std::vector<std::function<void()>> queue_;
  bool put_off_;
};

// A pass taken apart, so that two passes can take turns: a turn ends where an exchange with other
// ranks is under way that the next turn waits for, or where the other pass may need its own turn to
// start one.
class Pieces {
 public:
  void add(std::function<void()> piece) { pieces_.push_back(std::move(piece)); }
  void end_turn() { pieces_.emplace_back(nullptr); }
  bool take_turn();  // runs the pieces of the next turn; false: none is left
  void finish() {
    while (take_turn()) {
    }
  }

 private:
  std::vector<std::function<void()>> pieces_;  // null: a turn ends
  size_t next_ = 0;
};
// All turns of both, one after the other's; `first` is `ahead` turns before `second`.
void take_turns(Pieces& first, Pieces& second, int ahead);

class Layer {
 public:
  explicit Layer(plan::LayerSpec spec) : spec_(std::move(spec)) {}
  virtual ~Layer() = default;
  const plan::LayerSpec& spec() const { return spec_; }

  virtual void bind(const Weights& weights) { weights_ = weights, weights_.spec = &spec_; }
  // Of the outputs, a sum of losses may be filled in by the backward pass only; it is NaN until
  // then.
  virtual void forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) = 0;
  // Adds to the gradients of the bound weights (now, or through `later`) and writes the input
  // gradients. Where the spec says that it splits its backward, and `later` puts off, no gradient
  // of the weights is touched before `later` is drained.
  virtual void backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                        Context& context) = 0;
  // The same as pieces, to be run later: what is referred to must live until then.
  virtual void forward_pieces(const Bundle& in, Bundle& out, Saved& saved, Context& context,
                              Pieces& pieces) {
    pieces.add([this, &in, &out, &saved, &context] { forward(in, out, saved, context); });
  }
  virtual void backward_pieces(const Bundle& grad_out, Bundle& grad_in, Saved& saved,
                               WeightWork& later, Context& context, Pieces& pieces) {
    pieces.add([this, &grad_out, &grad_in, &saved, &later, &context] {
      backward(grad_out, grad_in, saved, later, context);
    });
  }
  // The outputs once more, from what forward kept, where that is cheap (norms): at once, or
  // (`with_backward`) arrays that the layer's backward pass fills, given as Context::owed.
  virtual bool repeats() const { return false; }
  virtual void repeat(const Saved&, Bundle&, Context&, bool /*with_backward*/ = false) {}
  // Groups of consecutive parameters {first, count} whose gradient the layer writes, instead of
  // adding to it, the first time after expect_first_gradients(): what lay there before does not
  // matter, and is not read.
  virtual std::vector<std::pair<size_t, size_t>> written_groups() const { return {}; }
  void expect_first_gradients() { to_be_written_ = written_groups(); }

  // Products that may be computed in float8, and where their scales begin in a table.
  virtual int64_t float8_products() const { return 0; }
  void use_float8(const Float8& first) { float8_ = first; }

 protected:
  Float8 float8(int64_t product) const { return {float8_.table, float8_.product + product}; }
  const Weights& weights() const { return weights_; }
  // Is the gradient of the group that begins here to be added to? From the second time on.
  bool adds_gradient(size_t first) {
    return std::erase_if(to_be_written_,
                         [first](const auto& group) { return group.first == first; }) == 0;
  }

 private:
  plan::LayerSpec spec_;
  Weights weights_;
  std::vector<std::pair<size_t, size_t>> to_be_written_;
  Float8 float8_;
};

// A layer that exchanges rows over the tensor axis: written in pieces, with turns around each
// exchange.
class ExchangingLayer : public Layer {
 public:
  using Layer::Layer;
  void forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) final;
  void backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                Context& context) final;
  void forward_pieces(const Bundle& in, Bundle& out, Saved& saved, Context& context,
                      Pieces& pieces) override = 0;
  void backward_pieces(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                       Context& context, Pieces& pieces) override = 0;
};

// Any ATen code as a layer: its tape is local, and is consumed by one backward.
class AutogradLayer : public Layer {
 public:
  using Layer::Layer;
  void bind(const Weights& weights) override;
  void forward(const Bundle& in, Bundle& out, Saved& saved, Context& context) final;
  void backward(const Bundle& grad_out, Bundle& grad_in, Saved& saved, WeightWork& later,
                Context& context) final;

 protected:
  // Leaves of the tape: groups of consecutive parameters that are used as one tensor. Default: each
  // by itself.
  virtual std::vector<std::pair<size_t, size_t>> leaf_groups() const;
  // `w` holds one tensor for each leaf group.
  virtual void compute(const Bundle& in, Bundle& out, const std::vector<at::Tensor>& w,
                       Context& context) = 0;

 private:
  std::vector<at::Tensor> leaves_;
};

}  // namespace ocoee::nn
