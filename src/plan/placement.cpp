// SPDX-License-Identifier: Apache-2.0
#include "plan/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/error.h"
#include "plan/schedule.h"

namespace ocoee::plan {
namespace {

double cost_of(const BlockSpec& block) {
  double sum = 0;
  for (const LayerSpec& layer : block.layers)
    sum += layer.cost.matmul_flops + layer.cost.attention_flops + layer.cost.bytes_moved;
  return sum;
}

// How many parts a greedy cut makes when none may cost more than `most`.
std::vector<size_t> greedy_cuts(const std::vector<double>& costs, double most, size_t parts) {
  std::vector<size_t> cuts{0};
  double sum = 0;
  for (size_t b = 0; b < costs.size(); ++b) {
    const size_t left_parts = parts - cuts.size();  // that must still begin after this one
    const bool must_cut = b > cuts.back() && costs.size() - b <= left_parts;
    if (b > cuts.back() && (sum + costs[b] > most || must_cut)) {
      cuts.push_back(b);
      sum = 0;
    }
    sum += costs[b];
  }
  cuts.push_back(costs.size());
  return cuts;
}

double dearest(const std::vector<double>& costs, const std::vector<size_t>& cuts) {
  double most = 0;
  for (size_t p = 0; p + 1 < cuts.size(); ++p) {
    double sum = 0;
    for (size_t b = cuts[p]; b < cuts[p + 1]; ++b) sum += costs[b];
    most = std::max(most, sum);
  }
  return most;
}

std::map<std::string, size_t> owner_blocks(const ModelSpec& model) {
  std::map<std::string, size_t> owner;
  for (size_t b = 0; b < model.blocks.size(); ++b) {
    for (const LayerSpec& layer : model.blocks[b].layers) {
      for (const ParameterSpec& parameter : layer.parameters) {
        if (parameter.tied_to.empty()) owner[parameter.name] = b;
      }
    }
  }
  return owner;
}

}  // namespace

std::vector<size_t> pipeline_cuts(const ModelSpec& model, int64_t parts) {
  const auto wanted = static_cast<size_t>(parts);
  if (parts < 1 || model.blocks.size() < wanted) {
    fail(ErrorKind::config, "{} parts for a model of {} blocks: a part needs at least one", parts,
         model.blocks.size());
  }
  std::vector<double> costs;
  for (const BlockSpec& block : model.blocks) costs.push_back(cost_of(block));
  double low = *std::max_element(costs.begin(), costs.end()), high = 0;
  for (const double cost : costs) high += cost;
  std::vector<size_t> best = greedy_cuts(costs, high, wanted);
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    const std::vector<size_t> cuts = greedy_cuts(costs, middle, wanted);
    if (cuts.size() == wanted + 1 && dearest(costs, cuts) <= middle * (1 + 1e-12)) {
      high = middle;
      best = cuts;
    } else {
      low = middle;
    }
  }
  return best;
}

StageModel stage_model(const ModelSpec& model, int64_t stages, int64_t chunks, int64_t stage) {
  StageModel out;
  if (stages * chunks == 1) {
    out.model = model;
    out.chunks.emplace_back(0, model.blocks.size());
    return out;
  }
  const std::vector<size_t> cuts = pipeline_cuts(model, stages * chunks);
  out.model.family = model.family;
  for (int64_t c = 0; c < chunks; ++c) {
    const auto part = static_cast<size_t>(c * stages + stage);
    const size_t first = out.model.blocks.size();
    for (size_t b = cuts[part]; b < cuts[part + 1]; ++b)
      out.model.blocks.push_back(model.blocks[b]);
    out.chunks.emplace_back(first, out.model.blocks.size());
  }
  return out;
}

std::vector<Borrowed> borrowed_parameters(const ModelSpec& model, int64_t stages, int64_t chunks) {
  std::vector<Borrowed> out;
  if (stages == 1) return out;
  const std::vector<size_t> cuts = pipeline_cuts(model, stages * chunks);
  const auto stage_of = [&](size_t block) {
    const auto after = std::upper_bound(cuts.begin(), cuts.end(), block);
    return (after - cuts.begin() - 1) % stages;
  };
  const std::map<std::string, size_t> owner = owner_blocks(model);
  for (size_t b = 0; b < model.blocks.size(); ++b) {
    for (const LayerSpec& layer : model.blocks[b].layers) {
      for (const ParameterSpec& parameter : layer.parameters) {
        if (parameter.tied_to.empty()) continue;
        const int64_t from = stage_of(owner.at(parameter.tied_to)), to = stage_of(b);
        if (from != to) out.push_back({parameter.tied_to, from, to});
      }
    }
  }
  return out;
}

void check_placement(config::Problems& problems, const ModelSpec& model, const BatchConfig& batch,
                     const LayoutConfig& layout, int64_t ranks) {
  if (ranks % layout.model_ranks() != 0 || batch.global % layout.data(ranks) != 0)
    return;  // told by check_training
  const auto blocks = static_cast<int64_t>(model.blocks.size());
  const int64_t parts = layout.pipeline * layout.chunks;
  if (parts > blocks) {
    problems.add(
        layout.pipeline > blocks ? "layout.pipeline" : "layout.chunks",
        fmt::format("pipeline x chunks = {} parts, but the model has {} blocks to cut between "
                    "(embedding and head included)",
                    parts, blocks),
        layout.pipeline > blocks
            ? fmt::format("use at most {} stages", blocks)
            : fmt::format("use at most {} chunks", std::max<int64_t>(1, blocks / layout.pipeline)));
    return;
  }
  const BatchPlan plan = plan_batch(batch, layout, ranks);
  if (layout.pipeline == 1 && layout.chunks == 1) return;
  const std::string problem = schedule_problem(
      {schedule_from_name(layout.schedule), static_cast<int>(layout.pipeline),
       static_cast<int>(plan.accumulation), static_cast<int>(layout.chunks), Gather::never});
  if (!problem.empty())
    problems.add("layout.schedule", problem,
                 "micro-batches are batch.global / data / batch.micro; lower batch.micro for more");
}

}  // namespace ocoee::plan
