// SPDX-License-Identifier: Apache-2.0
// Runs one model, layer by layer: forward, backward, recompute of blocks, and the reduction of
// gradients over the data axis while the backward pass runs on. Owns the weight store and lends
// weights to the layers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "nn/layer.h"
#include "parallel/weight_store.h"

namespace ocoee::parallel {

enum class Recompute : uint8_t { none, full };

struct EngineOptions {
  Precision precision;
  Recompute recompute = Recompute::none;
  uint64_t seed = 1;
  int64_t bucket_bytes =
      25 << 20;  // gradients leave for the data axis in pieces of about this size
};

class Engine {
 public:
  // What one forward pass keeps for its backward.
  struct Pass {
    nn::Bundle output;
    const nn::Bundle* batch = nullptr;
    std::vector<nn::Bundle> block_inputs;       // recompute only
    std::vector<std::vector<nn::Saved>> saved;  // per block, per layer
    int64_t first_sample = 0;
  };

  Engine(plan::ModelSpec model, const EngineOptions& options, comm::Mesh& mesh);

  const plan::ModelSpec& model() const { return model_; }
  WeightStore& weights() { return store_; }

  // `random_state` int64 [2] {step, micro-batch} on the device; kernels read it.
  void set_random_state(const at::Tensor& state) { context_.random_state = state; }

  void zero_gradients();
  // `batch` must live until backward. Training mode: dropout on, activations kept.
  Pass forward(const nn::Bundle& batch, int64_t first_sample = 0);
  nn::Bundle evaluate(const nn::Bundle& batch);  // dropout off, nothing kept
  // Adds weight gradients; returns the gradients of the inputs. On the last micro-batch, finished
  // gradients start their reduction over the data axis at once.
  nn::Bundle backward(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch);
  void finish_gradients();  // waits (on the stream) for the reductions
  // The sum over data ranks replaces the local gradient; unused when the data axis has one rank.

 private:
  void run_block(size_t block, const nn::Bundle& in, nn::Bundle& out,
                 std::vector<nn::Saved>& saved);
  void make_buckets();
  void gradients_ready_from(int64_t offset);  // everything at or above `offset` is final

  struct Bucket {
    int64_t begin, end;
  };
  plan::ModelSpec model_;
  EngineOptions options_;
  comm::Mesh& mesh_;
  WeightStore store_;
  nn::Context context_;
  std::vector<std::vector<std::unique_ptr<nn::Layer>>> layers_;  // per block
  std::vector<Bucket> buckets_;  // from the end of the flat space to its start
  size_t buckets_sent_ = 0;
  std::vector<comm::WorkHandle> reductions_;
};

}  // namespace ocoee::parallel
