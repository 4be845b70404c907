// SPDX-License-Identifier: Apache-2.0
// Arrangements as figures of a report and as files.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "science/alloy/lattice.h"
#include "science/alloy/statistics.h"
#include "science/atoms/structure.h"

namespace ocoee::tasks {

// The lowest plane of atoms along the first two edges of the cell, seen from above: a map of
// squares where each cell has one site, else the atoms where they are; of more than `most` a
// corner.
nlohmann::json slice_figure(const alloy::Lattice& lattice, const std::vector<uint8_t>& species,
                            const std::vector<std::string>& names, const std::string& title,
                            const std::string& caption = "", int64_t most = 2000);
// A block of at most `most` sites in projection.
nlohmann::json crystal_figure(const alloy::Lattice& lattice, const std::vector<uint8_t>& species,
                              const std::vector<std::string>& names, const std::string& title,
                              const std::string& caption = "", int64_t most = 2000);

struct Snapshot {
  std::vector<uint8_t> species;
  double energy = 0;  // of the whole cell
  std::vector<std::pair<std::string, std::string>> info;
};
// One frame each, extended XYZ.
void write_snapshots(const std::filesystem::path& path, const alloy::Lattice& lattice,
                     const std::vector<std::string>& names, const std::vector<Snapshot>& snapshots);

// {"value", "error"}, the error null where it is not known.
nlohmann::json json_of(const alloy::Estimate& estimate);

// Columns of a curve for "figures" of summary.json; `draw`: points, line, line_and_points.
nlohmann::json curve(const std::string& name, const std::vector<double>& x,
                     const std::vector<double>& y, const std::vector<double>& error = {},
                     const char* draw = "points");

// An entry of "headline" of summary.json: a number with its error, or the word that it has none.
nlohmann::json headline_of(const std::string& label, const alloy::Estimate& estimate,
                           const std::string& unit);

}  // namespace ocoee::tasks
