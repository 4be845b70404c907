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

namespace {

using alloy::Vector;

double dot(const Vector& a, const Vector& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
Vector scaled(const Vector& a, double by) {
  return {a[0] * by, a[1] * by, a[2] * by};
}
Vector less(const Vector& a, const Vector& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

// A layer with a site in every cell whose edges are at right angles is a map of squares.
bool is_square_grid(const alloy::Lattice& lattice) {
  const auto& edges = lattice.cell().edges;
  return lattice.basis() == 1 && std::abs(dot(edges[0], edges[1])) < 1e-6 * dot(edges[0], edges[0]);
}

json square_grid(const alloy::Lattice& lattice, const std::vector<uint8_t>& species,
                 const std::vector<std::string>& names) {
  const int64_t columns = lattice.repeats()[0], rows = lattice.repeats()[1];
  std::vector<int> values(static_cast<size_t>(columns * rows));
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const alloy::CellIndex cell = lattice.cell_of(site);
    if (cell[2] == 0)  // y upwards
      values[static_cast<size_t>((rows - 1 - cell[1]) * columns + cell[0])] =
          species[static_cast<size_t>(site)];
  }
  return {{"chart", "heat"},  {"columns", columns},      {"rows", rows},
          {"values", values}, {"colours", "categories"}, {"categories", names}};
}

// How far a block of at most `most` of `sites` reaches along its `edges`, all of one share.
alloy::CellIndex block_of(const alloy::Lattice& lattice, int64_t sites, int64_t most,
                          size_t edges) {
  const double share =
      std::min(1.0, std::pow(static_cast<double>(most) / static_cast<double>(sites),
                             1 / static_cast<double>(edges)));
  alloy::CellIndex shown = lattice.repeats();
  for (size_t k = 0; k < edges; ++k)
    shown[k] = std::max<int64_t>(
        1, static_cast<int64_t>(std::floor(share * static_cast<double>(shown[k]) + 1e-9)));
  return shown;
}

bool is_inside(const alloy::CellIndex& at, const alloy::CellIndex& shown) {
  return at[0] < shown[0] && at[1] < shown[1] && at[2] < shown[2];
}

std::string joined(const std::string& first, const std::string& second) {
  return first.empty() || second.empty() ? first + second : first + " " + second;
}

}  // namespace

json slice_figure(const alloy::Lattice& lattice, const std::vector<uint8_t>& species,
                  const std::vector<std::string>& names, const std::string& title,
                  const std::string& caption, int64_t most) {
  json out;
  std::string what;
  if (is_square_grid(lattice)) {
    out = square_grid(lattice, species, names);
  } else {
    // Axes of the plane of the first two edges, and its normal.
    const auto& edges = lattice.cell().edges;
    const Vector right = scaled(edges[0], 1 / std::sqrt(dot(edges[0], edges[0])));
    const Vector up_edge = less(edges[1], scaled(right, dot(edges[1], right)));
    const Vector up = scaled(up_edge, 1 / std::sqrt(dot(up_edge, up_edge)));
    const Vector normal{right[1] * up[2] - right[2] * up[1], right[2] * up[0] - right[0] * up[2],
                        right[0] * up[1] - right[1] * up[0]};
    const auto height = [&](int64_t site) { return dot(lattice.position(site), normal); };
    double lowest = INFINITY;
    for (int64_t site = 0; site < lattice.basis(); ++site)
      lowest = std::min(lowest, height(site));  // the sites of the first cell
    const double near = 0.05 * std::cbrt(alloy::site_volume(lattice.cell()));
    std::vector<int64_t> plane;
    for (int64_t site = 0; site < lattice.sites(); ++site)
      if (lattice.cell_of(site)[2] == 0 && height(site) < lowest + near) plane.push_back(site);
    const alloy::CellIndex shown = block_of(lattice, static_cast<int64_t>(plane.size()), most, 2);
    json positions = json::array(), kinds = json::array(), cell = json::array();
    for (const int64_t site : plane) {
      if (!is_inside(lattice.cell_of(site), shown)) continue;
      const Vector at = lattice.position(site);
      for (const double part : {dot(at, right), dot(at, up), 0.0}) positions.push_back(part);
      kinds.push_back(species[static_cast<size_t>(site)]);
    }
    for (size_t k = 0; k < 3; ++k) {
      const double length = k < 2 ? static_cast<double>(shown[k]) : 0;
      for (const double part : {dot(edges[k], right) * length, dot(edges[k], up) * length, 0.0})
        cell.push_back(part);
    }
    out = {{"chart", "lattice"}, {"positions", positions}, {"species", kinds},   {"cell", cell},
           {"azimuth", 0},       {"elevation", 90},        {"categories", names}};
    what = "One plane of atoms, that of the first two edges of the cell.";
    if (shown != lattice.repeats())
      what += fmt::format(" A corner of {} x {} cells.", shown[0], shown[1]);
  }
  out["title"] = title;
  out["caption"] = joined(what, caption);
  return out;
}

json crystal_figure(const alloy::Lattice& lattice, const std::vector<uint8_t>& species,
                    const std::vector<std::string>& names, const std::string& title,
                    const std::string& caption, int64_t most) {
  const alloy::CellIndex shown = block_of(lattice, lattice.sites(), most, 3);
  json positions = json::array(), kinds = json::array(), cell = json::array();
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    if (!is_inside(lattice.cell_of(site), shown)) continue;
    for (const double part : lattice.position(site)) positions.push_back(part);
    kinds.push_back(species[static_cast<size_t>(site)]);
  }
  for (size_t k = 0; k < 3; ++k)
    for (const double part : lattice.cell().edges[k])
      cell.push_back(part * static_cast<double>(shown[k]));
  const std::string what =
      shown == lattice.repeats()
          ? ""
          : fmt::format("A corner of {} x {} x {} cells.", shown[0], shown[1], shown[2]);
  return {{"chart", "lattice"},
          {"title", title},
          {"caption", joined(what, caption)},
          {"positions", positions},
          {"species", kinds},
          {"categories", names},
          {"cell", cell}};
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
