// SPDX-License-Identifier: Apache-2.0
#include "nn/registry.h"

#include "core/error.h"

namespace ocoee::nn {
namespace {

using Maker = std::unique_ptr<Layer> (*)(const plan::LayerSpec&);
const std::vector<std::pair<std::string, Maker>>& makers() {
  static const std::vector<std::pair<std::string, Maker>> table{
      {"embedding", make_embedding}, {"norm", make_norm},
      {"attention", make_attention}, {"mlp", make_mlp},
      {"head", make_head},           {"linear", make_linear},
  };
  return table;
}

}  // namespace

std::unique_ptr<Layer> make_layer(const plan::LayerSpec& spec) {
  for (const auto& [kind, make] : makers()) {
    if (kind == spec.kind) return make(spec);
  }
  fail(ErrorKind::internal, "layer {} is of the unknown kind '{}'", spec.name, spec.kind);
}

std::vector<std::string> layer_kinds() {
  std::vector<std::string> kinds;
  for (const auto& entry : makers()) kinds.push_back(entry.first);
  return kinds;
}

}  // namespace ocoee::nn
