// SPDX-License-Identifier: Apache-2.0
#include "run/counting_task.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/error.h"
#include "core/random.h"

namespace ocoee::run::testing_support {
namespace {

Box part(const std::vector<int64_t>& shape, size_t dim, int64_t index, int64_t parts) {
  Box box{std::vector<int64_t>(shape.size(), 0), shape};
  box.offset[dim] = shape[dim] * index / parts;
  box.size[dim] = shape[dim] * (index + 1) / parts - box.offset[dim];
  return box;
}

// Visits every element of a box with its index in the whole array.
template <class Visit>
void for_each_element(const Box& box, const std::vector<int64_t>& shape, Visit&& visit) {
  for (int64_t i = 0; i < box.elements(); ++i) {
    int64_t rest = i, global = 0, stride = 1;
    for (size_t d = shape.size(); d-- > 0;) {
      global += (box.offset[d] + rest % box.size[d]) * stride;
      rest /= box.size[d];
      stride *= shape[d];
    }
    visit(static_cast<size_t>(i), static_cast<uint64_t>(global));
  }
}

}  // namespace

void CountingConfig::describe(config::Description& recipe) {
  config::Description& d = recipe.section("task", "counts");
  d.field("name", name, "counting");
  d.field("steps", steps, "quanta").may_change_on_resume();
  d.field("every", every, "quanta between checkpoints").may_change_on_resume();
  d.field("rows", rows, "of the largest array").at_least(1);
  d.field("files", files, "read by nobody").names_files();
  d.field("rate", rate, "of change");
  d.field("milliseconds", milliseconds, "that a quantum sleeps").may_change_on_resume();
  d.field("log_every", log_every, "quanta").may_change_on_resume();
  d.field("start_milliseconds", start_milliseconds, "that the start sleeps").may_change_on_resume();
  d.field("fail_at", fail_at, "the last rank throws there").may_change_on_resume();
}

comm::Shape CountingConfig::mesh(int ranks) const {
  comm::Shape shape;
  shape[comm::Axis::data] = ranks;
  return shape;
}

nlohmann::json CountingConfig::preview(const RunConfig&, int ranks) const {
  return {{"parameters", rows * 5},
          {"flops_per_step", rows},
          {"steps", steps},
          {"lines", {fmt::format("counting to {} on {} ranks", steps, ranks)}}};
}

CountingTask::CountingTask(const CountingConfig& config, Context& context)
    : config_(config), context_(context) {
  if (config.start_milliseconds > 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(config.start_milliseconds));
  const int64_t rank = context.world.rank(), size = context.world.size();
  const std::vector<int64_t> tall{config.rows, 5}, wide{3, 64}, block{8, 6};
  Box quarter = size == 4 ? part(block, 0, rank / 2, 2) : part(block, 0, rank, size);
  if (size == 4) quarter.offset[1] = 3 * (rank % 2), quarter.size[1] = 3;
  blocks_ = {{"tall", tall, DType::f32, part(tall, 0, rank, size), {}},
             {"wide", wide, DType::f64, part(wide, 1, rank, size), {}},
             {"block", block, DType::i32, quarter, {}},
             {"same", {11}, DType::i64, {{0}, {11}}, {}, true},
             {"scalar", {}, DType::i64, {}, {}, true}};
  for (Block& b : blocks_)
    b.bytes.assign(static_cast<size_t>(b.box.elements()) * size_of(b.dtype), 0);
}

template <class T>
void change_elements(std::vector<char>& bytes, const Box& box, const std::vector<int64_t>& shape,
                     int64_t step, double rate) {
  const PhiloxKey key = random_key(1, Purpose::plugin_first, static_cast<uint64_t>(step));
  for_each_element(box, shape, [&](size_t local, uint64_t global) {
    T value;
    std::memcpy(&value, bytes.data() + local * sizeof value, sizeof value);
    const uint32_t bits = random_bits(key, global, 0).v[0];
    if constexpr (std::is_floating_point_v<T>) {
      value += static_cast<T>(rate) * (static_cast<T>(unit_float(bits)) - value);
    } else {
      value = static_cast<T>(value * 3 + static_cast<T>(bits % 1000));
      value %= 1000003;
    }
    std::memcpy(bytes.data() + local * sizeof value, &value, sizeof value);
  });
}

void CountingTask::change(Block& b) {
  switch (b.dtype) {
    case DType::f32:
      return change_elements<float>(b.bytes, b.box, b.shape, step_, config_.rate);
    case DType::f64:
      return change_elements<double>(b.bytes, b.box, b.shape, step_, config_.rate);
    case DType::i32:
      return change_elements<int32_t>(b.bytes, b.box, b.shape, step_, config_.rate);
    default:
      return change_elements<int64_t>(b.bytes, b.box, b.shape, step_, config_.rate);
  }
}

// Of the bits of every element: exact, and the same on any number of ranks.
uint64_t CountingTask::sum(const Block& b) const {
  uint64_t total = 0;
  const size_t width = size_of(b.dtype);
  for_each_element(b.box, b.shape, [&](size_t local, uint64_t global) {
    uint64_t bits = 0;
    std::memcpy(&bits, b.bytes.data() + local * width, width);
    total += mix64(bits ^ mix64(global)) >> 24;
  });
  return total;
}

void CountingTask::advance() {
  if (config_.milliseconds > 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(config_.milliseconds));
  if (step_ == config_.fail_at && context_.world.rank() + 1 == context_.world.size())
    fail(ErrorKind::numerics, "step {}: asked to fail", step_);
  uint64_t sums[2] = {0, 0};  // split over ranks, replicated
  for (Block& b : blocks_) {
    change(b);
    sums[b.replicated ? 1 : 0] += sum(b);
  }
  int64_t split = static_cast<int64_t>(sums[0] & 0xffffffffffff);
  if (context_.world.size() > 1)
    context_.mesh.axis(comm::Axis::data).all_reduce({&split, 1, DType::i64, {}}, comm::Reduce::sum);
  ++step_;
  loss_ = static_cast<double>(((static_cast<uint64_t>(split) + sums[1]) & 0xffffffffffff));
  if (step_ % config_.log_every == 0) log();
}

void CountingTask::before_stop() {
  if (step_ > logged_) log();
}

void CountingTask::log() {
  logged_ = step_;
  context_.events.emit(
      {"step",
       step_,
       {{"loss", loss_}, {"samples", step_}, {"seconds", context_.events.seconds()}}});
}

State CountingTask::state() {
  State state;
  for (Block& b : blocks_)
    state.arrays.push_back(
        {b.name, b.shape, b.dtype, {host_piece(b.box, b.bytes.data(), b.dtype)}});
  state.values = {{"step", step_}};
  return state;
}

void CountingTask::loaded(const nlohmann::json& values) {
  step_ = logged_ = values.at("step");
}

void CountingTask::finish() {
  context_.events.emit({"summary", step_, {{"final", {{"steps", step_}}}}});
}

// Best at step 7.
double CountingTask::best_metric() const {
  return std::abs(static_cast<double>(step_) - 7);
}

TaskType counting_type() {
  return {"counting", "counts", [] { return std::make_unique<CountingConfig>(); },
          [](const TaskConfig& config, Context& context) -> std::unique_ptr<Task> {
            return std::make_unique<CountingTask>(dynamic_cast<const CountingConfig&>(config),
                                                  context);
          }};
}

}  // namespace ocoee::run::testing_support
