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

// The species of an ordering for a system whose composition is that of the ordering; species 0 and
// 1 by the ordering, others at random instead of them. Error(config) where it does not fit.
std::vector<uint8_t> ordered_start(const SystemConfig& system, const std::string& name,
                                   const alloy::Lattice& lattice);

// Arrangements of temperatures `first` to `first + count` as config.start_file has them.
// Error(config or data) where they are not of `lattice` or of the recipe's composition.
std::vector<std::vector<uint8_t>> starts_of_file(const LadderConfig& config,
                                                 const alloy::Lattice& lattice, int64_t first,
                                                 int64_t count);

}  // namespace ocoee::tasks
