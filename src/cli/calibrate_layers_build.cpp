// SPDX-License-Identifier: Apache-2.0
// The layers themselves, with weights of their own: of next to no size, where what remains is
// calls, small kernels and the gaps between kernels; and a norm of the size that a model has.
#include "cli/calibrate_stopwatch_build.h"
#include "models/gpt.h"
#include "nn/registry.h"

namespace ocoee::cli {
namespace {

class Bench {
 public:
  Bench(const Stopwatch& watch, const plan::LayerSpec& spec, const nn::Bundle& in,
        const nn::Bundle& batch, int64_t sets)
      : watch_(watch), layer_(nn::make_layer(spec)), in_(in), saved_(static_cast<size_t>(sets)) {
    const at::TensorOptions options = in.at("x").options();
    int64_t elements = 0;
    for (const plan::ParameterSpec& parameter : spec.parameters) elements += parameter.elements();
    nn::Weights weights;
    weights.value = at::ones({elements}, options);
    weights.gradient = at::zeros({elements}, options.dtype(at::kFloat));
    layer_->bind(weights);
    context_.batch = &batch;
  }

  LayerSeconds seconds() {
    const auto sets = static_cast<int64_t>(saved_.size());
    LayerSeconds out;
    out.forward = watch_.seconds(sets, [&](int64_t set) { return forward(set); });
    for (int64_t set = 0; set < sets; ++set) forward(set);  // a graph's results belong to the graph
    out.backward = watch_.seconds(sets, [&](int64_t set) {
      nn::Bundle gradient = gradient_, result;
      nn::WeightWork work;
      nn::Saved kept = saved_[static_cast<size_t>(set)];  // a backward pass gives it up
      layer_->backward(gradient, result, kept, work, context_);
      work.drain();
      return result.items().empty() ? at::Tensor() : result.items().front().second;
    });
    return out;
  }

 private:
  at::Tensor forward(int64_t set) {
    nn::Bundle out;
    layer_->forward(in_, out, saved_[static_cast<size_t>(set)], context_);
    const bool scores = out.has("loss_sum");
    for (const auto& [name, tensor] : out.items()) {
      if (!gradient_.has(name)) gradient_[name] = scores ? at::ones_like(tensor) : in_.at("x");
    }
    return out.items().front().second;
  }

  const Stopwatch& watch_;
  std::unique_ptr<nn::Layer> layer_;
  nn::Bundle in_, gradient_;
  std::vector<nn::Saved> saved_;
  nn::Context context_;
};

LayerSeconds layer_seconds(const Stopwatch& watch, const at::TensorOptions& options,
                           const plan::LayerSpec& spec, int64_t samples, int64_t length,
                           int64_t width, int64_t sets) {
  nn::Bundle in, batch;
  const at::Tensor tokens = at::zeros({samples, length}, options.dtype(at::kLong));
  const at::Tensor x = at::randn({samples, length, width}, options);
  for (const char* name : {"tokens", "targets"}) batch[name] = tokens;
  in["tokens"] = tokens;
  for (const char* name : {"x", "h"}) in[name] = x;
  return Bench(watch, spec, in, batch, sets).seconds();
}

models::GptConfig one_layer(int64_t width, int64_t heads, int64_t length) {
  models::GptConfig config;
  config.layers = 1;
  config.width = width;
  config.heads = heads;
  config.context = length;
  return config;
}

}  // namespace

void measure_layers(const Stopwatch& watch, const at::TensorOptions& options, bool gpu,
                    DeviceFigures& figures) {
  const int64_t width = gpu ? 128 : 16, length = gpu ? 64 : 8;
  const plan::ModelSpec small = models::build_gpt(one_layer(width, gpu ? 2 : 1, length), width);
  for (const plan::BlockSpec& block : small.blocks) {
    for (const plan::LayerSpec& layer : block.layers) {
      if (!figures.fixed.contains(layer.kind))
        figures.fixed[layer.kind] = layer_seconds(watch, options, layer, 1, length, width, 20);
    }
  }
  // As wide as models are; on a GPU on rows that no cache holds.
  const int64_t w = gpu ? 1024 : 128, rows = gpu ? 16384 : 256;
  const auto elements = static_cast<double>(rows * w);
  const plan::ModelSpec model = models::build_gpt(one_layer(w, 1, rows), 8);
  const LayerSeconds norm =
      layer_seconds(watch, options, model.blocks[1].layers[0], 1, rows, w,
                    watch.sets(2 * elements * static_cast<double>(options.dtype().itemsize())));
  const LayerSeconds& fixed = figures.fixed.at("norm");
  figures.norm = std::max(0.0, norm.forward - fixed.forward) / elements;
  figures.norm_gradient = std::max(0.0, norm.backward - fixed.backward) / elements;
}

}  // namespace ocoee::cli
