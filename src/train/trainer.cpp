// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/log.h"
#include "core/trace.h"
#include "data/prefetch.h"
#include "device/device.h"
#include "parallel/step_graph.h"
#include "parallel/tensor_memory.h"
#include "train/evaluate.h"
#include "train/peak_flops.h"
#include "train/rank_record.h"
#include "train/step_profile.h"
#include "train/stop_rules.h"
#include "train/update.h"

namespace ocoee::train {
namespace {

// One objective with its data stream, its optimizers and its step, ready to be captured.
struct ObjectiveRun {
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
  StepProfile profile = {};
  std::vector<comm::Counters> traffic = {};  // of the captured step, by communicator
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
  double best_metric() const override {  // of this very step, or none
    return evaluated_at_ == step_ ? last_metric_ : std::numeric_limits<double>::quiet_NaN();
  }
  void advance() override;
  void finish() override;
  void before_save() override {  // on a GPU the last steps may not have been looked at
    if (step_ > looked_at_) log_step(/*due=*/false, /*look=*/true);
  }
  void before_stop() override {
    if (step_ > logged_at_) log_step(/*due=*/true, /*look=*/true);
  }
  run::State state() override;
  void loaded(const nlohmann::json& values) override;

 private:
  void run_objective(ObjectiveRun& part);
  void step_body(ObjectiveRun& part);
  std::vector<comm::Counters> traffic() const;
  void count_traffic(ObjectiveRun& part, const std::vector<comm::Counters>& before, bool replayed);
  static void add_sums(ObjectiveRun& part, const Sums& sums);
  void copy_batch(ObjectiveRun& part);
  void start_prefetchers();
  void log_step(bool due, bool look);
  void add_speed(nlohmann::json& fields, double samples_per_second) const;
  void evaluate();

  run::Context& context_;
  device::Device device_;
  std::unique_ptr<parallel::StreamScope> stream_;
  Models models_;
  std::vector<ObjectiveRun> runs_;
  std::unique_ptr<Evaluation> evaluation_;
  plan::BatchConfig batch_;
  plan::TrainConfig train_;
  plan::BatchPlan plan_;
  double tokens_per_sample_, flops_per_sample_, recompute_flops_per_sample_;
  nlohmann::json summary_;
  double peak_flops_ = 0;
  int64_t step_ = 0;
  int64_t looked_at_ = 0;  // the last step whose numbers were read
  int64_t logged_at_ = 0;
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
  int64_t eager_runs = train_.graph_after;
  if (device_.is_cuda() && eager_runs > 0 && !context.mesh.capturable()) {
    eager_runs = 0;
    if (context.world.rank() == 0)
      log::info(
          "ranks share a GPU: messages between them go through the host, so steps are not captured "
          "as a graph");
  }
  for (ObjectiveParts& objective : parts.objectives) {
    ObjectiveRun part{std::move(objective), parallel::StepGraph(device_, eager_runs)};
    if (device_.is_cuda())  // not the last eager step, of which a pipeline may keep the timeline
      part.profile =
          StepProfile(device_, eager_runs > 0 ? std::max<int64_t>(0, eager_runs - 2) : 2);
    if (device_.is_cuda()) part.copied = std::make_unique<device::Event>(device_);
    part.weight = part.parts.objective->weight_per_sample() * static_cast<double>(batch_.global);
    for (const std::string& name : part.parts.objective->updates()) {
      part.updates.emplace_back(name, models_.at(name), part.parts.optimizer, parts.precision,
                                train_.steps * part.parts.objective->repeats());
    }
    if (part.updates.size() > 1 && parts.precision.compute == "float16")
      fail(
          ErrorKind::config,
          "precision.compute: float16 scales the loss by what one model's gradients bear, and '{}' "
          "updates {} models\n    fix: use bfloat16",
          part.parts.objective->name(), part.updates.size());
    part.sums = at::zeros({2}, options.dtype(at::kDouble));
    part.random_state = at::zeros({2}, options.dtype(at::kLong));
    for (const data::FieldSpec& field : part.parts.source->fields()) {
      std::vector<int64_t> shape{plan_.accumulation, plan_.micro};
      shape.insert(shape.end(), field.shape.begin(), field.shape.end());
      part.fields[field.name] =
          at::empty(shape, options.dtype(parallel::scalar_type_of(field.dtype)));
    }
    runs_.push_back(std::move(part));
  }
}

// Data starts to flow only when the position is known: after a checkpoint was loaded, or at step 0.
void Trainer::start_prefetchers() {
  prefetching_ = true;
  for (ObjectiveRun& part : runs_) {
    const data::BatchShape shape{batch_.global, plan_.micro,
                                 context_.mesh.coordinate(comm::Axis::data), plan_.data};
    data::PrefetchOptions options;
    options.depth = static_cast<int>(std::max<int64_t>(4, 2 * plan_.accumulation));
    if (device_.is_cuda()) options.memory.allocate = pinned_memory(device_);
    part.prefetcher =
        std::make_unique<data::Prefetcher>(part.parts.source, shape, part.runs,
                                           train_.steps * part.parts.objective->repeats(), options);
  }
}

void Trainer::advance() {
  if (!prefetching_) start_prefetchers();
  trace::set_step(step_);
  for (ObjectiveRun& part : runs_) {
    for (int64_t r = 0; r < part.parts.objective->repeats(); ++r) run_objective(part);
  }
  ++step_;
  ++meter_.steps;
  // On the CPU numbers are at hand, so trouble is seen at once; on a GPU reading them is a wait, so
  // only when logging and before saving.
  const bool due = step_ % context_.run.log_every == 0 || step_ == train_.steps || step_ == 1;
  log_step(due, due || !device_.is_cuda());
  const bool evaluation_due = train_.evaluate_every > 0 && step_ % train_.evaluate_every == 0;
  if (evaluation_ && (evaluation_due || step_ == train_.steps)) evaluate();
}

void Trainer::run_objective(ObjectiveRun& part) {
  copy_batch(part);
  // The copies from pinned memory are over once the event behind them is; then their batches go
  // back to be refilled.
  if (part.copied) part.copied->record(parallel::current_stream(device_));
  const bool profiled = part.profile.wants();
  std::vector<comm::Counters> before;
  if (!part.graph.captured()) before = traffic();
  const int64_t waits_before = parallel::host_waits();
  if (profiled) part.profile.begin();
  for (Update& update : part.updates) update.prepare(part.runs);
  const bool replayed = part.graph.captured();
  part.graph.run([&] { step_body(part); });
  if (profiled)
    part.profile.end(step_);
  else
    meter_.host_waits += parallel::host_waits() - waits_before;
  count_traffic(part, before, replayed);
  ++part.runs;
}

std::vector<comm::Counters> Trainer::traffic() const {
  std::vector<comm::Counters> out;
  for (const comm::Communicator* one : context_.mesh.communicators())
    out.push_back(one->counters());
  return out;
}

// A replayed graph makes no calls: what its capture counted is counted again.
void Trainer::count_traffic(ObjectiveRun& part, const std::vector<comm::Counters>& before,
                            bool replayed) {
  const auto all = context_.mesh.communicators();
  for (size_t i = 0; i < all.size(); ++i) {
    if (replayed)
      all[i]->count_replay(part.traffic[i]);
    else if (part.graph.captured())
      part.traffic.push_back(all[i]->counters().since(before[i]));
  }
}

void Trainer::copy_batch(ObjectiveRun& part) {
  const trace::Scope scope("data");
  const at::NoGradGuard no_grad;
  if (!part.loans.empty()) {
    part.copied->synchronize();  // of the step before: long done
    part.loans.clear();
  }
  for (int64_t m = 0; m < plan_.accumulation; ++m) {
    auto batch = part.prefetcher->next();
    OCOEE_CHECK(batch.has_value(), "the data stream ended before step {}", step_);
    for (size_t i = 0; i < part.fields.items().size(); ++i) {
      const at::Tensor field = part.fields.items()[i].second.select(0, m);
      field.copy_(at::from_blob(batch->field(i), field.sizes(), field.options().device(at::kCPU)),
                  /*non_blocking=*/true);
    }
    if (device_.is_cuda()) part.loans.push_back(std::move(*batch));
  }
  part.random_state.select(0, 0).fill_(part.runs);
}

void Trainer::add_sums(ObjectiveRun& part, const Sums& sums) {
  const at::NoGradGuard no_grad;
  part.sums.add_(
      at::stack({sums.loss.detach().to(at::kDouble), sums.weight.detach().to(at::kDouble)}));
}

// Everything between the batch in place and the weights moved; reads nothing on the host.
void Trainer::step_body(ObjectiveRun& part) {
  Objective& objective = *part.parts.objective;
  for (const std::string& name : objective.updates()) models_.at(name).zero_gradients();
  for (auto& [name, engine] : models_.items()) engine->set_random_state(part.random_state);
  const at::Tensor seed = part.updates[0].loss_scale() / part.weight;
  {
    const at::NoGradGuard no_grad;
    part.sums.zero_();
  }
  const bool pipelined = context_.mesh.size(comm::Axis::pipeline) > 1;
  std::vector<MicroBatch> all;
  for (int64_t m = 0; m < plan_.accumulation; ++m) {
    MicroBatch micro;
    for (const auto& [name, field] : part.fields.items()) micro.fields[name] = field.select(0, m);
    micro.first_sample =
        m * plan_.micro * plan_.data + context_.mesh.coordinate(comm::Axis::data) * plan_.micro;
    micro.last = m + 1 == plan_.accumulation;
    micro.seed = seed;
    if (pipelined) {
      all.push_back(std::move(micro));
    } else {
      add_sums(part, objective.micro_batch(models_, micro));
    }
  }
  if (pipelined) {
    for (const Sums& sums : objective.pipeline(models_, all)) add_sums(part, sums);
  }
  for (Update& update : part.updates) update.finish_gradients();
  if (context_.mesh.loss().size() > 1) {
    context_.mesh.loss().all_reduce(parallel::buffer_of(part.sums), comm::Reduce::sum,
                                    parallel::current_stream(device_));
  }
  if (pipelined) {
    context_.mesh.axis(comm::Axis::pipeline)
        .all_reduce(parallel::buffer_of(part.sums), comm::Reduce::sum,
                    parallel::current_stream(device_));
  }
  const trace::Scope scope("optimizer");
  for (Update& update : part.updates) update.apply();
}

void Trainer::log_step(bool due, bool look) {
  if (!look) return;
  looked_at_ = step_;
  nlohmann::json fields;
  for (ObjectiveRun& part : runs_) {
    const std::string suffix = runs_.size() > 1 ? "." + part.parts.objective->name() : "";
    const at::Tensor sums = part.sums.to(at::kCPU);
    const double loss = sums[0].item<double>() / sums[1].item<double>();
    for (Update& update : part.updates) {
      const std::string& model = update.model();
      const bool several = part.updates.size() > 1;
      const Update::Report report = update.read();
      stop_on_bad_numbers(step_, part.parts.objective->name() + (several ? ": " + model : ""),
                          report, loss);
      const std::string of = suffix + (several ? "." + model : "");
      fields["gradient_norm" + of] = report.gradient_norm;
      fields["learning_rate" + of] = report.learning_rate;
      if (report.loss_scale != 1) fields["loss_scale" + of] = report.loss_scale;
    }
    fields["loss" + suffix] = loss;
  }
  if (!due) return;
  logged_at_ = step_;
  const double now = trace::now_seconds();
  const double samples = static_cast<double>(batch_.global);
  fields["samples"] = step_ * batch_.global;
  fields["seconds"] = context_.events.seconds();
  if (tokens_per_sample_ > 0)
    fields["tokens"] = static_cast<double>(step_) * samples * tokens_per_sample_;
  if (meter_.steps > 0)  // none between an evaluation and a stop behind it
    add_speed(fields, samples * static_cast<double>(meter_.steps) / (now - meter_.begin));
  fields["host_waits"] = meter_.host_waits;
  // Of the fullest rank: ranks of a pipeline differ.
  const auto peak = static_cast<double>(parallel::tensor_memory(device_).peak);
  if (const double most = context_.mesh.world().all_reduce_value(peak, comm::Reduce::max); most > 0)
    fields["peak_bytes"] = static_cast<int64_t>(most);
  context_.events.emit({"step", step_, fields});
  meter_ = {now, 0};
}

void Trainer::add_speed(nlohmann::json& fields, double samples_per_second) const {
  fields["step_seconds"] = static_cast<double>(batch_.global) / samples_per_second;
  fields["samples_per_second"] = samples_per_second;
  if (tokens_per_sample_ > 0) fields["tokens_per_second"] = samples_per_second * tokens_per_sample_;
  if (flops_per_sample_ <= 0) return;
  fields["flops_per_second"] = flops_per_sample_ * samples_per_second;
  if (peak_flops_ <= 0) return;
  const double peak = peak_flops_ * context_.world.size();
  fields["mfu"] = flops_per_sample_ * samples_per_second / peak;
  fields["hfu"] = (flops_per_sample_ + recompute_flops_per_sample_) * samples_per_second / peak;
}

void Trainer::evaluate() {
  last_evaluation_ = train::evaluate(models_, *evaluation_, context_.mesh, plan_.micro);
  last_metric_ = last_evaluation_.at(evaluation_->best_metric()).get<double>();
  if (!(best_ <= last_metric_)) best_ = last_metric_;
  evaluated_at_ = step_;
  meter_.begin = trace::now_seconds(), meter_.steps = 0;
  context_.events.emit({"evaluation", step_, last_evaluation_});
}

void Trainer::finish() {
  if (evaluation_ && evaluated_at_ != step_) evaluate();  // the end was moved to where it stopped
  nlohmann::json summary = summary_;
  for (const ObjectiveRun& part : runs_)
    part.profile.add_to(summary, part.parts.objective->repeats());
  const nlohmann::json profile = summary.contains("step_phases") ? summary["step_phases"] : nullptr;
  if (nlohmann::json ranks = ranks_record(context_.mesh, profile); !ranks.is_null())
    summary["ranks_record"] = std::move(ranks);
  for (auto& [name, engine] : models_.items()) {
    if (nlohmann::json pipeline = pipeline_record(*engine); !pipeline.is_null())
      summary["pipeline"] = std::move(pipeline);
    // Of the rank that keeps the most.
    const auto most = [&](int64_t bytes) {
      return static_cast<int64_t>(
          context_.mesh.world().all_reduce_value(static_cast<double>(bytes), comm::Reduce::max));
    };
    const parallel::KeptBytes& kept = engine->kept();
    const int64_t planned = most(kept.planned), taken = most(kept.taken);
    if (taken > 0) summary["kept_bytes"] = {{"planned", planned}, {"taken", taken}};
  }
  if (evaluation_) summary.update(evaluation_->at_end(models_));
  summary["final"] = last_evaluation_;
  if (std::isfinite(best_)) summary["best"] = {{evaluation_->best_metric(), best_}};
  context_.events.emit({"summary", step_, summary});
}

run::State Trainer::state() {
  run::State state;
  for (auto& [name, engine] : models_.items()) {
    const std::string prefix = models_.items().size() > 1 ? name + "." : "";
    for (run::StateArray& array : engine->weights().master_arrays(prefix))
      state.arrays.push_back(std::move(array));
    for (run::StateArray& array : engine->float8_arrays(prefix))
      state.arrays.push_back(std::move(array));
  }
  for (ObjectiveRun& part : runs_) {
    for (Update& update : part.updates) {
      for (run::StateArray& array : update.arrays()) state.arrays.push_back(std::move(array));
    }
    nlohmann::json values = {{"runs", part.runs}};
    for (size_t i = 0; i < part.updates.size(); ++i)
      values["update"].push_back(part.updates[i].values());
    state.values["objectives"][part.parts.objective->name()] = values;
  }
  state.values["step"] = step_;
  if (std::isfinite(best_)) state.values["best"] = best_;
  state.values["last_evaluation"] = last_evaluation_;
  state.values["evaluated_at"] = evaluated_at_;
  return state;
}

void Trainer::loaded(const nlohmann::json& values) {
  step_ = looked_at_ = logged_at_ = values.at("step").get<int64_t>();
  if (values.contains("best")) best_ = values["best"].get<double>();
  last_evaluation_ = values.value("last_evaluation", nlohmann::json::object());
  evaluated_at_ = values.value("evaluated_at", int64_t{-1});
  for (ObjectiveRun& part : runs_) {
    const nlohmann::json& own = values.at("objectives").at(part.parts.objective->name());
    part.runs = own.at("runs").get<int64_t>();
    for (size_t i = 0; i < part.updates.size(); ++i)
      part.updates[i].load_values(own.at("update").at(i));
  }
  for (auto& [name, engine] : models_.items()) {
    engine->weights().refresh_values();
    engine->publish();
    engine->float8_loaded();
  }
  meter_ = {};
}

}  // namespace

std::unique_ptr<run::Task> make_trainer(TrainerParts parts, run::Context& context) {
  return std::make_unique<Trainer>(std::move(parts), context);
}

}  // namespace ocoee::train
