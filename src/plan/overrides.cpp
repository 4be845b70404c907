// SPDX-License-Identifier: Apache-2.0
#include "plan/overrides.h"

#include <fmt/format.h>

namespace ocoee::plan {

std::vector<std::string> overrides_of(const Configuration& c,
                                      const std::optional<Configuration>& recipe) {
  std::vector<std::string> out;
  const auto add = [&](const char* key, const auto& value_of, bool acts) {
    if (recipe ? value_of(c) != value_of(*recipe) : acts)
      out.push_back(fmt::format("layout.{}={}", key, value_of(c)));
  };
  const bool stages = c.pipeline > 1;
  add(
      "tensor", [](const Configuration& of) { return of.tensor; }, true);
  add(
      "context", [](const Configuration& of) { return of.context; }, true);
  add(
      "pipeline", [](const Configuration& of) { return of.pipeline; }, true);
  out.push_back(fmt::format("batch.micro={}", c.micro));
  using std::string;
  add(
      "schedule", [](const Configuration& of) { return string(name_of(of.schedule)); }, stages);
  add(
      "chunks", [](const Configuration& of) { return of.chunks; }, stages);
  add(
      "placement", [](const Configuration& of) { return string(name_of(of.placement)); }, stages);
  add(
      "shard", [](const Configuration& of) { return string(name_of(of.shard)); }, true);
  add(
      "shard_group", [](const Configuration& of) { return of.shard_group; },
      c.shard != Shard::none);
  add(
      "recompute", [](const Configuration& of) { return string(name_of(of.recompute)); }, true);
  add(
      "offload", [](const Configuration& of) { return of.offload; }, true);
  return out;
}

}  // namespace ocoee::plan
