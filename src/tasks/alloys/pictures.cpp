// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/file.h"
#include "science/alloy/features.h"
#include "science/atoms/formats.h"

namespace ocoee::tasks {

using nlohmann::json;

json slice_figure(const alloy::Lattice& lattice, const std::vector<uint8_t>& species,
                  const std::vector<std::string>& names, const std::string& title,
                  const std::string& caption) {
  // Sites at halves of an edge share a grid twice as fine.
  const int64_t fine = lattice.basis() == 1 ? 1 : 2;
  const int64_t columns = fine * lattice.repeats()[0], rows = fine * lattice.repeats()[1];
  json values = json::array();
  for (int64_t i = 0; i < columns * rows; ++i) values.push_back(nullptr);
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const alloy::CellIndex cell = lattice.cell_of(site);
    const alloy::Vector& inside = lattice.cell().sites[static_cast<size_t>(lattice.basis_of(site))];
    if (cell[2] != 0) continue;
    const auto part = [&](size_t k) {
      return fine * cell[k] +
             static_cast<int64_t>(std::floor(inside[k] * static_cast<double>(fine) + 1e-6));
    };
    json& value = values[static_cast<size_t>(part(1) * columns + part(0))];
    if (value.is_null()) value = species[static_cast<size_t>(site)];
  }
  return {{"chart", "heat"}, {"title", title},   {"caption", caption},      {"columns", columns},
          {"rows", rows},    {"values", values}, {"colours", "categories"}, {"categories", names}};
}

json crystal_figure(const alloy::Lattice& lattice, const std::vector<uint8_t>& species,
                    const std::vector<std::string>& names, const std::string& title,
                    const std::string& caption, int64_t most) {
  // A corner block with the shape of the cell.
  double share = std::cbrt(static_cast<double>(most) / static_cast<double>(lattice.sites()));
  share = std::min(1.0, share);
  alloy::CellIndex shown{};
  for (size_t k = 0; k < 3; ++k)
    shown[k] = std::max<int64_t>(
        1, static_cast<int64_t>(std::floor(share * static_cast<double>(lattice.repeats()[k]))));
  json positions = json::array(), kinds = json::array(), cell = json::array();
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const alloy::CellIndex at = lattice.cell_of(site);
    if (at[0] >= shown[0] || at[1] >= shown[1] || at[2] >= shown[2]) continue;
    for (const double part : lattice.position(site)) positions.push_back(part);
    kinds.push_back(species[static_cast<size_t>(site)]);
  }
  for (size_t k = 0; k < 3; ++k)
    for (const double part : lattice.cell().edges[k])
      cell.push_back(part * static_cast<double>(shown[k]));
  return {
      {"chart", "lattice"}, {"title", title},      {"caption", caption}, {"positions", positions},
      {"species", kinds},   {"categories", names}, {"cell", cell}};
}

void write_snapshots(const std::filesystem::path& path, const alloy::Lattice& lattice,
                     const std::vector<std::string>& names,
                     const std::vector<Snapshot>& snapshots) {
  std::string text;
  atoms::Frame frame;
  for (const Snapshot& snapshot : snapshots) {
    frame.structure = alloy::structure_of(lattice, snapshot.species, names);
    frame.energy = snapshot.energy;
    frame.info = {snapshot.info.begin(), snapshot.info.end()};
    text += atoms::write_extxyz(frame);
  }
  write_file_atomically(path, text);
}

json json_of(const alloy::Estimate& estimate) {
  return {{"value", estimate.value},
          {"error", std::isfinite(estimate.error) ? json(estimate.error) : json()}};
}

json curve(const std::string& name, const std::vector<double>& x, const std::vector<double>& y,
           const std::vector<double>& error, const char* draw) {
  json out{{"name", name}, {"x", x}, {"y", y}, {"draw", draw}};
  if (!error.empty()) out["error"] = error;
  return out;
}

nlohmann::json headline_of(const std::string& label, const alloy::Estimate& estimate,
                           const std::string& unit) {
  const bool known = std::isfinite(estimate.error);
  return {{"label", known ? label : label + ", error unknown"},
          {"value", estimate.value},
          {"text", known ? alloy::text_of(estimate) : fmt::format("{:.4g}", estimate.value)},
          {"unit", unit}};
}

}  // namespace ocoee::tasks
