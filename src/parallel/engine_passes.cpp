// SPDX-License-Identifier: Apache-2.0
// The engine's passes through the blocks of a stage: forward, with what is kept, and backward.
#include <map>

#include "core/error.h"
#include "core/trace.h"
#include "parallel/engine.h"
#include "parallel/pipeline.h"

namespace ocoee::parallel {

using comm::Axis;

// ---- halves that take turns

// On GPUs of their own.
bool Engine::messages_run_beside() const {
  return mesh_.device().is_cuda() && mesh_.capturable();
}

bool Engine::takes_turns(const nn::Bundle& batch) const {
  if (mesh_.size(Axis::tensor) == 1 || options_.halves == Halves::off) return false;
  const bool wanted = options_.halves == Halves::on ||
                      (messages_run_beside() && !mesh_.axis(Axis::tensor).has_copy_engines());
  return wanted && batch.at("tokens").size(0) % 2 == 0;
}

namespace {

// By samples, or by the rows that come from them. A scalar belongs to both.
nn::Bundle half_of(const nn::Bundle& whole, int64_t which) {
  nn::Bundle half;
  for (const auto& [name, tensor] : whole.items()) {
    const bool scalar = !tensor.defined() || tensor.dim() == 0;
    const int64_t rows = scalar ? 0 : tensor.size(0) / 2;
    half[name] = scalar ? tensor : tensor.narrow(0, which * rows, rows);
  }
  return half;
}

nn::Bundle scalars_of(const nn::Bundle& all) {
  nn::Bundle out;
  for (const auto& [name, tensor] : all.items()) {
    if (tensor.defined() && tensor.dim() == 0) out[name] = tensor;
  }
  return out;
}

// Sums of losses are added.
nn::Bundle whole_of(const nn::Bundle& first, const nn::Bundle& second) {
  const at::NoGradGuard no_grad;
  nn::Bundle whole;
  for (const auto& [name, tensor] : first.items()) {
    const at::Tensor& other = second.at(name);
    whole[name] = !tensor.defined()   ? tensor
                  : tensor.dim() == 0 ? tensor + other
                                      : at::cat({tensor, other});
  }
  return whole;
}

}  // namespace

// ---- what is kept for backward

const std::vector<plan::ArenaPlan>& Engine::arenas_of(size_t block, const nn::Context& context) {
  plan::ArenaShape shape;
  if (context.batch->has("tokens")) {
    const at::Tensor& tokens = context.batch->at("tokens");
    shape.tokens = tokens.numel();
    shape.keys = tokens.size(1) * mesh_.size(Axis::context);
  }
  shape.compute_bytes = static_cast<int64_t>(c10::elementSize(options_.precision.compute));
  shape.selective = context.selective;
  shape.apart = pipelined() && options_.schedule == plan::ScheduleKind::zero_bubble;
  shape.alignment = mesh_.device().is_cuda() ? 256 : 64;
  if (arenas_.empty() || shape != arena_shape_) {
    arena_shape_ = shape;
    arenas_.assign(layers_.size(), {});
    for (size_t b = 0; b < layers_.size(); ++b) {
      const auto& layers = stage_.model.blocks[b].layers;
      for (size_t l = 0; l < layers.size(); ++l)
        arenas_[b].push_back(plan::plan_arena(
            layers[l], l + 1 < layers.size() ? &layers[l + 1] : nullptr, arena_shape_));
    }
  }
  return arenas_[block];
}

// Right after its forward pass.
void Engine::count_kept(Walk& walk, size_t block, bool recomputed) {
  Pass& pass = walk.pass;
  const plan::BlockSpec& spec = stage_.model.blocks[block];
  if (std::all_of(spec.layers.begin(), spec.layers.end(),
                  [](const plan::LayerSpec& layer) { return layer.saved.empty(); }))
    return;  // a tape, or nothing but the batch
  const std::vector<plan::ArenaPlan>& arenas = arenas_of(block, walk.context);
  pass.kept.planned += plan::block_input_bytes(spec, arena_shape_);
  for (const plan::ArenaPlan& arena : arenas) pass.kept.planned += recomputed ? 0 : arena.total();
  // What came in from another stage belongs to both halves.
  const bool shared = pass.own_batch && block == stage_.chunks[pass.chunk].first;
  std::map<const void*, int64_t> storages;
  for (const at::Tensor* tensor : saved_tensors(pass, block)) {
    if (!tensor->defined() || !tensor->is_floating_point()) continue;
    const bool arrived = storages.empty() && shared;  // the input of the block is the first
    storages[tensor->storage().unsafeGetStorageImpl()] =
        static_cast<int64_t>(arrived ? tensor->nbytes() : tensor->storage().nbytes());
  }
  for (const auto& [storage, bytes] : storages) pass.kept.taken += bytes;
}

// ---- forward

void Engine::run_block(size_t block, const nn::Bundle& in, nn::Bundle& out) {
  nn::Bundle current = in;
  for (const auto& layer : layers_[block]) {
    nn::Bundle next;
    nn::Saved dropped;
    layer->forward(current, next, dropped, context_);
    current = std::move(next);
  }
  out = std::move(current);
}

void Engine::start(Pass& pass, size_t chunk, const nn::Bundle& batch, int64_t first_sample) const {
  const auto [first, last] = stage_.chunks[chunk];
  pass.batch = &batch;
  pass.first_sample = first_sample;
  pass.chunk = chunk;
  pass.saved.resize(last - first);
  pass.block_inputs.resize(options_.recompute == Recompute::full ? last - first : 0);
  if (options_.offload) pass.parked.resize(last - first);
}

void Engine::enter(const Pass& pass, nn::Context& context) const {
  const bool in_turns = pass.own_batch != nullptr;
  context.own_rows_first =
      (options_.own_rows_first || messages_run_beside()) && !in_turns && !options_.float8;
  context.batch = pass.batch;
  context.first_sample = pass.first_sample;
  context.save = true;
}

// Forward through the layers of a block; `saved` null: nothing is kept.
void Engine::add_block(Walk& walk, size_t block, std::vector<nn::Saved>* saved, bool wants_output,
                       nn::Pieces& pieces) {
  if (saved) saved->resize(layers_[block].size());
  for (size_t l = 0; l < layers_[block].size(); ++l) {
    if (saved) {
      pieces.add([this, &walk, block, l] {
        walk.arena.emplace(arenas_of(block, walk.context)[l], torch_device(mesh_.device()));
        walk.context.arena = &*walk.arena;
      });
    }
    const bool wanted = wants_output || l + 1 < layers_[block].size();
    pieces.add([&walk, wanted] { walk.context.wants_output = wanted; });
    layers_[block][l]->forward_pieces(walk.here, walk.leaving, saved ? (*saved)[l] : walk.nothing,
                                      walk.context, pieces);
    pieces.add([&walk] {
      walk.context.wants_output = true;
      walk.context.arena = nullptr;
      walk.arena.reset();
      walk.here = std::move(walk.leaving);
      walk.leaving.clear();
    });
  }
}

void Engine::add_forward(Walk& walk, size_t next_block, nn::Pieces& pieces) {
  Pass& pass = walk.pass;
  const auto [first, last] = stage_.chunks[pass.chunk];
  for (size_t b = first; b < last; ++b) {
    const bool keeps = options_.recompute != Recompute::full || turns_round(b);
    const size_t after = b + 1 < last ? b + 1 : next_block, at = b - first;
    pieces.add([this, &walk, b, at, after, keeps] {
      walk.context.save = keeps;
      if (!keeps) walk.pass.block_inputs[at] = walk.here;
      if (walk.leads) acquire(b, after);
    });
    add_block(walk, b, keeps ? &pass.saved[at] : nullptr, /*wants_output=*/true, pieces);
    pieces.add([this, &walk, b, at, after, keeps] {
      if (walk.closes && at + 1 < walk.pass.saved.size()) release(b, after);
      count_kept(walk, b, !keeps);
      if (options_.offload && !turns_round(b)) park(walk.pass, b);
    });
  }
  pieces.add([&walk] { walk.pass.output = std::move(walk.here); });
}

Engine::Pass Engine::forward_chunk(size_t chunk, nn::Bundle in, const MicroStep& micro,
                                   size_t next_block) {
  const trace::Scope scope("forward");
  set_training(true);
  Pass pass;
  nn::Pieces pieces;
  if (!takes_turns(*micro.batch)) {
    start(pass, chunk, *micro.batch, micro.first_sample);
    enter(pass, context_);
    Walk walk{pass, context_, std::move(in)};
    add_forward(walk, next_block, pieces);
    pieces.finish();
    if (pass.kept.taken >= kept_.taken) kept_ = pass.kept;
    return pass;
  }
  pass.second_half = std::make_unique<Pass>();
  Pass& second = *pass.second_half;
  pass.own_batch = std::make_unique<nn::Bundle>(half_of(*micro.batch, 0));
  second.own_batch = std::make_unique<nn::Bundle>(half_of(*micro.batch, 1));
  start(pass, chunk, *pass.own_batch, micro.first_sample);
  start(second, chunk, *second.own_batch,
        micro.first_sample + second.own_batch->at("tokens").size(0));
  enter(pass, context_);
  enter(second, second_context_);
  Walk ahead{pass, context_, half_of(in, 0), true, false},
      behind{second, second_context_, half_of(in, 1), false, true};
  in.clear();
  nn::Pieces others;
  add_forward(ahead, next_block, pieces);
  add_forward(behind, next_block, others);
  // A layer has three turns in a forward pass. One turn apart, the product that enters a layer runs
  // beside the exchange after the one that leaves it, and the rest beside the one before.
  beside_messages(true);
  nn::take_turns(pieces, others, /*ahead=*/1);
  beside_messages(false);
  pass.sums = {scalars_of(pass.output), scalars_of(second.output)};
  pass.output = whole_of(pass.output, second.output);
  pass.sums.whole = scalars_of(pass.output);
  second.output.clear();
  pass.kept.planned += second.kept.planned, pass.kept.taken += second.kept.taken;
  if (pass.kept.taken >= kept_.taken) kept_ = pass.kept;
  return pass;
}

// The block that is about to run backward, of the last stage: to recompute or to park it would save
// nothing.
bool Engine::turns_round(size_t block) const {
  const bool last_stage = mesh_.coordinate(Axis::pipeline) + 1 == mesh_.size(Axis::pipeline);
  const bool at_once = !pipelined() || options_.schedule != plan::ScheduleKind::gpipe;
  return last_stage && at_once && block + 1 == layers_.size();
}

std::vector<at::Tensor*> Engine::saved_tensors(Pass& pass, size_t block) const {
  const size_t at = block - stage_.chunks[pass.chunk].first;
  std::vector<at::Tensor*> out;
  for (nn::Saved& saved : pass.saved[at]) {
    for (at::Tensor& tensor : saved.tensors) out.push_back(&tensor);
  }
  if (at < pass.block_inputs.size()) {
    for (auto& [name, tensor] : pass.block_inputs[at].items()) out.push_back(&tensor);
  }
  return out;
}

void Engine::park(Pass& pass, size_t block) {
  std::vector<at::Tensor> batch;
  for (const auto& [name, tensor] : pass.batch->items()) batch.push_back(tensor);
  pass.parked[block - stage_.chunks[pass.chunk].first] =
      offload_.park(saved_tensors(pass, block), batch);
}

// This block's come back before they are needed, and those of the next one start.
void Engine::restore(Pass& pass, size_t block) {
  const size_t at = block - stage_.chunks[pass.chunk].first;
  offload_.restore(pass.parked[at], saved_tensors(pass, block));
  if (at > 0) offload_.fetch(pass.parked[at - 1]);
}

Engine::Pass Engine::forward(const nn::Bundle& batch, int64_t first_sample) {
  OCOEE_CHECK(!pipelined(), "a pipelined model runs whole steps");
  return forward_chunk(0, batch, {&batch, first_sample}, layers_.size() - 1);
}

nn::Bundle Engine::evaluate(const nn::Bundle& batch) {
  const at::NoGradGuard no_grad;
  context_.batch = &batch;
  set_training(false);
  context_.save = false;
  const auto run = [&](size_t chunk, nn::Bundle current) {
    const auto [first, last] = stage_.chunks[chunk];
    for (size_t b = first; b < last; ++b) {
      nn::Bundle next;
      const size_t after = b + 1 < layers_.size() ? b + 1 : kNone;  // chunks come in order
      acquire(b, after);
      run_block(b, current, next);
      release(b, after);
      current = std::move(next);
    }
    return current;
  };
  return pipeline_ ? pipeline_->evaluate(batch, run) : run(0, batch);
}

// ---- backward

void Engine::add_backward(Walk& walk, bool last_micro_batch, size_t next_block,
                          nn::Pieces& pieces) {
  Pass& pass = walk.pass;
  const auto [first, last] = stage_.chunks[pass.chunk];
  const bool at_once = pass.put_off.empty();
  for (size_t b = last; b-- > first;) {
    std::vector<nn::Saved>& saved = pass.saved[b - first];
    const size_t after = b > first ? b - 1 : next_block, at = b - first;
    pieces.add([this, &walk, b, after, at_once] {
      if (walk.leads) acquire(b, after);
      if (walk.leads && at_once) open_gradients(b);
      if (options_.offload) restore(walk.pass, b);
    });
    if (options_.recompute == Recompute::full && !turns_round(b)) {
      pieces.add([&walk, at] {
        walk.gradient = std::move(walk.here);
        walk.here = std::move(walk.pass.block_inputs[at]);
        walk.pass.block_inputs[at].clear();
      });
      add_block(walk, b, &saved, /*wants_output=*/false, pieces);
      pieces.add([&walk] { walk.here = std::move(walk.gradient); });
    }
    for (size_t l = layers_[b].size(); l-- > 0;) {
      const bool again = context_.selective && l > 0 && layers_[b][l - 1]->repeats() &&
                         !plan::kept_input(stage_.model.blocks[b].layers[l], /*selective=*/true);
      // Only weight gradients need what is made again: the backward pass of the layer that makes it
      // does so on its way, and they come after it. Over tensor ranks it has to travel first.
      const bool owed = again && mesh_.size(Axis::tensor) == 1;
      if (again) {
        pieces.add([this, &walk, &saved, b, l, owed] {
          layers_[b][l - 1]->repeat(saved[l - 1], walk.again, walk.context, owed);
        });
      }
      pieces.add([&walk] {
        walk.context.again = &walk.again;
        walk.context.owed = &walk.owed;
      });
      layers_[b][l]->backward_pieces(walk.here, walk.leaving, saved[l],
                                     at_once ? walk.work : pass.put_off[at], walk.context, pieces);
      pieces.add([this, &walk, &saved, b, l, owed, at_once, last_micro_batch] {
        walk.context.again = walk.context.owed = nullptr;
        walk.owed.clear();
        if (owed) std::swap(walk.owed, walk.again);
        walk.again.clear();
        saved[l].clear();
        walk.here = std::move(walk.leaving);
        walk.leaving.clear();
        if (owed) return;
        walk.work.drain();
        const bool final = walk.closes && at_once && last_micro_batch && !store_.split() &&
                           !store_.range_of(b, l).tied;
        const bool left = final && gradients_ready_from(store_.range_of(b, l).begin);
        if (walk.leads && walk.closes) beside_messages(left);
      });
    }
    pieces.add([this, &walk, b, at, after, at_once, last_micro_batch] {
      if (!walk.closes) return;
      if (at > 0) release(b, after);
      const bool left = at_once && block_done(b, last_micro_batch);
      if (walk.leads && left) beside_messages(true);  // those of the next layer
    });
  }
}

nn::Bundle Engine::run_backward(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch,
                                size_t next_block) {
  const trace::Scope scope("backward");
  set_training(true);
  enter(pass, context_);
  nn::Pieces pieces;
  if (!pass.second_half) {
    Walk walk{pass, context_, grad_output};
    add_backward(walk, last_micro_batch, next_block, pieces);
    pieces.finish();
    beside_messages(false);
    return std::move(walk.here);
  }
  enter(*pass.second_half, second_context_);
  Walk ahead{pass, context_, half_of(grad_output, 0), true, false},
      behind{*pass.second_half, second_context_, half_of(grad_output, 1), false, true};
  nn::Pieces others;
  add_backward(ahead, last_micro_batch, next_block, pieces);
  add_backward(behind, last_micro_batch, next_block, others);
  // A layer has two turns: input gradients run beside the other half's sum, weight gradients beside
  // its gather.
  beside_messages(true);
  nn::take_turns(pieces, others, /*ahead=*/0);
  beside_messages(false);
  // Those that the layers have filled in now.
  for (const auto& [name, sum] : pass.sums.whole.items()) {
    const at::NoGradGuard no_grad;
    sum.copy_(pass.sums.first.at(name)).add_(pass.sums.second.at(name));
  }
  return whole_of(ahead.here, behind.here);
}

nn::Bundle Engine::backward(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch) {
  const size_t next = last_micro_batch ? kNone : 0;
  nn::Bundle gradients = backward_chunk(pass, grad_output, last_micro_batch, next);
  release(0, next);
  return gradients;
}

nn::Bundle Engine::backward_chunk(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch,
                                  size_t next) {
  if (last_micro_batch && is_last_chunk(pass.chunk)) buckets_sent_ = 0;
  return run_backward(pass, grad_output, last_micro_batch, next);
}

nn::Bundle Engine::input_backward(Pass& pass, const nn::Bundle& grad_output, size_t next) {
  const auto [first, last] = stage_.chunks[pass.chunk];
  for (Pass* half = &pass; half; half = half->second_half.get())
    half->put_off.assign(last - first, nn::WeightWork(/*put_off=*/true));
  return run_backward(pass, grad_output, /*last_micro_batch=*/false, next);
}

void Engine::weight_work(Pass& pass, bool last_micro_batch) {
  const trace::Scope scope("backward");
  const size_t first = stage_.chunks[pass.chunk].first;
  if (last_micro_batch && is_last_chunk(pass.chunk)) buckets_sent_ = 0;
  for (size_t i = pass.put_off.size(); i-- > 0;) {
    open_gradients(first + i);
    for (Pass* half = &pass; half; half = half->second_half.get()) half->put_off[i].drain();
    block_done(first + i, last_micro_batch);
    if (last_micro_batch && !store_.split()) gradients_ready_from(store_.units()[first + i].begin);
  }
}

}  // namespace ocoee::parallel
