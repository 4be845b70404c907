// SPDX-License-Identifier: Apache-2.0
// A field of cells as a picture: lattice slices by species, correlation tables, attention maps.
// Equal neighbours of a row are one stroke, so a slice of some 10^4 cells stays small.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "report/scale.h"

namespace ocoee::report {

struct HeatMap {
  enum class Colours { sequential, diverging, categories };
  std::string title, description;
  size_t columns = 0, rows = 0;
  std::vector<double> values;  // row by row; NaN cells stay empty; categories: 0, 1, 2, ...
  Colours colours = Colours::sequential;
  std::vector<std::string> categories;  // names, for the legend
  double low = 0, high = 0;  // low == high: from the values (diverging: even around zero)
  std::string unit;
  std::vector<std::string> column_names, row_names;  // shown when given
  // Ticks where low < high: at the middles of the first and last column; of the last and first
  // row, so that y grows upwards. Linear.
  Axis x, y;
  double width = 450;
  size_t most_cells_a_side = 160;  // more are merged: means, or the most frequent category
};

std::string heat_map(const HeatMap& map);

}  // namespace ocoee::report
