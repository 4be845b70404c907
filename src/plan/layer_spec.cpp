// SPDX-License-Identifier: Apache-2.0
#include "plan/layer_spec.h"

#include "core/error.h"

namespace ocoee::plan {
namespace {

template <class Visit>
void each_layer(const ModelSpec& model, Visit visit) {
  for (const BlockSpec& block : model.blocks) {
    for (const LayerSpec& layer : block.layers) visit(layer);
  }
}

}  // namespace

int64_t ParameterSpec::elements() const {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

double LayerSpec::option(const std::string& key) const {
  const auto found = options.find(key);
  OCOEE_CHECK(found != options.end(), "layer {} has no option '{}'", name, key);
  return found->second;
}

const std::string& LayerSpec::choice(const std::string& key) const {
  const auto found = choices.find(key);
  OCOEE_CHECK(found != choices.end(), "layer {} has no choice '{}'", name, key);
  return found->second;
}

void count_saved(LayerSpec& layer, double context) {
  Cost& cost = layer.cost;
  cost.saved_elements = cost.saved_bytes_fixed = cost.cheap_elements = 0;
  for (const SavedArray& array : layer.saved) {
    const double elements = array.elements * (array.by_key ? context : 1);
    if (array.wide) {
      cost.saved_bytes_fixed += 4 * elements;
      continue;
    }
    cost.saved_elements += elements;
    if (array.cheap) cost.cheap_elements += elements;
  }
}

std::vector<const ParameterSpec*> ModelSpec::all_parameters() const {
  std::vector<const ParameterSpec*> all;
  each_layer(*this, [&](const LayerSpec& layer) {
    for (const ParameterSpec& parameter : layer.parameters) {
      if (parameter.tied_to.empty()) all.push_back(&parameter);
    }
  });
  return all;
}

int64_t ModelSpec::parameters() const {
  int64_t sum = 0;
  for (const ParameterSpec* parameter : all_parameters()) sum += parameter->elements();
  return sum;
}

int64_t ModelSpec::non_embedding_parameters() const {
  int64_t sum = 0;
  each_layer(*this, [&](const LayerSpec& layer) {
    if (layer.kind == "embedding" || layer.kind == "head") return;
    for (const ParameterSpec& parameter : layer.parameters) sum += parameter.elements();
  });
  return sum;
}

double ModelSpec::forward_flops_per_token() const {
  double sum = 0;
  each_layer(*this, [&](const LayerSpec& layer) { sum += layer.cost.forward_flops(); });
  return sum;
}

double ModelSpec::training_flops_per_token() const {
  double sum = 0;
  each_layer(*this, [&](const LayerSpec& layer) {
    sum += layer.cost.forward_flops() * (1 + layer.cost.backward_factor);
  });
  return sum;
}

double ModelSpec::saved_bytes_per_token(int compute_bytes, bool selective) const {
  double sum = 0;
  each_layer(*this, [&](const LayerSpec& layer) {
    const Cost& cost = layer.cost;
    sum += (cost.saved_elements - (selective ? cost.cheap_elements : 0)) * compute_bytes +
           cost.saved_bytes_fixed;
  });
  return sum;
}

}  // namespace ocoee::plan
