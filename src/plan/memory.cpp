// SPDX-License-Identifier: Apache-2.0
#include "plan/memory.h"

#include <vector>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

const std::vector<StateRules>& published_rules() {
  static const std::vector<StateRules> rules{
      {"megatron", {2, false}, {4, false}, {4, false}, {8, false}},
      {"megatron_distributed", {2, false}, {4, false}, {4, true}, {8, true}},
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

}  // namespace

double StateBytes::on_rank(int64_t data) const {
  return sharded ? bytes / static_cast<double>(data) : bytes;
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

}  // namespace ocoee::plan
