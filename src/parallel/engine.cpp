// SPDX-License-Identifier: Apache-2.0
#include "parallel/engine.h"

#include <set>

#include "core/error.h"
#include "core/trace.h"
#include "nn/products.h"
#include "nn/registry.h"
#include "parallel/pipeline.h"

namespace ocoee::parallel {

using comm::Axis;

namespace {

// What this rank holds: of its stage, its part along the tensor axis.
plan::StageModel part_of(const plan::ModelSpec& model, const EngineOptions& options,
                         const comm::Mesh& mesh) {
  plan::StageModel stage = plan::stage_model(model, mesh.size(Axis::pipeline), options.chunks,
                                             mesh.coordinate(Axis::pipeline), options.cuts);
  stage.model =
      plan::tensor_part(stage.model, mesh.size(Axis::tensor), mesh.coordinate(Axis::tensor));
  return stage;
}
}  // namespace

Recompute recompute_from_name(const std::string& name) {
  if (name == "none") return Recompute::none;
  if (name == "selective") return Recompute::selective;
  if (name == "full") return Recompute::full;
  fail(ErrorKind::internal, "unknown recompute mode '{}'", name);
}

Halves halves_from_name(const std::string& name) {
  if (name == "auto") return Halves::automatic;
  if (name == "on") return Halves::on;
  if (name == "off") return Halves::off;
  fail(ErrorKind::internal, "unknown way with halves '{}'", name);
}

Engine::Engine(const plan::ModelSpec& model, const EngineOptions& options, comm::Mesh& mesh)
    : options_(options),
      mesh_(mesh),
      borrowed_(plan::borrowed_parameters(model, mesh.size(Axis::pipeline), options.chunks,
                                          options.cuts)),
      stage_(part_of(model, options, mesh)),
      store_(stage_.model, options.precision, torch_device(mesh.device()), options.shard,
             &mesh.shard(), &mesh.twins()),
      offload_(mesh.device()) {
  context_.mesh = &mesh;
  context_.context_method = options.context_method;
  context_.selective = options.recompute == Recompute::selective;
  context_.seed = options.seed;
  second_context_ = context_;
  const plan::ModelSpec& own = stage_.model;
  for (size_t b = 0; b < own.blocks.size(); ++b) {
    auto& block = layers_.emplace_back();
    for (size_t l = 0; l < own.blocks[b].layers.size(); ++l)
      block.push_back(nn::make_layer(own.blocks[b].layers[l]));
    for (const size_t unit : units_of(b)) store_.lend(unit, true);
    for (size_t l = 0; l < block.size(); ++l)
      block[l]->bind(store_.weights_of(b, l, /*with_gradient=*/true));
    for (const size_t unit : units_of(b)) store_.lend(unit, false);
  }
  if (options.float8) make_float8();
  held_.assign(layers_.size(), false);
  for (const plan::Borrowed& one : borrowed_) {
    if (one.from == mesh.coordinate(Axis::pipeline)) held_[store_.slot(one.parameter).unit] = true;
  }
  if (!store_.split()) make_buckets();
  if (!store_.split()) list_added_gradients();
  if (pipelined()) pipeline_ = std::make_unique<Pipeline>(*this);
}

Engine::~Engine() = default;

void Engine::make_float8() {
  int64_t products = 0;
  for (const auto& block : layers_) {
    for (const auto& layer : block) products += layer->float8_products();
  }
  float8_ = std::make_unique<nn::Float8Table>(products, torch_device(mesh_.device()));
  int64_t next = 0;
  for (auto& block : layers_) {
    for (auto& layer : block) {
      layer->use_float8({float8_.get(), next});
      next += layer->float8_products();
    }
  }
}

std::vector<run::StateArray> Engine::float8_arrays(const std::string& prefix) const {
  std::vector<run::StateArray> out;
  if (!float8_) return out;
  int64_t next = 0;
  for (const auto& block : layers_) {
    for (const auto& layer : block) {
      const int64_t products = layer->float8_products();
      if (products == 0) continue;
      out.push_back(whole_array(prefix + "float8." + layer->spec().name,
                                float8_->largest().narrow(0, next, products)));
      next += products;
    }
  }
  return out;
}

void Engine::float8_loaded() {
  if (float8_) float8_->loaded();
}

void Engine::set_random_state(const at::Tensor& state) {
  context_.random_state = second_context_.random_state = state;
}

void Engine::set_training(bool on) {
  context_.training = second_context_.training = on;
  if (float8_) float8_->record(on);
}

// Between GPUs of one host a sum takes nearly as much from the products beside it as it takes by
// itself, and large ones are quicker: there moderate gradients leave together.
int64_t Engine::bucket_bytes() {
  constexpr int64_t kModerate = int64_t{2} << 30;
  const int64_t all = store_.elements() * static_cast<int64_t>(store_.gradient().element_size());
  if (options_.bucket_bytes > 0) return options_.bucket_bytes;
  const bool near = mesh_.device().is_cuda() && mesh_.capturable() && mesh_.on_one_host();
  return near && all <= kModerate ? all : 25 << 20;
}

void Engine::make_buckets() {
  const int64_t most =
      std::max<int64_t>(1, bucket_bytes() / static_cast<int64_t>(store_.gradient().element_size()));
  int64_t end = store_.elements();
  int64_t begin = end;
  bool held = false;
  const auto close = [&] {
    if (begin < end) buckets_.push_back({begin, end, held});
    end = begin;
  };
  for (size_t b = layers_.size(); b-- > 0;) {
    if (held != held_[b]) close();
    held = held_[b];
    for (size_t l = layers_[b].size(); l-- > 0;) {
      const LayerRange& range = store_.range_of(b, l);
      if (range.tied || range.begin == range.end) continue;
      begin = range.begin;
      if (end - begin >= most) close();
    }
  }
  close();
}

void Engine::initialize(uint64_t seed) {
  store_.initialize(seed);
  publish();
}

// Gradients that layers write are not zeroed first, which would cost a pass over each, and another
// one to read the zeros. Of a tied parameter the head writes, and the embedding then adds: so it is
// where backward runs through the layers in order. In a pipeline, which may put work off, the two
// lie in different stages.
void Engine::list_added_gradients() {
  std::set<std::string> written;
  for (const auto& block : layers_) {
    for (const auto& layer : block) {
      const auto& parameters = layer->spec().parameters;
      for (const auto& [first, count] : layer->written_groups()) {
        for (size_t i = first; i < first + count; ++i)
          written.insert(parameters[i].tied_to.empty() ? parameters[i].name
                                                       : parameters[i].tied_to);
      }
    }
  }
  for (const Slot& slot : store_.layout().slots()) {
    if (!written.contains(slot.spec->name))
      added_gradients_.push_back(store_.parameter_gradient(slot.spec->name));
  }
  for (const WeightStore::Borrowed& one : store_.borrowed()) {
    if (!written.contains(one.name)) added_gradients_.push_back(one.gradient);
  }
}

void Engine::zero_gradients() {
  if (store_.split()) return store_.zero_gradients();
  const at::NoGradGuard no_grad;
  if (!added_gradients_.empty()) at::_foreach_zero_(added_gradients_);
  for (auto& block : layers_) {
    for (auto& layer : block) layer->expect_first_gradients();
  }
}

// ---- whole values, where they are gathered for each use

std::vector<size_t> Engine::units_of(size_t block) const {
  std::vector<size_t> units{block};
  for (size_t l = 0; l < layers_[block].size(); ++l) {
    const int lender = store_.range_of(block, l).lender;
    if (lender >= 0) units.push_back(static_cast<size_t>(lender));
  }
  return units;
}

void Engine::prefetch(size_t block) {
  if (store_.level() != Shard::parameters || block == kNone) return;
  for (const size_t unit : units_of(block)) store_.start_gather(unit);
}

void Engine::acquire(size_t block, size_t next) {
  if (store_.level() != Shard::parameters) return;
  for (const size_t unit : units_of(block)) store_.finish_gather(unit);
  prefetch(next);
}

void Engine::release(size_t block, size_t next) {
  if (store_.level() != Shard::parameters || block == next) return;
  for (const size_t unit : units_of(block)) store_.release_values(unit);
}

void Engine::open_gradients(size_t block) {
  if (!store_.split()) return;
  for (const size_t unit : units_of(block)) store_.open_gradient(unit);
}

// ---- gradients that leave

// The weight gradients of one micro-batch are complete in a block.
bool Engine::block_done(size_t block, bool last_micro_batch) {
  if (!store_.split() || held_[block]) return false;
  if (store_.level() == Shard::states && !last_micro_batch) return false;
  store_.start_reduce(block, last_micro_batch);
  store_.poll_reductions();
  return true;
}

bool Engine::gradients_ready_from(int64_t offset) {
  if (mesh_.replicas().size() == 1) return false;
  const size_t before = reductions_.size();
  const device::Stream stream = current_stream(mesh_.device());
  const trace::Scope scope("communication", "comm:data");
  while (buckets_sent_ < buckets_.size() && buckets_[buckets_sent_].begin >= offset) {
    const Bucket& bucket = buckets_[buckets_sent_++];
    if (bucket.held) continue;
    const device::Buffer all = buffer_of(store_.gradient());
    reductions_.push_back(mesh_.replicas().all_reduce_async(
        all.slice(bucket.begin, bucket.end - bucket.begin), comm::Reduce::sum, stream));
  }
  for (auto& reduction : reductions_)
    reduction->done();  // lets MPI progress while the backward pass goes on
  return reductions_.size() > before;
}

// The products that are asked for from now on run while messages do.
void Engine::beside_messages(bool on) const {
  nn::leave_multiprocessors(on ? options_.message_multiprocessors : 0);
}

void Engine::finish_gradients(const std::function<void(int64_t begin, int64_t end)>& summed) {
  const device::Stream stream = current_stream(mesh_.device());
  int64_t final_from = store_.shard_elements();
  const auto is_final = [&](int64_t begin) {
    if (summed && begin < final_from) summed(begin, final_from);
    final_from = begin;
  };
  // Else more is added after the last sum.
  const bool early = borrowed_.empty() && mesh_.size(Axis::tensor) == 1;
  if (!borrowed_.empty()) {
    return_borrowed_gradients();
    for (size_t b = 0; store_.split() && b < held_.size(); ++b) {
      if (held_[b]) store_.start_reduce(b, /*last=*/true);
    }
    for (const Bucket& bucket : buckets_) {
      if (!bucket.held || mesh_.replicas().size() == 1) continue;
      reductions_.push_back(mesh_.replicas().all_reduce_async(
          buffer_of(store_.gradient()).slice(bucket.begin, bucket.end - bucket.begin),
          comm::Reduce::sum, stream));
    }
  }
  if (const int64_t begin = store_.finish_all_but_last(); early) is_final(begin);
  store_.finish_reductions();
  if (!reductions_.empty()) {
    const trace::Scope scope("communication", "comm:data");
    for (size_t i = 0; i < reductions_.size(); ++i) {
      const bool last = i + 1 == reductions_.size();
      if (last && early && reductions_.size() == buckets_.size()) is_final(buckets_.back().end);
      reductions_[i]->wait(stream);
    }
    reductions_.clear();
  }
  if (mesh_.size(Axis::tensor) > 1) store_.sum_unsplit_gradients(mesh_.axis(Axis::tensor));
  if (float8_) float8_->finish_step({&mesh_.replicas(), &mesh_.axis(Axis::tensor)});
  is_final(0);
}

// ---- parameters that another stage holds

void Engine::expect_borrowed_gradients() {
  comm::Communicator& stages = mesh_.pipeline_back();
  for (const plan::Borrowed& one : borrowed_) {
    if (one.from != stages.rank()) continue;
    const at::Tensor arrived = at::empty_like(store_.whole_gradient_of(one.parameter));
    arriving_.emplace_back(arrived,
                           stages.receive_async(buffer_of(arrived), static_cast<int>(one.to),
                                                current_stream(mesh_.device())));
  }
}

void Engine::return_borrowed_gradients() {
  const at::NoGradGuard no_grad;
  const device::Stream stream = current_stream(mesh_.device());
  comm::Communicator& stages = mesh_.pipeline_back();
  if (arriving_.empty()) expect_borrowed_gradients();
  size_t mine = 0, next = 0;
  for (const plan::Borrowed& one : borrowed_) {
    if (one.to == stages.rank()) {
      stages.send(buffer_of(store_.borrowed()[mine++].gradient), static_cast<int>(one.from),
                  stream);
    } else if (one.from == stages.rank()) {
      auto& [arrived, work] = arriving_[next++];
      work->wait(stream);
      store_.whole_gradient_of(one.parameter).add_(arrived);
    }
  }
  arriving_.clear();
}

void Engine::lend_borrowed_values() {
  const device::Stream stream = current_stream(mesh_.device());
  comm::Communicator& stages = mesh_.axis(Axis::pipeline);
  size_t mine = 0;
  for (const plan::Borrowed& one : borrowed_) {
    if (one.from == stages.rank()) {
      stages.send(buffer_of(store_.whole_value_of(one.parameter)), static_cast<int>(one.to),
                  stream);
      store_.release_values(store_.slot(one.parameter).unit);
    } else if (one.to == stages.rank()) {
      stages.receive(buffer_of(store_.borrowed()[mine++].value), static_cast<int>(one.from),
                     stream);
    }
  }
}

void Engine::publish() {
  store_.publish();
  if (!borrowed_.empty()) lend_borrowed_values();
}

}  // namespace ocoee::parallel
