// SPDX-License-Identifier: Apache-2.0
#include "plan/memory.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

const std::vector<StateRules>& published_rules() {
  static const std::vector<StateRules> rules{
      {"megatron", {2, false}, {4, false}, {4, false}, {8, false}},
      {"megatron_distributed", {2, false}, {4, false}, {4, true}, {8, true}},
      {"zero1", {2, false}, {2, false}, {4, true}, {8, true}},
      {"zero2", {2, false}, {2, true}, {4, true}, {8, true}},
      {"zero3", {2, true}, {2, true}, {4, true}, {8, true}},
      {"deepspeed_frontier", {2, false}, {2, true}, {4, true}, {8, true}},
  };
  return rules;
}

[[noreturn]] void unknown_word(const char* what, const std::string& word,
                               const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  fail(ErrorKind::config, "{} '{}' is not known{}; expected one of {}", what, word,
       near.empty() ? "" : ", did you mean '" + near + "'?", join(known, ", "));
}

void check_at_least_one(const char* what, int64_t value) {
  if (value < 1) fail(ErrorKind::config, "{} is {}: it must be at least 1", what, value);
}

}  // namespace

double StateBytes::on_rank(int64_t data) const {
  return sharded ? bytes / static_cast<double>(data) : bytes;
}

double StateRules::bytes_per_parameter(int64_t data) const {
  check_at_least_one("the data axis", data);
  return weights.on_rank(data) + gradients.on_rank(data) + masters.on_rank(data) +
         moments.on_rank(data);
}

StateRules state_rules(const std::string& name) {
  std::vector<std::string> names;
  for (const StateRules& rules : published_rules()) {
    if (rules.name == name) return rules;
    names.push_back(rules.name);
  }
  unknown_word("memory preset", name, names);
}

StateRules engine_state_rules(int64_t compute_bytes, const std::string& shard,
                              int64_t gradient_bytes) {
  if (compute_bytes != 2 && compute_bytes != 4) {
    fail(ErrorKind::config, "precision.compute has {} bytes: memory is known for 2 and 4",
         compute_bytes);
  }
  const std::vector<std::string> levels{"none", "states", "gradients", "parameters"};
  size_t level = 0;
  while (level < levels.size() && levels[level] != shard) ++level;
  if (level == levels.size()) unknown_word("layout.shard", shard, levels);
  // In float32 the weights are the masters, unless they are whole and the masters slices of them.
  const bool apart = compute_bytes == 2 || level == 1 || level == 2;
  const double masters = apart ? 4 : 0;
  return {"engine_" + shard,
          {static_cast<double>(compute_bytes), level >= 3},
          {static_cast<double>(gradient_bytes), level >= 2},
          {masters, level >= 1},
          {8, level >= 1}};
}

namespace {

struct FlowingUnit {
  int64_t elements = 0, largest_product = 0;
  size_t lender = 0;  // where it borrows
  bool borrows = false;
};

std::vector<FlowingUnit> flowing_units(const ModelSpec& model) {
  std::vector<FlowingUnit> units;
  std::map<std::string, std::pair<size_t, int64_t>> owner;  // unit and elements
  for (const BlockSpec& block : model.blocks) {
    FlowingUnit unit;
    for (const LayerSpec& layer : block.layers) {
      for (const ParameterSpec& parameter : layer.parameters) {
        int64_t elements = parameter.elements();
        if (parameter.tied_to.empty()) {
          unit.elements += elements;
          owner[parameter.name] = {units.size(), elements};
        } else if (const auto lender = owner.find(parameter.tied_to); lender != owner.end()) {
          unit.borrows = true;
          std::tie(unit.lender, elements) = lender->second;
        }
        if (layer.kind != "embedding")  // rows are added, without a product
          unit.largest_product = std::max(unit.largest_product, elements);
      }
    }
    units.push_back(unit);
  }
  return units;
}

}  // namespace

int64_t live_unit_bytes(const ModelSpec& model, const UnitFlow& flow) {
  check_at_least_one("the ranks that share", flow.ranks);
  const std::vector<FlowingUnit> units = flowing_units(model);
  const bool apart = flow.compute_bytes < flow.gradient_bytes && !flow.adds_products,
             gathers = flow.shard == "parameters", splits = gathers || flow.shard == "gradients";
  // The first product of a step is written where nothing is split, and needs no copy to be added.
  const bool adds = flow.goes_on || flow.shard != "none";
  const auto product = [&](const FlowingUnit& unit) {
    return apart ? (flow.compute_bytes + (adds ? flow.gradient_bytes : 0)) * unit.largest_product
                 : 0;
  };
  const auto slice = [&](int64_t elements) { return elements / flow.ranks; };
  const bool tied =
      std::any_of(units.begin(), units.end(), [](const auto& u) { return u.borrows; });
  int64_t most = 0;
  for (size_t b = 0; b < units.size(); ++b) {
    const FlowingUnit& unit = units[b];
    if (!splits) {
      most = std::max(most, product(unit));
      continue;
    }
    // A tied matrix's own block has to be through with its sum before it is lent again.
    const auto before = [&](size_t steps) {
      const size_t other = b + steps;
      if (other < units.size()) return units[other].elements;
      return flow.goes_on && !tied && steps < units.size() ? units[other - units.size()].elements
                                                           : int64_t{0};
    };
    const int64_t summed = before(1) + before(2);
    int64_t lent = 0;  // open since the block that borrows it
    for (size_t other = std::max<size_t>(b, 1); other < units.size(); ++other)
      if (units[other].borrows && units[other].lender < b)
        lent = units[units[other].lender].elements;
    const int64_t whole = flow.gradient_bytes * (unit.elements + summed + lent);
    const int64_t next = gathers && b > 0 ? flow.compute_bytes * units[b - 1].elements : 0,
                  borrowed = unit.borrows ? units[unit.lender].elements : 0,
                  own = gathers ? flow.compute_bytes * (unit.elements + borrowed) : 0;
    const int64_t arriving = flow.gradient_bytes * slice(summed);
    const int64_t own_sum = flow.gradient_bytes * slice(unit.elements) + (b == 0 ? own : 0);
    most = std::max(
        {most, whole + arriving + next + own + product(unit), whole + arriving + next + own_sum});
  }
  return most;
}

int64_t tensor_rank_parameters(const ModelSpec& model, int64_t tensor) {
  check_at_least_one("layout.tensor", tensor);
  int64_t sum = 0;
  for (const ParameterSpec* p : model.all_parameters()) {
    if (p->tensor_dim < 0) {
      sum += p->elements();
      continue;
    }
    const int64_t size = p->shape[static_cast<size_t>(p->tensor_dim)];
    if (size % tensor != 0) {
      fail(ErrorKind::config,
           "layout.tensor: {} ranks do not divide dimension {} of {}, which has {}; use a divisor "
           "of {}",
           tensor, p->tensor_dim, p->name, size, size);
    }
    sum += p->elements() / tensor;
  }
  return sum;
}

double layer_activation_bytes(const TransformerShape& shape, int64_t micro, int64_t tensor,
                              bool norms_sharded, Recompute recompute) {
  check_at_least_one("layout.tensor", tensor);
  check_at_least_one("batch.micro", micro);
  check_at_least_one("model.width", shape.width);
  check_at_least_one("model.heads", shape.heads);
  check_at_least_one("model.context", shape.sequence);
  const double s = static_cast<double>(shape.sequence), h = static_cast<double>(shape.width);
  const double sbh = s * static_cast<double>(micro) * h, t = static_cast<double>(tensor);
  if (recompute == Recompute::full) return 2 * sbh / (norms_sharded ? t : 1);
  const double scores =
      recompute == Recompute::none ? 5 * static_cast<double>(shape.heads) * s / h : 0;
  // 10: the inputs of norms and products and the dropout masks, which tensor ranks repeat
  return sbh * (10 / (norms_sharded ? t : 1) + (24 + scores) / t);
}

double stage_activation_bytes(const TransformerShape& shape, int64_t micro, int64_t tensor,
                              bool norms_sharded, Recompute recompute,
                              const ScheduleRequest& schedule, int stage) {
  const std::string problem = schedule_problem(schedule);
  if (!problem.empty()) fail(ErrorKind::config, "layout.schedule: {}", problem);
  if (stage < 0 || stage >= schedule.stages) {
    fail(ErrorKind::config, "stage {} is not one of the {} stages, counted from 0", stage,
         schedule.stages);
  }
  const int64_t parts = static_cast<int64_t>(schedule.stages) * schedule.chunks;
  if (shape.layers < parts || shape.layers % parts != 0) {
    fail(ErrorKind::config,
         "model.layers: {} layers do not divide over {} stages of {} chunks; use a multiple of {}",
         shape.layers, schedule.stages, schedule.chunks, parts);
  }
  const double a_layer = layer_activation_bytes(shape, micro, tensor, norms_sharded, recompute);
  const int64_t layers = shape.layers / parts;
  const double held = static_cast<double>(layers) *
                      static_cast<double>(activations_in_flight(schedule, stage)) * a_layer;
  if (recompute != Recompute::full) return held;
  return held + layer_activation_bytes(shape, micro, tensor, norms_sharded, Recompute::none);
}

}  // namespace ocoee::plan
