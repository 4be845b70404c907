// SPDX-License-Identifier: Apache-2.0
// Task alloy_ladder: an alloy at a ladder of temperatures, by parallel tempering or independent
// chains: heat capacity, order, short-range order and transition temperatures with errors.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "science/alloy/link_cell.h"
#include "science/alloy/order.h"
#include "tasks/alloys/system_config.h"

namespace ocoee::tasks {

struct LadderConfig final : run::TaskConfig {
  SystemConfig system;
  // [temperatures]
  std::vector<double> values;
  double low = 0, high = 0;
  int64_t count = 16;
  std::string spacing = "linear";
  // [sampling]
  std::string sampler = "sequential", moves = "far", start = "random", start_file;
  bool exchange = true;
  int64_t equilibration = 100, samples = 400, sweeps = 10, samples_per_round = 10;
  int64_t checkpoint_every = 10, crystal_ranks = 1;
  // [observables]
  std::string order = "none";
  std::vector<double> waves;
  bool structure_factor = true;
  int64_t shells = 2, snapshots = 1;
  std::string snapshot_format = "extxyz";
  bool reweight = true;

  void describe(config::Description& recipe) override;
  void check(config::Problems& problems, const run::RunConfig& run, int ranks) const override;
  comm::Shape mesh(int ranks) const override;
  nlohmann::json preview(const run::RunConfig& run, int ranks) const override;

  std::vector<double> temperatures() const;  // ascending
  int64_t rounds() const { return (equilibration + samples) / samples_per_round; }
  int counted_shells() const;
  // Of a sample: energy, order, the rest; where species flip, at the end the weight of each
  // Warren-Cowley parameter: how many pairs there would be at random, none where one of the two
  // species is absent.
  std::vector<std::string> columns() const;
  static bool is_weight(const std::string& column) { return column.starts_with(kWeight); }
  static constexpr std::string_view kWeight = "weight ";  // and then the column that it is of
  // Species a < b of which there are atoms: Warren-Cowley parameters are measured of these.
  std::vector<std::pair<int, int>> pairs_present() const;
  // Which of the kept arrangements a sample is; nothing where it is none.
  std::optional<int64_t> snapshot(int64_t sample) const;
  // Domains of an ordering; of like atoms where the order is the magnetisation.
  bool measures_domains() const { return order != "none" && order != "waves"; }
  // Directions along which the structure factor is measured, and the species that it is of.
  std::vector<std::array<int, 3>> lines() const;
  int structure_factor_species() const;
  std::vector<alloy::WaveVector> wave_vectors() const;
  alloy::LinkCellSetup link_cells(int64_t size, const std::vector<double>& at) const;

 private:
  std::string name_;
};

std::unique_ptr<run::Task> build_alloy_ladder(const run::TaskConfig& config, run::Context& context);

}  // namespace ocoee::tasks
