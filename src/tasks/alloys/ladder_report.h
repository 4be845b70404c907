// SPDX-License-Identifier: Apache-2.0
// What an alloy_ladder run ends with: results.json, snapshots, and the figures and tables of its
// report.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "run/events.h"
#include "science/alloy/ladder_analysis.h"
#include "tasks/alloys/alloy_ladder.h"

namespace ocoee::tasks {

struct LadderResult {
  int64_t size = 1;
  alloy::Lattice lattice;
  alloy::LadderSeries series;
  // Kept arrangements [temperature][snapshot][site], in the order of time; of the largest cell.
  std::vector<std::vector<std::vector<uint8_t>>> snapshots;
  int64_t round_trips = 0;
  double exchange_rate = 0;
};

// Writes the files into `folder`, and returns the fields of the summary event.
nlohmann::json ladder_summary(const LadderConfig& config, const std::vector<LadderResult>& results,
                              const std::filesystem::path& folder, run::Events& events);

}  // namespace ocoee::tasks
