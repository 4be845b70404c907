// SPDX-License-Identifier: Apache-2.0
// What replicas exchange: gradients that are summed, values that are gathered. Where a group of
// them shares what is split, sums and gathers go over the group, and then each rank's slice is
// summed over its twins, which hold the same slice in other groups.
#include <algorithm>
#include <numeric>

#include "plan/predict.h"

namespace ocoee::plan {

// Ranks over which states are split.
int64_t Predictor::shards(const Configuration& c) {
  if (c.shard == Shard::none) return 1;
  return c.shard_group > 0 ? c.shard_group : c.data * c.context;
}

Predictor::Sharing Predictor::sharing(const Configuration& c) const {
  const int64_t replicas = c.data * c.context;
  const int64_t group = c.shard == Shard::none ? replicas : shards(c);
  // An axis of one rank has no place beside another.
  if (c.placement == Placement::data_inside || c.pipeline == 1 || c.data == 1)
    return {{group, c.tensor}, {replicas / group, c.tensor * group}};
  const int64_t stride = c.tensor * c.context * c.pipeline;
  if (group < c.context || (group == c.context && group < replicas))
    return {{group, c.tensor}, {replicas / group, stride}};
  const int64_t data = group / c.context;
  return {{data, stride}, {replicas / group, stride * data}, c.context > 1};
}

// Collectives run block by block, so that they can begin while others are computed.
double Predictor::gradient_seconds(const Configuration& c, size_t stage) const {
  const Sharing sharing = this->sharing(c);
  const double elements = parameters_[stage] + borrowed_[stage], units = blocks_of(stage);
  const Bytes bytes(elements / units * gradient_element());
  double seconds = (c.shard == Shard::none ? network_.all_reduce(sharing.split, bytes)
                                           : network_.reduce_scatter(sharing.split, bytes))
                       .value;
  if (sharing.context_apart) seconds += network_.all_reduce({c.context, c.tensor}, bytes).value;
  return seconds * units;
}

double Predictor::gradient_element() const {
  return std::max(system_.data_bytes, workload_.compute_bytes() == 8 ? 8.0 : 0.0);
}

// Once a step, of slices that are complete.
double Predictor::twin_seconds(const Configuration& c, size_t stage) const {
  const Sharing sharing = this->sharing(c);
  if (sharing.twins.ranks == 1) return 0;
  const double elements = parameters_[stage] + borrowed_[stage], units = blocks_of(stage);
  const Bytes bytes(elements / units / static_cast<double>(shards(c)) * gradient_element());
  return network_.all_reduce(sharing.twins, bytes).value * units;
}

double Predictor::gather_seconds(const Configuration& c, size_t stage) const {
  const double units = blocks_of(stage);
  const Bytes bytes((parameters_[stage] + borrowed_[stage]) / units *
                    static_cast<double>(workload_.compute_bytes()));
  return network_.all_gather(sharing(c).split, bytes).value * units;
}

// What sums take beyond the last backward pass of a step; from level gradients on a stage's passes
// hold those over its group already.
double Predictor::exposed_sum_seconds(const Configuration& c, size_t stage) const {
  const Sharing sharing = this->sharing(c);
  const double twins = twin_seconds(c, stage);
  const double all = twins + (at_least(c.shard, Shard::gradients) ? 0 : gradient_seconds(c, stage));
  if (all <= 0) return 0;
  // Those of the first block are only there when the backward pass is over.
  const double last = all * first_block_share(stage);
  const double beside =
      system_.overlaps_gradients ? stages_[stage].input + stages_[stage].weight : 0;
  const double loss = std::max(network_.overlap_loss(sharing.split),
                               twins > 0 ? network_.overlap_loss(sharing.twins) : 0);
  return last + std::max(all - last - beside, 0.0) + loss * std::min(all - last, beside);
}

// Of a stage's parameters.
double Predictor::first_block_share(size_t stage) const {
  const double all = parameters_[stage] + borrowed_[stage];
  const std::vector<uint16_t>& first = cut_->order[stage][0];
  if (first.empty() || all <= 0) return 0;
  return std::min(1.0, (*blocks_)[first[0]].parameters / all);
}

double Predictor::blocks_of(size_t stage) const {
  const std::vector<int>& counts = cut_->blocks[stage];
  return std::max(1, std::accumulate(counts.begin(), counts.end(), 0));
}

}  // namespace ocoee::plan
