// SPDX-License-Identifier: Apache-2.0
// The layers by name. A new kind of layer is one file and one line in registry.cpp.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/layer.h"

namespace ocoee::nn {

std::unique_ptr<Layer> make_layer(
    const plan::LayerSpec& spec);  // throws Error(internal) for an unknown kind
std::vector<std::string> layer_kinds();
std::vector<std::pair<std::string, std::string>> layer_summaries();  // kind, one line

// One maker a file, by kind.
std::unique_ptr<Layer> make_embedding(const plan::LayerSpec& spec);
std::unique_ptr<Layer> make_norm(const plan::LayerSpec& spec);
std::unique_ptr<Layer> make_attention(const plan::LayerSpec& spec);
std::unique_ptr<Layer> make_mlp(const plan::LayerSpec& spec);
std::unique_ptr<Layer> make_head(const plan::LayerSpec& spec);
std::unique_ptr<Layer> make_linear(const plan::LayerSpec& spec);

}  // namespace ocoee::nn
