// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/trace.h"
#include "data/prefetch.h"
#include "device/device.h"
#include "parallel/step_graph.h"
#include "parallel/tensor_memory.h"
#include "train/peak_flops.h"
#include "train/rank_record.h"
#include "train/update.h"

namespace ocoee::train {
namespace {

// One objective with its data stream, its optimizers and its step, ready to be captured.
struct Runner {
  ObjectiveParts parts;
  parallel::StepGraph graph;
  std::vector<Update> updates = {};  // one for each model it updates
  std::unique_ptr<data::Prefetcher> prefetcher = nullptr;
  std::vector<data::Prefetcher::Batch> loans =
      {};  // GPU: host batches whose copy may still be under way
  std::unique_ptr<device::Event> copied = nullptr;
  nn::Bundle fields = {};  // static tensors [accumulation, micro, ...]; a replayed graph reads them
  at::Tensor sums = {};    // float64 [2]: loss and weight of the step, over all ranks after it
  at::Tensor random_state = {};  // int64 [2]: update number, unused
  double weight = 1;             // of a whole step, nominal
  int64_t runs = 0;              // updates done since the run began
};

struct Meter {  // since the last logged step
  double begin = trace::now_seconds();
  int64_t steps = 0;
  int64_t host_waits = 0;  // inside steps: none, or the GPU idles
};

std::function<std::shared_ptr<void>(size_t)> pinned_memory(const device::Device& device) {
  return [device](size_t bytes) {
    auto memory = std::make_shared<device::Memory>(bytes, device::Memory::Where::pinned, device);
    return std::shared_ptr<void>(memory, memory->data());
  };
}

class Trainer final : public run::Task {
 public:
  Trainer(TrainerParts parts, run::Context& context);

  int64_t position() const override { return step_; }
  int64_t total() const override { return train_.steps; }
  int64_t checkpoint_every() const override { return train_.checkpoint_every; }
  double best_metric() const override { return last_metric_; }
  void advance() override;
  void finish() override;
  run::State state() override;
  void loaded(const nlohmann::json& values) override;

 private:
  void run_objective(Runner& runner);
  void step_body(Runner& runner);
  static void add_sums(Runner& runner, const Sums& sums);
  void copy_batch(Runner& runner);
  void start_prefetchers();
  void log_step(bool due);
  void stop_on_bad_numbers(const Runner& runner, const Update::Report& report, double loss) const;
  void evaluate();

  run::Context& context_;
  device::Device device_;
  std::unique_ptr<parallel::StreamScope> stream_;
  Models models_;
  std::vector<Runner> runners_;
  std::unique_ptr<Evaluation> evaluation_;
  plan::BatchConfig batch_;
  plan::TrainConfig train_;
  plan::BatchPlan plan_;
  double tokens_per_sample_, flops_per_sample_, recompute_flops_per_sample_;
  nlohmann::json summary_;
  double peak_flops_ = 0;
  int64_t step_ = 0;
  int64_t evaluated_at_ = -1;
  double best_ = std::numeric_limits<double>::quiet_NaN();
  double last_metric_ = std::numeric_limits<double>::quiet_NaN();
  nlohmann::json last_evaluation_ = nlohmann::json::object();
  Meter meter_;
  bool prefetching_ = false;
};

Trainer::Trainer(TrainerParts parts, run::Context& context)
    : context_(context),
      device_(context.mesh.device()),
      stream_(std::make_unique<parallel::StreamScope>(device_)),
      models_(std::move(parts.models)),
      evaluation_(std::move(parts.evaluation)),
      batch_(parts.batch),
      train_(parts.train),
      plan_(plan::plan_batch(parts.batch, parts.layout, context.world.size())),
      tokens_per_sample_(parts.tokens_per_sample),
      flops_per_sample_(parts.flops_per_sample),
      recompute_flops_per_sample_(parts.recompute_flops_per_sample),
      summary_(std::move(parts.summary)) {
  if (context.run.threads > 0) at::set_num_threads(static_cast<int>(context.run.threads));
  if (device_.is_cuda())
    at::globalContext().setDeterministicAlgorithms(context.run.deterministic, /*warn_only=*/true);
  peak_flops_ = peak_flops(device_, parts.precision.compute);
  const auto options = at::TensorOptions().device(parallel::torch_device(device_));
  for (auto& [name, engine] : models_.items())
    engine->initialize(static_cast<uint64_t>(context.run.seed));
  for (ObjectiveParts& objective : parts.objectives) {
    Runner runner{std::move(objective), parallel::StepGraph(device_, train_.graph_after)};
    if (device_.is_cuda()) runner.copied = std::make_unique<device::Event>(device_);
    runner.weight =
        runner.parts.objective->weight_per_sample() * static_cast<double>(batch_.global);
    for (const std::string& name : runner.parts.objective->updates()) {
      runner.updates.emplace_back(name, models_.at(name), runner.parts.optimizer, parts.precision,
                                  train_.steps * runner.parts.objective->repeats());
    }
    runner.sums = at::zeros({2}, options.dtype(at::kDouble));
    runner.random_state = at::zeros({2}, options.dtype(at::kLong));
    for (const data::FieldSpec& field : runner.parts.source->fields()) {
      std::vector<int64_t> shape{plan_.accumulation, plan_.micro};
      shape.insert(shape.end(), field.shape.begin(), field.shape.end());
      runner.fields[field.name] =
          at::empty(shape, options.dtype(parallel::scalar_type_of(field.dtype)));
    }
    runners_.push_back(std::move(runner));
  }
}

// Data starts to flow only when the position is known: after a checkpoint was loaded, or at step 0.
void Trainer::start_prefetchers() {
  prefetching_ = true;
  for (Runner& runner : runners_) {
    const data::BatchShape shape{batch_.global, plan_.micro,
                                 context_.mesh.coordinate(comm::Axis::data), plan_.data};
    data::PrefetchOptions options;
    options.depth = static_cast<int>(std::max<int64_t>(4, 2 * plan_.accumulation));
    if (device_.is_cuda()) options.memory.allocate = pinned_memory(device_);
    runner.prefetcher = std::make_unique<data::Prefetcher>(
        runner.parts.source, shape, runner.runs, train_.steps * runner.parts.objective->repeats(),
        options);
  }
}

void Trainer::advance() {
  if (!prefetching_) start_prefetchers();
  trace::set_step(step_);
  for (Runner& runner : runners_) {
    for (int64_t r = 0; r < runner.parts.objective->repeats(); ++r) run_objective(runner);
  }
  ++step_;
  ++meter_.steps;
  log_step(step_ % context_.run.log_every == 0 || step_ == train_.steps || step_ == 1);
  const bool evaluation_due = train_.evaluate_every > 0 && step_ % train_.evaluate_every == 0;
  if (evaluation_ && (evaluation_due || step_ == train_.steps)) evaluate();
}

void Trainer::run_objective(Runner& runner) {
  copy_batch(runner);
  // The copies from pinned memory are over once the event behind them is; then their batches go
  // back to be refilled.
  if (runner.copied) runner.copied->record(parallel::current_stream(device_));
  const int64_t waits_before = parallel::host_waits();
  for (Update& update : runner.updates) update.prepare(runner.runs);
  runner.graph.run([&] { step_body(runner); });
  meter_.host_waits += parallel::host_waits() - waits_before;
  ++runner.runs;
}

void Trainer::copy_batch(Runner& runner) {
  const trace::Scope scope("data");
  const at::NoGradGuard no_grad;
  if (!runner.loans.empty()) {
    runner.copied->synchronize();  // of the step before: long done
    runner.loans.clear();
  }
  for (int64_t m = 0; m < plan_.accumulation; ++m) {
    auto batch = runner.prefetcher->next();
    OCOEE_CHECK(batch.has_value(), "the data stream ended before step {}", step_);
    for (size_t i = 0; i < runner.fields.items().size(); ++i) {
      const at::Tensor field = runner.fields.items()[i].second.select(0, m);
      field.copy_(at::from_blob(batch->field(i), field.sizes(), field.options().device(at::kCPU)),
                  /*non_blocking=*/true);
    }
    if (device_.is_cuda()) runner.loans.push_back(std::move(*batch));
  }
  runner.random_state.select(0, 0).fill_(runner.runs);
}

void Trainer::add_sums(Runner& runner, const Sums& sums) {
  const at::NoGradGuard no_grad;
  runner.sums.add_(
      at::stack({sums.loss.detach().to(at::kDouble), sums.weight.detach().to(at::kDouble)}));
}

// Everything between the batch in place and the weights moved; reads nothing on the host.
void Trainer::step_body(Runner& runner) {
  Objective& objective = *runner.parts.objective;
  for (const std::string& name : objective.updates()) models_.at(name).zero_gradients();
  for (auto& [name, engine] : models_.items()) engine->set_random_state(runner.random_state);
  const at::Tensor seed = runner.updates[0].loss_scale() / runner.weight;
  {
    const at::NoGradGuard no_grad;
    runner.sums.zero_();
  }
  const bool pipelined = context_.mesh.size(comm::Axis::pipeline) > 1;
  std::vector<MicroBatch> all;
  for (int64_t m = 0; m < plan_.accumulation; ++m) {
    MicroBatch micro;
    for (const auto& [name, field] : runner.fields.items()) micro.fields[name] = field.select(0, m);
    micro.first_sample =
        m * plan_.micro * plan_.data + context_.mesh.coordinate(comm::Axis::data) * plan_.micro;
    micro.last = m + 1 == plan_.accumulation;
    micro.seed = seed;
    if (pipelined) {
      all.push_back(std::move(micro));
    } else {
      add_sums(runner, objective.micro_batch(models_, micro));
    }
  }
  if (pipelined) {
    for (const Sums& sums : objective.pipeline(models_, all)) add_sums(runner, sums);
  }
  for (const std::string& name : objective.updates()) models_.at(name).finish_gradients();
  if (context_.mesh.loss().size() > 1) {
    context_.mesh.loss().all_reduce(parallel::buffer_of(runner.sums), comm::Reduce::sum,
                                    parallel::current_stream(device_));
  }
  if (pipelined) {
    context_.mesh.axis(comm::Axis::pipeline)
        .all_reduce(parallel::buffer_of(runner.sums), comm::Reduce::sum,
                    parallel::current_stream(device_));
  }
  const trace::Scope scope("optimizer");
  for (Update& update : runner.updates) update.apply();
}

void Trainer::log_step(bool due) {
  // On the CPU numbers are at hand, so trouble is seen at once; on a GPU reading them is a wait, so
  // only when logging.
  if (!due && device_.is_cuda()) return;
  nlohmann::json fields;
  for (Runner& runner : runners_) {
    const std::string suffix = runners_.size() > 1 ? "." + runner.parts.objective->name() : "";
    const at::Tensor sums = runner.sums.to(at::kCPU);
    const double loss = sums[0].item<double>() / sums[1].item<double>();
    const Update::Report report = runner.updates[0].read();
    stop_on_bad_numbers(runner, report, loss);
    fields["loss" + suffix] = loss;
    fields["gradient_norm" + suffix] = report.gradient_norm;
    fields["learning_rate" + suffix] = report.learning_rate;
    if (report.loss_scale != 1) fields["loss_scale" + suffix] = report.loss_scale;
  }
  if (!due) return;
  const double now = trace::now_seconds();
  const double per_step = (now - meter_.begin) / static_cast<double>(meter_.steps);
  const double samples = static_cast<double>(batch_.global);
  fields["samples"] = step_ * batch_.global;
  fields["seconds"] = now;
  fields["step_seconds"] = per_step;
  fields["samples_per_second"] = samples / per_step;
  if (tokens_per_sample_ > 0) {
    fields["tokens"] = static_cast<double>(step_) * samples * tokens_per_sample_;
    fields["tokens_per_second"] = samples * tokens_per_sample_ / per_step;
  }
  if (flops_per_sample_ > 0) fields["flops_per_second"] = flops_per_sample_ * samples / per_step;
  fields["host_waits"] = meter_.host_waits;
  if (peak_flops_ > 0 && flops_per_sample_ > 0) {
    const double peak = peak_flops_ * context_.world.size();
    fields["mfu"] = flops_per_sample_ * samples / per_step / peak;
    fields["hfu"] = (flops_per_sample_ + recompute_flops_per_sample_) * samples / per_step / peak;
  }
  if (const int64_t bytes = parallel::tensor_memory(device_).peak; bytes > 0)
    fields["peak_bytes"] = bytes;
  context_.events.emit({"step", step_, fields});
  meter_ = {now, 0};
}

void Trainer::stop_on_bad_numbers(const Runner& runner, const Update::Report& report,
                                  double loss) const {
  constexpr int64_t kMostSkips = 40, kMostZeros = 20;
  const std::string name = runner.parts.objective->name();
  if (report.skipped_in_row >= kMostSkips) {
    fail(ErrorKind::numerics,
         "step {}: the gradients of '{}' overflowed float16 {} times in a row (loss scale {:g}). "
         "Nothing is learned this "
         "way: lower optimizer.learning_rate, or use precision.compute = \"bfloat16\"",
         step_, name, report.skipped_in_row, report.loss_scale);
  }
  if (report.zero_gradients_in_row >= kMostZeros) {
    fail(ErrorKind::numerics,
         "step {}: the gradients of '{}' have been exactly zero {} times in a row. Nothing is "
         "learned: is the loss constant, "
         "or does precision.compute = \"float16\" underflow?",
         step_, name, report.zero_gradients_in_row);
  }
  const bool overflow_is_handled = report.skipped_in_row > 0;
  if ((!std::isfinite(loss) || !report.finite) && !overflow_is_handled) {
    fail(ErrorKind::numerics,
         "step {}: the loss of '{}' is {} and its gradient norm {}. The last checkpoint is from "
         "before; lower "
         "optimizer.learning_rate, raise optimizer.warmup_steps or set optimizer.clip",
         step_, name, loss, report.gradient_norm);
  }
}

void Trainer::evaluate() {
  const trace::Scope scope("evaluation");
  const at::NoGradGuard no_grad;
  const data::EvaluationSource& source = evaluation_->source();
  const int64_t ranks = plan_.data, rank = context_.mesh.coordinate(comm::Axis::data);
  const int64_t first = source.size() * rank / ranks, last = source.size() * (rank + 1) / ranks;
  double loss = 0, weight = 0;
  // As many rounds on every rank: where parameters are gathered for each pass, all must come.
  const int64_t most = (source.size() + ranks - 1) / ranks;
  for (int64_t round = 0; round < (most + plan_.micro - 1) / plan_.micro; ++round) {
    const bool counts = first + round * plan_.micro < last;
    const int64_t begin = counts ? first + round * plan_.micro : 0;
    const int64_t count = counts ? std::min(plan_.micro, last - begin) : 1;
    nn::Bundle fields;
    std::vector<at::Tensor> hosts;
    for (const data::FieldSpec& field : source.fields()) {
      std::vector<int64_t> shape{count};
      shape.insert(shape.end(), field.shape.begin(), field.shape.end());
      hosts.push_back(
          at::empty(shape, at::TensorOptions().dtype(parallel::scalar_type_of(field.dtype))));
    }
    for (int64_t i = 0; i < count; ++i) {
      std::vector<void*> rows;
      for (const at::Tensor& host : hosts)
        rows.push_back(static_cast<char*>(host.data_ptr()) +
                       static_cast<size_t>(i * host.stride(0)) * host.element_size());
      source.fill(begin + i, rows);
    }
    for (size_t i = 0; i < hosts.size(); ++i)
      fields[source.fields()[i].name] = hosts[i].to(parallel::torch_device(device_));
    const Sums sums = evaluation_->micro_batch(models_, fields);
    if (!counts) continue;
    loss += sums.loss.item<double>();
    weight += sums.weight.item<double>();
  }
  if (context_.world.size() > 1) {
    // One rank of each pipeline has sums of its part of the tokens; tensor ranks and instances
    // repeat them.
    const double copies =
        context_.mesh.size(comm::Axis::tensor) * context_.mesh.size(comm::Axis::instance);
    loss = context_.mesh.world().all_reduce_value(loss, comm::Reduce::sum) / copies;
    weight = context_.mesh.world().all_reduce_value(weight, comm::Reduce::sum) / copies;
  }
  nlohmann::json metrics = evaluation_->metrics(loss, weight);
  last_metric_ = metrics.at(evaluation_->best_metric()).get<double>();
  if (!(best_ <= last_metric_)) best_ = last_metric_;
  last_evaluation_ = metrics;
  evaluated_at_ = step_;
  meter_.begin = trace::now_seconds(), meter_.steps = 0;
  context_.events.emit({"evaluation", step_, metrics});
}

void Trainer::finish() {
  nlohmann::json summary = summary_;
  if (nlohmann::json ranks = ranks_record(context_.mesh); !ranks.is_null())
    summary["ranks_record"] = std::move(ranks);
  for (auto& [name, engine] : models_.items()) {
    if (nlohmann::json pipeline = pipeline_record(*engine); !pipeline.is_null())
      summary["pipeline"] = std::move(pipeline);
  }
  summary["final"] = last_evaluation_;
  if (std::isfinite(best_)) summary["best"] = {{evaluation_->best_metric(), best_}};
  context_.events.emit({"summary", step_, summary});
}

run::State Trainer::state() {
  run::State state;
  for (auto& [name, engine] : models_.items()) {
    const std::string prefix = models_.items().size() > 1 ? name + "." : "";
    for (run::StateArray& array : engine->weights().arrays(prefix, engine->weights().master()))
      state.arrays.push_back(std::move(array));
  }
  for (Runner& runner : runners_) {
    for (Update& update : runner.updates) {
      for (run::StateArray& array : update.arrays()) state.arrays.push_back(std::move(array));
    }
    nlohmann::json values = {{"runs", runner.runs}};
    for (size_t i = 0; i < runner.updates.size(); ++i)
      values["update"].push_back(runner.updates[i].values());
    state.values["objectives"][runner.parts.objective->name()] = values;
  }
  state.values["step"] = step_;
  if (std::isfinite(best_)) state.values["best"] = best_;
  state.values["last_evaluation"] = last_evaluation_;
  return state;
}

void Trainer::loaded(const nlohmann::json& values) {
  step_ = values.at("step").get<int64_t>();
  if (values.contains("best")) best_ = values["best"].get<double>();
  last_evaluation_ = values.value("last_evaluation", nlohmann::json::object());
  for (Runner& runner : runners_) {
    const nlohmann::json& own = values.at("objectives").at(runner.parts.objective->name());
    runner.runs = own.at("runs").get<int64_t>();
    for (size_t i = 0; i < runner.updates.size(); ++i)
      runner.updates[i].load_values(own.at("update").at(i));
  }
  for (auto& [name, engine] : models_.items()) {
    engine->weights().refresh_values();
    engine->publish();
  }
  meter_ = {};
}

}  // namespace

std::unique_ptr<run::Task> make_trainer(TrainerParts parts, run::Context& context) {
  return std::make_unique<Trainer>(std::move(parts), context);
}

}  // namespace ocoee::train
