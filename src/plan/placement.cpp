// SPDX-License-Identifier: Apache-2.0
#include "plan/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/error.h"

namespace ocoee::plan {
namespace {

// A GPU of these years computes about 200 FLOPs in 16 bit while it moves a byte (A100 200, H100
// 295, a die of an MI250X 120): 400 while it moves an element.
constexpr double kFlopsAnElement = 400;

double cost_of(const BlockSpec& block) {
  double sum = 0;
  for (const LayerSpec& layer : block.layers)
    sum += layer.cost.forward_flops() + kFlopsAnElement * layer.cost.bytes_moved;
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

std::string cuts_problem(const std::vector<int64_t>& given, int64_t parts, int64_t blocks) {
  if (static_cast<int64_t>(given.size()) != parts - 1)
    return fmt::format("{} cuts make {} parts, but pipeline x chunks is {}", given.size(),
                       given.size() + 1, parts);
  int64_t before = 0;
  for (const int64_t cut : given) {
    if (cut <= before || cut >= blocks)
      return fmt::format(
          "the cut at block {} leaves a part empty: cuts ascend from 1 to {} (block 0 is the "
          "embedding, block {} the head)",
          cut, blocks - 1, blocks - 1);
    before = cut;
  }
  return "";
}

std::vector<size_t> pipeline_cuts(const ModelSpec& model, int64_t parts,
                                  const std::vector<int64_t>& given) {
  if (!given.empty()) {
    const auto blocks = static_cast<int64_t>(model.blocks.size());
    if (const std::string problem = cuts_problem(given, parts, blocks); !problem.empty())
      fail(ErrorKind::config, "layout.cuts: {}", problem);
    std::vector<size_t> cuts{0};
    for (const int64_t cut : given) cuts.push_back(static_cast<size_t>(cut));
    cuts.push_back(model.blocks.size());
    return cuts;
  }
  const auto wanted = static_cast<size_t>(parts);
  if (parts < 1 || model.blocks.size() < wanted) {
    fail(ErrorKind::config, "{} parts for a model of {} blocks: a part needs at least one", parts,
         model.blocks.size());
  }
  std::vector<double> costs;
  for (const BlockSpec& block : model.blocks) costs.push_back(cost_of(block));
  return balanced_cuts(costs, wanted);
}

std::vector<size_t> balanced_cuts(const std::vector<double>& costs, size_t parts) {
  double low = *std::max_element(costs.begin(), costs.end()), high = 0;
  for (const double cost : costs) high += cost;
  std::vector<size_t> best = greedy_cuts(costs, high, parts);
  for (int i = 0; i < 60 && high - low > 1e-12 * high; ++i) {
    const double middle = (low + high) / 2;
    const std::vector<size_t> cuts = greedy_cuts(costs, middle, parts);
    const double most = dearest(costs, cuts);
    if (cuts.size() == parts + 1 && most <= middle * (1 + 1e-12)) {
      high = std::min(middle, most);
      best = cuts;
    } else {
      low = middle;
    }
  }
  return best;
}

StageModel stage_model(const ModelSpec& model, int64_t stages, int64_t chunks, int64_t stage,
                       const std::vector<int64_t>& given) {
  StageModel out;
  if (stages * chunks == 1) {
    out.model = model;
    out.chunks.emplace_back(0, model.blocks.size());
    return out;
  }
  const std::vector<size_t> cuts = pipeline_cuts(model, stages * chunks, given);
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

std::vector<Borrowed> borrowed_parameters(const ModelSpec& model, int64_t stages, int64_t chunks,
                                          const std::vector<int64_t>& given) {
  std::vector<Borrowed> out;
  if (stages == 1) return out;
  const std::vector<size_t> cuts = pipeline_cuts(model, stages * chunks, given);
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

std::string zero_bubble_problem(const ModelSpec& model) {
  for (const BlockSpec& block : model.blocks) {
    for (const LayerSpec& layer : block.layers) {
      if (!layer.parameters.empty() && !layer.splits_backward)
        return fmt::format(
            "zero_bubble puts weight gradients off, and the layer '{}' ({}) makes them together "
            "with its input gradients",
            layer.name, layer.kind);
    }
  }
  return "";
}

int64_t padded(int64_t extent, int64_t ranks) {
  return (extent + ranks - 1) / ranks * ranks;
}

ModelSpec tensor_part(const ModelSpec& model, int64_t ranks, int64_t rank) {
  ModelSpec part = model;
  if (ranks == 1) return part;
  const auto share = static_cast<double>(ranks);
  for (BlockSpec& block : part.blocks) {
    for (LayerSpec& layer : block.layers) {
      for (ParameterSpec& parameter : layer.parameters) {
        if (parameter.tensor_dim < 0) continue;
        int64_t& extent = parameter.shape[static_cast<size_t>(parameter.tensor_dim)];
        parameter.whole = parameter.shape;
        extent = padded(extent, ranks) / ranks;
        parameter.first = rank * extent;
      }
      for (const char* shared : {"heads", "kv_heads", "feed_forward"}) {
        const auto found = layer.options.find(shared);
        if (found != layer.options.end()) found->second /= share;
      }
      Cost& cost = layer.cost;
      if (layer.kind == "head") {  // the rows of logits are as wide as the padded share
        const auto rows = static_cast<double>(layer.parameters[0].shape[0]);
        for (SavedArray& array : layer.saved) {
          if (array.comes_in) continue;
          cost.saved_elements += rows * share - array.elements;
          array.elements = rows * share;
        }
        cost.matmul_flops = 2 * rows * share * layer.option("width");
      }
      cost.matmul_flops /= share;
      cost.output_flops /= share;
      cost.attention_flops /= share;
      cost.bytes_moved /= share;
      cost.saved_elements /= share;
      cost.cheap_elements /= share;
      for (SavedArray& array : layer.saved) array.elements /= share;
      if (layer.kind != "embedding") cost.saved_bytes_fixed /= share;  // it keeps every token's id
    }
  }
  return part;
}

}  // namespace ocoee::plan
