// SPDX-License-Identifier: Apache-2.0
// What a model is, before any tensor exists: an ordered list of layers, each with its parameters,
// cost and saved bytes. A model file (src/models) writes these; the planner adds them up; nn builds
// the layers from them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ocoee::plan {

enum class Init : uint8_t { normal, zeros, ones, uniform };

struct ParameterSpec {
  std::string name;            // global, unfused, standard: "blocks.3.attention.q.weight"
  std::vector<int64_t> shape;  // rows first; sharded data parallelism splits dimension 0
  Init init = Init::normal;
  double scale = 0.02;  // standard deviation, or half width of uniform
  bool decay = true;    // weight decay applies (not on norms and biases)
  int tensor_dim = -1;  // dimension split over the tensor axis; -1: replicated
  std::string tied_to;  // the parameter of an earlier layer that this one is; empty: its own
  // A rank's part of it (tensor_part): `shape` is the block from `first` on along tensor_dim of an
  // array of the shape `whole`; rows beyond the whole are padding, and stay zero.
  std::vector<int64_t> whole;  // empty: `shape` is the whole
  int64_t first = 0;
  int64_t elements() const;
  const std::vector<int64_t>& whole_shape() const { return whole.empty() ? shape : whole; }
};

// Cost per token of one forward pass, from the shapes alone. FLOPs count multiply and add as two.
struct Cost {
  double matmul_flops = 0;  // matrix products with weights
  double attention_flops =
      0;  // products between activations, full (non-causal) convention: 4 * T * width a layer
  // Of matmul_flops, those that make nothing but the output: a block that runs again for its
  // backward pass leaves them out in its last layer.
  double output_flops = 0;
  double backward_factor = 2;    // backward FLOPs over forward FLOPs
  double bytes_moved = 0;        // forward, elements read and written at the compute dtype
  double saved_elements = 0;     // activation elements kept for backward, at the compute dtype
  double saved_bytes_fixed = 0;  // kept in float32 or as masks, whatever the compute dtype
  double cheap_elements = 0;     // of saved_elements: those that selective recompute makes again

  double forward_flops() const { return matmul_flops + attention_flops; }
};

// An array that a layer keeps from its forward pass for its backward pass.
struct SavedArray {
  std::string name;
  double elements = 0;       // a token (and a key, where `by_key`)
  bool comes_in = false;     // it is the layer's input: the layer before makes it
  bool for_weights = false;  // what weight gradients need: it waits where they are put off
  bool cheap = false;        // selective recompute makes it again
  bool wide = false;         // in float32 (float64 when computing in it)
  bool by_key = false;
};

using Options = std::map<std::string, double>;

struct LayerSpec {
  std::string kind;  // registered layer: "embedding", "norm", "attention", "mlp", "head", ...
  std::string name;  // "blocks.3.attention"
  std::vector<ParameterSpec> parameters;
  Options options;  // numbers the implementation needs: width, heads, kv_heads, eps, ...
  std::map<std::string, std::string>
      choices;  // words: norm = "layer" | "rms", activation = "gelu" | "swiglu"
  Cost cost;
  // By name, in the layer's order; empty: a tape, which nobody can plan, or nothing but the batch.
  std::vector<SavedArray> saved;
  // Its weight gradients can be made apart from its input gradients, and later: zero_bubble.
  bool splits_backward = false;
  double option(const std::string& key) const;  // throws Error(internal) when missing
  const std::string& choice(const std::string& key) const;
};

// Writes what `saved` says into the saved elements and bytes of the layer's cost. `context`: keys.
void count_saved(LayerSpec& layer, double context);

struct BlockSpec {  // what pipelines cut between, recompute reruns, and sharding gathers
  std::string name;
  std::vector<LayerSpec> layers;
};

struct ModelSpec {
  std::string family;  // "gpt2", "llama": decides export names
  std::vector<BlockSpec> blocks;

  int64_t parameters() const;  // tied ones counted once
  int64_t non_embedding_parameters() const;
  double forward_flops_per_token() const;
  double training_flops_per_token() const;  // forward and backward, no recompute
  double saved_bytes_per_token(int compute_bytes, bool selective = false) const;  // of recompute
  std::vector<const ParameterSpec*> all_parameters() const;  // in order, tied ones left out
};

}  // namespace ocoee::plan
