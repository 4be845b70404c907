// SPDX-License-Identifier: Apache-2.0
// How a fit of an alloy's energies ends: the choice of shells, the last fit, its files and figures.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tasks/alloys/alloy_fit.h"

namespace ocoee::tasks {

struct FitSample {
  std::string name;
  atoms::Structure structure;
  std::vector<double> features;  // a site
  std::optional<double> given;   // eV, as a file states it
  int64_t stratum = 0;           // of its composition
  bool is_check = false;
};

struct FitOutcome {
  const alloy::FeatureSpace& space;
  const std::vector<FitSample>& samples;
  const std::vector<double>& energies;  // eV, of the whole cell
  alloy::Design train = {}, test = {}, check = {};
  std::vector<size_t> train_rows = {}, test_rows = {}, check_rows = {};  // samples of the rows
  std::vector<std::pair<std::string, std::string>> failures = {};        // name, problem
};

// Writes interactions.json and structures.extxyz (energies, predictions) into `folder`; returns
// what summary.json shall say.
nlohmann::json conclude(const FitOutcome& outcome, const AlloyFitConfig& config,
                        const std::filesystem::path& folder, uint64_t seed);

}  // namespace ocoee::tasks
