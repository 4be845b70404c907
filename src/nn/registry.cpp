// SPDX-License-Identifier: Apache-2.0
#include "nn/registry.h"

#include "core/error.h"

namespace ocoee::nn {
namespace {

struct Entry {
  std::string kind;
  std::string summary;
  std::unique_ptr<Layer> (*make)(const plan::LayerSpec&);
};
const std::vector<Entry>& entries() {
  static const std::vector<Entry> table{
      {"embedding", "tokens, and learned positions, to vectors", make_embedding},
      {"norm", "LayerNorm or RMSNorm", make_norm},
      {"attention", "causal self-attention: rotary positions, grouped queries", make_attention},
      {"mlp", "feed-forward: GELU or SwiGLU", make_mlp},
      {"head", "logits and cross-entropy", make_head},
      {"linear", "a matrix, a bias and an activation", make_linear},
  };
  return table;
}

}  // namespace

std::unique_ptr<Layer> make_layer(const plan::LayerSpec& spec) {
  for (const Entry& entry : entries()) {
    if (entry.kind == spec.kind) return entry.make(spec);
  }
  fail(ErrorKind::internal, "layer {} is of the unknown kind '{}'", spec.name, spec.kind);
}

std::vector<std::string> layer_kinds() {
  std::vector<std::string> kinds;
  for (const Entry& entry : entries()) kinds.push_back(entry.kind);
  return kinds;
}

std::vector<std::pair<std::string, std::string>> layer_summaries() {
  std::vector<std::pair<std::string, std::string>> summaries;
  for (const Entry& entry : entries()) summaries.emplace_back(entry.kind, entry.summary);
  return summaries;
}

}  // namespace ocoee::nn
