// SPDX-License-Identifier: Apache-2.0
#include "parallel/engine.h"

#include "core/error.h"
#include "core/trace.h"
#include "nn/registry.h"

namespace ocoee::parallel {

Engine::Engine(plan::ModelSpec model, const EngineOptions& options, comm::Mesh& mesh)
    : model_(std::move(model)),
      options_(options),
      mesh_(mesh),
      store_(model_, options.precision, torch_device(mesh.device())) {
  context_.mesh = &mesh;
  context_.seed = options.seed;
  for (size_t b = 0; b < model_.blocks.size(); ++b) {
    auto& block = layers_.emplace_back();
    for (size_t l = 0; l < model_.blocks[b].layers.size(); ++l) {
      block.push_back(nn::make_layer(model_.blocks[b].layers[l]));
      block.back()->bind(store_.weights_of(b, l, /*with_gradient=*/true));
    }
  }
  make_buckets();
}

void Engine::make_buckets() {
  const int64_t most = std::max<int64_t>(
      1, options_.bucket_bytes / static_cast<int64_t>(store_.gradient().element_size()));
  int64_t end = store_.elements();
  int64_t begin = end;
  for (size_t b = layers_.size(); b-- > 0;) {
    for (size_t l = layers_[b].size(); l-- > 0;) {
      const LayerRange& range = store_.range_of(b, l);
      if (range.tied || range.begin == range.end) continue;
      begin = range.begin;
      if (end - begin >= most) {
        buckets_.push_back({begin, end});
        end = begin;
      }
    }
  }
  if (begin < end) buckets_.push_back({begin, end});
}

void Engine::zero_gradients() {
  const at::NoGradGuard no_grad;
  store_.gradient().zero_();
}

void Engine::run_block(size_t block, const nn::Bundle& in, nn::Bundle& out,
                       std::vector<nn::Saved>& saved) {
  nn::Bundle current = in;
  saved.resize(layers_[block].size());
  for (size_t l = 0; l < layers_[block].size(); ++l) {
    nn::Bundle next;
    layers_[block][l]->forward(current, next, saved[l], context_);
    current = std::move(next);
  }
  out = std::move(current);
}

Engine::Pass Engine::forward(const nn::Bundle& batch, int64_t first_sample) {
  const trace::Scope scope("forward");
  Pass pass;
  pass.batch = &batch;
  pass.first_sample = first_sample;
  context_.batch = &batch;
  context_.training = true;
  context_.first_sample = first_sample;
  pass.saved.resize(layers_.size());
  const bool recompute = options_.recompute == Recompute::full;
  nn::Bundle current = batch;
  for (size_t b = 0; b < layers_.size(); ++b) {
    // The last block is about to run backward: recomputing it would save nothing.
    const bool keeps = !recompute || b + 1 == layers_.size();
    context_.save = keeps;
    if (recompute) pass.block_inputs.push_back(keeps ? nn::Bundle() : current);
    nn::Bundle next;
    std::vector<nn::Saved> dropped;
    run_block(b, current, next, keeps ? pass.saved[b] : dropped);
    current = std::move(next);
  }
  pass.output = std::move(current);
  return pass;
}

nn::Bundle Engine::evaluate(const nn::Bundle& batch) {
  const at::NoGradGuard no_grad;
  context_.batch = &batch;
  context_.training = false;
  context_.save = false;
  nn::Bundle current = batch;
  for (size_t b = 0; b < layers_.size(); ++b) {
    std::vector<nn::Saved> dropped;
    nn::Bundle next;
    run_block(b, current, next, dropped);
    current = std::move(next);
  }
  return current;
}

nn::Bundle Engine::backward(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch) {
  const trace::Scope scope("backward");
  context_.batch = pass.batch;
  context_.training = true;
  context_.save = true;
  context_.first_sample = pass.first_sample;
  if (last_micro_batch) buckets_sent_ = 0;
  nn::Bundle gradient = grad_output;
  for (size_t b = layers_.size(); b-- > 0;) {
    const bool dropped = options_.recompute == Recompute::full && b + 1 < layers_.size();
    if (dropped) {
      nn::Bundle again;
      run_block(b, pass.block_inputs[b], again, pass.saved[b]);
      pass.block_inputs[b].clear();
    }
    for (size_t l = layers_[b].size(); l-- > 0;) {
      nn::Bundle grad_in;
      nn::WeightWork work;
      layers_[b][l]->backward(gradient, grad_in, pass.saved[b][l], work, context_);
      pass.saved[b][l].clear();
      work.drain();
      gradient = std::move(grad_in);
      if (last_micro_batch && !store_.range_of(b, l).tied)
        gradients_ready_from(store_.range_of(b, l).begin);
    }
  }
  return gradient;
}

void Engine::gradients_ready_from(int64_t offset) {
  if (mesh_.size(comm::Axis::data) == 1) return;
  const device::Stream stream = current_stream(mesh_.device());
  while (buckets_sent_ < buckets_.size() && buckets_[buckets_sent_].begin >= offset) {
    const Bucket& bucket = buckets_[buckets_sent_++];
    const device::Buffer all = buffer_of(store_.gradient());
    reductions_.push_back(mesh_.axis(comm::Axis::data)
                              .all_reduce_async(all.slice(bucket.begin, bucket.end - bucket.begin),
                                                comm::Reduce::sum, stream));
  }
  for (auto& reduction : reductions_)
    reduction->done();  // lets MPI progress while the backward pass goes on
}

void Engine::finish_gradients() {
  if (reductions_.empty()) return;
  const trace::Scope scope("communication", "comm:data");
  const device::Stream stream = current_stream(mesh_.device());
  for (auto& reduction : reductions_) reduction->wait(stream);
  reductions_.clear();
}

}  // namespace ocoee::parallel
