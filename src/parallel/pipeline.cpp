// SPDX-License-Identifier: Apache-2.0
#include "parallel/pipeline.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/trace.h"

namespace ocoee::parallel {
namespace {

using comm::Axis;
using plan::Action;

constexpr int64_t kHeaderBytes = 1024;  // room for the names and shapes of a bundle

std::string describe(const nn::Bundle& bundle) {
  nlohmann::json fields = nlohmann::json::array();
  for (const auto& [name, tensor] : bundle.items()) {
    if (!tensor.defined()) continue;
    fields.push_back({name, static_cast<int>(tensor.scalar_type()), tensor.sizes().vec()});
  }
  return fields.dump();
}

}  // namespace

// ---- bundles between stages

comm::Communicator& BundleTransport::channel(Way way, int from) {
  return mesh_.link(way == Way::forward, from);
}

void BundleTransport::expect(const nn::Bundle& batch) {
  std::string text = describe(batch);
  if (text == batch_) return;
  batch_ = std::move(text);
  sent_.clear();
  received_.clear();
}

void BundleTransport::send(const nn::Bundle& bundle, int peer, Way way, size_t chunk) {
  comm::Communicator& stages = channel(way, mesh_.coordinate(Axis::pipeline));
  const device::Stream stream = current_stream(mesh_.device());
  const int64_t message = ++messages_[{peer, way}];
  auto& names = sent_[{peer, way, chunk}];
  if (names.empty()) {
    const std::string text = describe(bundle);
    OCOEE_CHECK(static_cast<int64_t>(text.size()) < kHeaderBytes, "a bundle too long to describe");
    at::Tensor header = at::zeros({kHeaderBytes}, at::kByte);
    std::copy(text.begin(), text.end(), header.data_ptr<uint8_t>());
    under_way_.push_back({peer, way, message, stages.send_async(buffer_of(header), peer), header});
    for (const auto& [name, tensor] : bundle.items()) {
      if (tensor.defined()) names.push_back(name);
    }
  }
  for (const std::string& name : names) {
    OCOEE_CHECK(bundle.has(name), "a bundle without '{}', which the first of its kind had", name);
    const at::Tensor tensor = bundle.at(name).contiguous();
    under_way_.push_back(
        {peer, way, message, stages.send_async(buffer_of(tensor), peer, stream), tensor});
  }
  let_go(stream);
}

// Those that are through need their tensors no more. To wait for one that may not be would make
// stages wait for each other.
void BundleTransport::let_go(const device::Stream& stream) {
  const bool captured = stream.device.is_cuda() && device::capturing(stream);
  std::erase_if(under_way_, [&](Sending& send) {
    const bool through = captured ? messages_[{send.peer, send.way}] - send.message >= most_unseen_
                                  : send.work->done();
    if (through) send.work->wait(stream);
    return through;
  });
}

nn::Bundle BundleTransport::receive(int peer, Way way, size_t chunk) {
  const trace::Scope scope("communication", "comm:pipeline");
  comm::Communicator& stages = channel(way, peer);
  const device::Stream stream = current_stream(mesh_.device());
  const Key key{peer, way, chunk};
  auto& fields = received_[key];
  if (fields.empty()) {
    const at::Tensor header = at::zeros({kHeaderBytes}, at::kByte);
    stages.receive(buffer_of(header), peer);
    const auto text = nlohmann::json::parse(
        std::string(reinterpret_cast<const char*>(header.data_ptr<uint8_t>())));
    for (const auto& field : text)
      fields.push_back({field[0].get<std::string>(),
                        static_cast<c10::ScalarType>(field[1].get<int>()),
                        field[2].get<std::vector<int64_t>>()});
  }
  const auto prepared = prepared_.find(key);
  Arriving arriving =
      prepared == prepared_.end() ? start_receive(key, fields) : std::move(prepared->second);
  if (prepared != prepared_.end()) prepared_.erase(prepared);
  for (auto& work : arriving.work) work->wait(stream);
  return std::move(arriving.bundle);
}

BundleTransport::Arriving BundleTransport::start_receive(const Key& key,
                                                         const std::vector<Field>& fields) {
  const auto [peer, way, chunk] = key;
  const device::Stream stream = current_stream(mesh_.device());
  Arriving out;
  for (const Field& field : fields) {
    const at::Tensor tensor = at::empty(
        field.shape, at::TensorOptions().dtype(field.type).device(torch_device(mesh_.device())));
    out.work.push_back(channel(way, peer).receive_async(buffer_of(tensor), peer, stream));
    out.bundle[field.name] = tensor;
  }
  return out;
}

// On a GPU of its own a receive that waits is a kernel: whatever then waits for the whole device
// would wait for the other stage, which may wait for this one.
bool BundleTransport::prepare(int peer, Way way, size_t chunk) {
  if (mesh_.device().is_cuda() && mesh_.capturable()) return false;
  const Key key{peer, way, chunk};
  const auto known = received_.find(key);
  if (known == received_.end() || prepared_.contains(key)) return false;
  prepared_.emplace(key, start_receive(key, known->second));
  return true;
}

void BundleTransport::finish_sends() {
  const device::Stream stream = current_stream(mesh_.device());
  for (Sending& send : under_way_) send.work->wait(stream);
  under_way_.clear();
}

// ---- the executor

using Way = BundleTransport::Way;

namespace {

// Whether actions compute alone: their messages come before or after them.
bool messages_stand_apart(Engine& engine) {
  const comm::Mesh& mesh = engine.mesh();
  const Shard level = engine.weights().level();
  return mesh.size(Axis::tensor) * mesh.size(Axis::context) == 1 &&
         (level == Shard::none || level == Shard::states);
}

// A message that has not arrived belongs to a micro-batch that the stage holds, or its neighbour;
// where stages have one part, each takes turns with the other, and is at most one behind.
int64_t most_unseen(Engine& engine) {
  const int chunks = engine.options().chunks;
  if (chunks == 1) return 2;
  return engine.mesh().size(Axis::pipeline) * (chunks + 1);
}

}  // namespace

Engine::Pipeline::Pipeline(Engine& engine)
    : log(engine.mesh().device(), messages_stand_apart(engine)),
      engine_(engine),
      transport_(engine.mesh(), most_unseen(engine)) {
  const std::string problem = engine.options().schedule == plan::ScheduleKind::zero_bubble
                                  ? plan::zero_bubble_problem(engine.model())
                                  : "";
  OCOEE_CHECK(problem.empty(), "{}", problem);  // check_placement told it
}

const std::vector<plan::Step>& Engine::Pipeline::steps_for(size_t micro_batches) {
  auto found = schedules_.find(micro_batches);
  if (found == schedules_.end()) {
    const plan::ScheduleRequest request{engine_.options().schedule,
                                        engine_.mesh().size(Axis::pipeline),
                                        static_cast<int>(micro_batches), engine_.options().chunks,
                                        engine_.weights().level() == Shard::parameters};
    found = schedules_.emplace(micro_batches, plan::make_schedule(request)).first;
  }
  return found->second.stages[static_cast<size_t>(engine_.mesh().coordinate(Axis::pipeline))];
}

namespace {

bool receives(Action action) {
  return action == Action::receive_forward || action == Action::receive_backward;
}
bool runs_blocks(Action action) {
  return action == Action::forward || action == Action::backward;
}

// A backward right before the weight work of its micro-batch: one pass then does both, so that it
// fills the waits for other ranks, and gradients leave layer by layer.
bool does_weights(const std::vector<plan::Step>& steps, size_t i) {
  return steps[i].action == Action::backward && i + 1 < steps.size() &&
         steps[i + 1].action == Action::weight && steps[i + 1].chunk == steps[i].chunk &&
         steps[i + 1].micro == steps[i].micro;
}

}  // namespace

// The messages that come before the next computation, from step `first` on, in their order.
void Engine::Pipeline::prepare(const std::vector<plan::Step>& steps, size_t first) {
  for (size_t i = first; i < steps.size(); ++i) {
    const plan::Step& step = steps[i];
    if (runs_blocks(step.action) || step.action == Action::weight) return;
    const Way way = step.action == Action::receive_forward ? Way::forward : Way::backward;
    if (receives(step.action) && !transport_.prepare(step.peer, way, step.chunk)) return;
  }
}

// The first block that runs from step `first` on.
size_t Engine::Pipeline::next_block(const std::vector<plan::Step>& steps, size_t first) const {
  for (size_t i = first; i < steps.size(); ++i) {
    const auto [begin, end] = engine_.stage_.chunks[steps[i].chunk];
    if (steps[i].action == Action::forward) return begin;
    if (steps[i].action == Action::backward) return end - 1;
  }
  return Engine::kNone;
}

// The block that the next gather is for, if it comes before the next computation.
size_t Engine::Pipeline::next_gathered(const std::vector<plan::Step>& steps, size_t first) const {
  for (size_t i = first; i < steps.size() && !runs_blocks(steps[i].action); ++i)
    if (steps[i].action == Action::gather) return next_block(steps, i);
  return Engine::kNone;
}

void Engine::Pipeline::run(const std::vector<MicroStep>& micro,
                           const std::function<nn::Bundle(size_t, const nn::Bundle&)>& score) {
  const int stage = engine_.mesh().coordinate(Axis::pipeline),
            stages = engine_.mesh().size(Axis::pipeline);
  using Place = std::pair<size_t, size_t>;  // chunk, micro-batch
  std::map<Place, Engine::Pass> passes;
  std::map<Place, nn::Bundle> arrived, leaving;
  transport_.expect(*micro.front().batch);
  log.start(current_stream(engine_.mesh().device()));
  most_in_flight = 0;
  const auto is_last_part = [&](size_t chunk) {
    return stage == stages - 1 && chunk + 1 == engine_.chunks();
  };
  const std::vector<plan::Step>& steps = steps_for(micro.size());
  size_t ended_with = Engine::kNone;  // the block that ran last
  for (size_t i = 0; i < steps.size(); ++i) {
    const plan::Step& step = steps[i];
    const size_t chunk = step.chunk;
    const Place place{chunk, step.micro};
    const bool last_micro_batch = step.micro + 1 == micro.size();
    if (step.action == Action::weight && i > 0 && does_weights(steps, i - 1)) {
      passes.erase(place);  // done with its backward
      continue;
    }
    const bool fused = does_weights(steps, i), runs = runs_blocks(step.action);
    const size_t next = next_gathered(steps, i + 1);
    log.begin(step);
    // The stage that borrowed has ended when this one begins its last backward pass.
    if (step.action == Action::backward && micro.size() > 1 &&
        next_block(steps, i + 1) == Engine::kNone)
      engine_.expect_borrowed_gradients();
    if (runs || step.action == Action::weight) prepare(steps, i + (fused ? 2 : 1));
    // The neighbour's chunk differs where the parts wrap from the last stage to the first.
    const size_t after = stage == stages - 1 ? chunk + 1 : chunk,
                 before = stage == 0 ? chunk - 1 : chunk;
    switch (step.action) {
      case Action::receive_forward:
        arrived[place] = transport_.receive(step.peer, Way::forward, chunk);
        break;
      case Action::forward: {
        nn::Bundle in =
            arrived.contains(place) ? std::move(arrived[place]) : *micro[step.micro].batch;
        arrived.erase(place);
        Engine::Pass pass = engine_.forward_chunk(chunk, std::move(in), micro[step.micro], next);
        if (is_last_part(chunk)) {
          arrived[place] = score(step.micro, pass.output);
          pass.output.clear();
        } else {
          leaving[place] = std::move(pass.output);
        }
        passes.emplace(place, std::move(pass));
        most_in_flight = std::max(most_in_flight, static_cast<int64_t>(passes.size()));
        break;
      }
      case Action::send_forward:
        transport_.send(leaving.at(place), step.peer, Way::forward, after);
        leaving.erase(place);
        break;
      case Action::receive_backward:
        arrived[place] = transport_.receive(step.peer, Way::backward, chunk);
        break;
      case Action::backward:
        leaving[place] = fused ? engine_.backward_chunk(passes.at(place), arrived.at(place),
                                                        last_micro_batch, next)
                               : engine_.input_backward(passes.at(place), arrived.at(place), next);
        arrived.erase(place);
        if (stage == 0 && chunk == 0) leaving.erase(place);
        break;
      case Action::send_backward:
        transport_.send(leaving.at(place), step.peer, Way::backward, before);
        leaving.erase(place);
        break;
      case Action::weight:
        engine_.weight_work(passes.at(place), last_micro_batch);
        passes.erase(place);
        break;
      case Action::gather:
        engine_.prefetch(next_block(steps, i));
        break;
      case Action::release:
        engine_.release(ended_with, next);
        break;
    }
    if (runs) {
      const auto [begin, end] = engine_.stage_.chunks[chunk];
      ended_with = step.action == Action::forward ? end - 1 : begin;
    }
    log.end();
  }
  transport_.finish_sends();
}

nn::Bundle Engine::Pipeline::evaluate(
    const nn::Bundle& batch, const std::function<nn::Bundle(size_t, nn::Bundle)>& run_chunk) {
  const int stage = engine_.mesh().coordinate(Axis::pipeline),
            stages = engine_.mesh().size(Axis::pipeline);
  transport_.expect(batch);
  nn::Bundle out;
  for (size_t chunk = 0; chunk < engine_.chunks(); ++chunk) {
    const bool first = stage == 0 && chunk == 0;
    const bool last = stage == stages - 1 && chunk + 1 == engine_.chunks();
    nn::Bundle in =
        first ? batch : transport_.receive((stage + stages - 1) % stages, Way::forward, chunk);
    out = run_chunk(chunk, std::move(in));
    if (last) break;
    transport_.send(out, (stage + 1) % stages, Way::forward,
                    stage == stages - 1 ? chunk + 1 : chunk);
    out.clear();
  }
  transport_.finish_sends();
  return out;
}

void Engine::run_pipeline(const std::vector<MicroStep>& micro,
                          const std::function<nn::Bundle(size_t, const nn::Bundle&)>& score) {
  OCOEE_CHECK(pipeline_ != nullptr, "this model has one stage");
  pipeline_->run(micro, score);
}

std::vector<Executed> Engine::executed() const {
  OCOEE_CHECK(pipeline_ != nullptr, "this model has one stage");
  return pipeline_->log.read();
}

int64_t Engine::most_in_flight() const {
  OCOEE_CHECK(pipeline_ != nullptr, "this model has one stage");
  return pipeline_->most_in_flight;
}

}  // namespace ocoee::parallel
