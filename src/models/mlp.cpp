// SPDX-License-Identifier: Apache-2.0
#include "models/mlp.h"

#include <fmt/format.h>

#include <cmath>

namespace ocoee::models {

plan::ModelSpec build_mlp(const MlpConfig& config, const std::string& prefix) {
  plan::ModelSpec model;
  model.family = "mlp";
  for (int64_t i = 0; i <= config.hidden_layers; ++i) {
    const bool last = i == config.hidden_layers;
    const int64_t from = i == 0 ? config.inputs : config.width,
                  to = last ? config.outputs : config.width;
    plan::LayerSpec layer;
    layer.kind = "linear";
    layer.name = fmt::format("{}linear{}", prefix, i);
    plan::ParameterSpec weight, bias;
    weight.name = layer.name + ".weight";
    weight.shape = {to, from};
    weight.init = bias.init = plan::Init::uniform;  // PyTorch's default for linear layers
    weight.scale = bias.scale = 1 / std::sqrt(static_cast<double>(from));
    bias.name = layer.name + ".bias";
    bias.shape = {to};
    bias.decay = false;
    layer.parameters = {weight, bias};
    layer.choices = {{"activation", last ? "none" : config.activation}};
    layer.cost.matmul_flops = 2.0 * static_cast<double>(weight.elements());
    layer.cost.saved_elements = static_cast<double>(from + to);
    layer.cost.bytes_moved = static_cast<double>(from + to);
    model.blocks.push_back({layer.name, {layer}});
  }
  return model;
}

}  // namespace ocoee::models
