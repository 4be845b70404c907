// SPDX-License-Identifier: Apache-2.0
// What comes after the passes of a step: gradients are summed and parameters updated; and how the
// seconds of the whole are told apart.
#include <algorithm>

#include "plan/predict.h"
#include "plan/storage.h"

namespace ocoee::plan {

Predictor::StepEnd Predictor::step_end(const Configuration& c, double pipeline) const {
  const auto ranks = static_cast<double>(shards(c));
  const double overlap_loss = network_.overlap_loss(sharing(c).split);
  const double element_scale = workload_.compute_bytes() == 8 ? 2 : 1;
  const BytesPerSecond memory = machine_.device.bandwidth * machine_.device.stream(1e9);
  StepEnd end;
  end.summed = pipeline;
  double drain = 0;  // a stage that ends early averages its gradients while others still drain
  for (size_t s = 0; s < stages_.size(); ++s) {
    const double elements = parameters_[s] + borrowed_[s];
    double exposed = exposed_sum_seconds(c, s), gather = 0;
    if (c.shard == Shard::states || c.shard == Shard::gradients) gather = gather_seconds(c, s);
    if (borrowed_[s] > 0) {  // a tied matrix: its gradient to the lender, its values back
      const double element = system_.by_tensor ? static_cast<double>(workload_.gradient_bytes())
                                               : std::max(4.0, 4 * element_scale);
      const Bytes bytes(borrowed_[s] * element);
      exposed += 2 * network_.message((c.pipeline - 1) * c.stage_stride(), bytes).value;
    }
    const double owned = elements / ranks;
    const double held = at_least(c.shard, Shard::gradients) ? owned : elements;
    const Bytes bytes((owned * system_.optimizer_bytes + held * system_.gradient_bytes) *
                      element_scale);
    end.summed = std::max(end.summed, pipeline - drain + exposed);
    const double update = (bytes / memory).value;
    if (system_.by_tensor) {  // a block's values leave while the next block is updated
      const double beside = std::min(gather, update);
      gather += (overlap_loss - 1) * beside;
    }
    end.updated = std::max(end.updated, update + gather);
    end.optimizer = std::max(end.optimizer, update);
    drain += (stages_[s].input + stages_[s].weight) / 2;  // a backward pass without its weight work
  }
  if (system_.starts_late)
    end.lost = machine_.deepspeed_stage_start.value * static_cast<double>(c.pipeline - 1);
  return end;
}

void Predictor::finish(const Configuration& c, double pipeline, Prediction& p) const {
  const StepEnd end = step_end(c, pipeline);
  p.seconds = end.summed + end.updated + end.lost;
  p.least_seconds = std::min(p.seconds, p.least_seconds + end.updated + end.lost);
  // A step's samples are read while the step before runs.
  const double reading =
      storage_seconds(sample_bytes(workload_), machine_.read, machine_, c.devices()).value;
  p.of(Part::loading) = std::max(0.0, reading - p.seconds);
  p.seconds += p.of(Part::loading);
  p.least_seconds = std::max(p.least_seconds, std::min(reading, p.seconds));

  size_t slowest = 0;
  for (size_t s = 1; s < stages_.size(); ++s) {
    if (stages_[s].work() > stages_[slowest].work()) slowest = s;
  }
  p.slowest = static_cast<int>(slowest);
  const auto m = static_cast<double>(c.micro_batches(workload_.global_batch));
  const double known = add_parts(c, slowest, m, p);
  const Passes& stage = stages_[slowest];
  const double sharding = at_least(c.shard, Shard::gradients) && sharing(c).split.ranks > 1
                              ? std::max(0.0, m * (stage.work() - stage.taken) - known)
                              : 0;
  p.of(Part::optimizer) = end.optimizer;
  p.of(Part::messages) = std::max(0.0, m * stage.work() - known - sharding);
  p.of(Part::bubble) = std::max(0.0, pipeline - m * stage.work()) + end.lost;
  p.of(Part::data) = sharding + end.summed - pipeline + end.updated - end.optimizer;
  p.bubble_share = p.of(Part::bubble) / p.seconds;
}

// Seconds that the blocks of a stage take, by kind of work; returns their sum.
double Predictor::add_parts(const Configuration& c, size_t stage, double micro_batches,
                            Prediction& p) const {
  const auto mode = static_cast<size_t>(c.recompute);
  double work = 0;
  const auto add = [&](Part part, double seconds) {
    p.of(part) += seconds;
    work += seconds;
  };
  for (size_t k = 0; k < blocks_->size(); ++k) {
    const double n = micro_batches * cut_->blocks[stage][k];
    if (n == 0) continue;
    WorkSeconds sum = (*blocks_)[k].forward;
    sum += (*blocks_)[k].input;
    sum += (*blocks_)[k].weight;
    const WorkSeconds& again = (*blocks_)[k].again[mode];
    add(Part::product, n * sum.of(Work::product));
    add(Part::attention, n * sum.of(Work::attention));
    add(Part::stream, n * sum.of(Work::stream));
    add(Part::tensor, n * (sum.of(Work::tensor) + again.of(Work::tensor)));
    add(Part::context, n * (sum.of(Work::context) + again.of(Work::context)));
    add(Part::recompute,
        n * (again.of(Work::product) + again.of(Work::attention) + again.of(Work::stream)));
  }
  return work;
}

}  // namespace ocoee::plan
