// SPDX-License-Identifier: Apache-2.0
#include "plan/memory.h"

#include <algorithm>
#include <map>

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

int64_t live_unit_bytes(const ModelSpec& model, int64_t compute_bytes, const std::string& shard,
                        int64_t gradient_bytes) {
  if (shard != "gradients" && shard != "parameters") return 0;
  std::vector<int64_t> units;
  std::map<std::string, size_t> owner;
  int64_t lent = 0;  // the unit of a tied parameter lives with the block that borrows it
  for (const BlockSpec& block : model.blocks) {
    int64_t elements = 0;
    for (const LayerSpec& layer : block.layers) {
      for (const ParameterSpec& parameter : layer.parameters) {
        if (parameter.tied_to.empty()) {
          elements += parameter.elements();
          owner[parameter.name] = units.size();
        } else if (owner.contains(parameter.tied_to)) {
          lent = units[owner[parameter.tied_to]];
        }
      }
    }
    units.push_back(elements);
  }
  const auto window = [&](size_t blocks) {
    int64_t most = 0;
    for (size_t first = 0; first < units.size(); ++first) {
      int64_t sum = first > 0 ? lent : 0;
      for (size_t b = first; b < std::min(units.size(), first + blocks); ++b) sum += units[b];
      most = std::max(most, sum);
    }
    return most;
  };
  return gradient_bytes * window(3) + (shard == "parameters" ? compute_bytes * window(2) : 0);
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
