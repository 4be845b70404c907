// SPDX-License-Identifier: Apache-2.0
#include "report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "report/markup.h"
#include "report/numbers.h"
#include "report/scale.h"
#include "report/svg.h"

namespace ocoee::report {
namespace {

constexpr int kShades = 32;
constexpr double kFont = 12, kTickFont = 11.5;

using Colour = std::array<double, 3>;

// Dark blue to pale yellow, and blue - white - red: both readable to colour-blind eyes and in grey.
std::string shade(double share, bool diverging) {
  static const std::vector<Colour> kSequential = {{24, 30, 78},   {32, 72, 138},   {36, 122, 158},
                                                  {72, 170, 152}, {162, 212, 146}, {248, 244, 182}};
  static const std::vector<Colour> kDiverging = {{28, 74, 150},   {98, 150, 206},  {196, 218, 236},
                                                 {246, 244, 240}, {246, 206, 188}, {220, 122, 100},
                                                 {158, 32, 48}};
  const std::vector<Colour>& anchors = diverging ? kDiverging : kSequential;
  const double position = std::clamp(share, 0.0, 1.0) * static_cast<double>(anchors.size() - 1);
  const size_t i = std::min(static_cast<size_t>(position), anchors.size() - 2);
  const double t = position - static_cast<double>(i);
  std::string out = "#";
  for (size_t c = 0; c < 3; ++c)
    out += fmt::format(
        "{:02x}", static_cast<int>(std::lround(anchors[i][c] * (1 - t) + anchors[i + 1][c] * t)));
  return out;
}

struct Grid {
  size_t columns, rows, merged;  // `merged` cells a side became one
  std::vector<double> values;
};

Grid reduce(const HeatMap& map) {
  const size_t side = std::max(map.columns, map.rows);
  const size_t merged = std::max<size_t>(
      1, (side + map.most_cells_a_side - 1) / std::max<size_t>(1, map.most_cells_a_side));
  Grid grid{(map.columns + merged - 1) / merged, (map.rows + merged - 1) / merged, merged, {}};
  for (size_t r = 0; r < grid.rows; ++r) {
    for (size_t c = 0; c < grid.columns; ++c) {
      double sum = 0;
      int count = 0;
      std::map<double, int> votes;
      for (size_t y = r * merged; y < std::min(map.rows, (r + 1) * merged); ++y) {
        for (size_t x = c * merged; x < std::min(map.columns, (c + 1) * merged); ++x) {
          const size_t at = y * map.columns + x;
          if (at >= map.values.size() || !drawable(map.values[at])) continue;
          sum += map.values[at];
          ++count;
          if (map.colours == HeatMap::Colours::categories) ++votes[map.values[at]];
        }
      }
      double value = count > 0 ? sum / count : NAN;
      int most = 0;
      for (const auto& [candidate, votes_for] : votes)
        if (votes_for > most) most = votes_for, value = candidate;
      grid.values.push_back(value);
    }
  }
  return grid;
}

void limits(const HeatMap& map, double& low, double& high) {
  low = map.low, high = map.high;
  if (low < high) return;
  Range range;
  range.add(map.values, false);
  low = range.empty() ? 0 : range.low;
  high = range.empty() ? 1 : range.high;
  if (map.colours == HeatMap::Colours::diverging) {
    high = std::max(std::abs(low), std::abs(high));
    low = -high;
  }
  if (!(low < high)) low -= 0.5, high += 0.5;
}

bool has_ticks(const Axis& axis) {
  return axis.low && axis.high && *axis.low < *axis.high;
}

std::vector<Tick> ticks_of(const Axis& axis, double first_pixel, double last_pixel) {
  if (!has_ticks(axis)) return {};
  const int count = std::max(2, static_cast<int>(std::abs(last_pixel - first_pixel) / 78));
  const Scale scale(*axis.low, *axis.high, first_pixel, last_pixel, false);
  std::vector<Tick> ticks = make_ticks(axis, scale, count);
  for (Tick& tick : ticks) tick.value = scale(tick.value);
  return ticks;
}

}  // namespace

std::string heat_map(const HeatMap& map) {
  const bool categories = map.colours == HeatMap::Colours::categories;
  const bool diverging = map.colours == HeatMap::Colours::diverging;
  const Grid grid = reduce(map);
  double low = 0, high = 1;
  if (!categories) limits(map, low, high);

  double left = 0;
  for (const std::string& name : map.row_names) left = std::max(left, text_width(name, kFont) + 8);
  for (const Tick& tick : ticks_of(map.y, map.width, 0))
    left = std::max(left, text_width(tick.label, kTickFont) + 12);
  left = std::min(left, map.width * 0.3);
  const bool headed = !map.y.label.empty() || (!categories && !map.unit.empty());
  const double top = (map.column_names.empty() ? 2 : 18) + (headed ? 24 : 0);
  const double below = (has_ticks(map.x) ? 24 : 0) + (map.x.label.empty() ? 0 : 20);
  const double key = categories ? 0 : 74;  // colour bar and its figures
  const double columns = static_cast<double>(std::max<size_t>(1, grid.columns));
  const double rows = static_cast<double>(std::max<size_t>(1, grid.rows));
  const double cell = (map.width - left - key) / columns;
  const double field = std::min(cell * rows, 1.4 * map.width);
  const double cell_y = field / rows;
  const double height = top + field + below + (categories ? 26 : 4);

  Svg svg(map.width, height, map.title,
          map.description.empty() ? fmt::format("{} by {} cells", map.columns, map.rows)
                                  : map.description,
          "chart heat");
  // run-length strokes by colour, in whole cells: rounding leaves no seams
  std::map<int, std::string> strokes;
  for (size_t r = 0; r < grid.rows; ++r) {
    for (size_t c = 0; c < grid.columns;) {
      const auto bin_at = [&](size_t column) {
        const double v = grid.values[r * grid.columns + column];
        if (std::isnan(v)) return -1;
        if (categories) return v < 0 ? -1 : static_cast<int>(std::min(v, 1e6));
        return static_cast<int>(
            std::lround(std::clamp((v - low) / (high - low), 0.0, 1.0) * (kShades - 1)));
      };
      const int bin = bin_at(c);
      const size_t first = c;
      while (c < grid.columns && bin_at(c) == bin) ++c;
      if (bin < 0) continue;
      strokes[bin] += fmt::format("M{},{}h{}v1h-{}z", first, r, c - first, c - first);
    }
  }
  svg.open_group("cells", fmt::format("transform=\"translate({},{}) scale({:.6g},{:.6g})\"",
                                      coordinate(left), coordinate(top), cell, cell_y));
  for (const auto& [bin, d] : strokes) {
    if (categories) {
      const auto b = static_cast<size_t>(bin);
      svg.path(d, "seg " + colour_class(bin), b < map.categories.size() ? map.categories[b] : "");
    } else {
      const double middle = low + (high - low) * bin / (kShades - 1);
      svg.path(
          d, "", significant(middle, 3) + (map.unit.empty() ? "" : " " + map.unit),
          fmt::format("fill=\"{}\"", shade(static_cast<double>(bin) / (kShades - 1), diverging)));
    }
  }
  svg.close_group();
  svg.rect(left, top, cell * columns, field, "frame");
  for (size_t r = 0; r < std::min(map.row_names.size(), map.rows); ++r) {
    const double y = top + (static_cast<double>(r) + 0.5) / static_cast<double>(map.rows) * field;
    svg.text(left - 6, y + 4, shorten(map.row_names[r], 24), "t", Svg::Anchor::end);
  }
  for (size_t c = 0; c < std::min(map.column_names.size(), map.columns); ++c) {
    const double x =
        left + (static_cast<double>(c) + 0.5) / static_cast<double>(map.columns) * cell * columns;
    svg.text(x, top - 6, shorten(map.column_names[c], 16), "t", Svg::Anchor::middle);
  }
  // Middles of cells, some of which may have become one.
  const auto middle_of = [&](size_t i, double side) {
    return (static_cast<double>(i) + 0.5) / static_cast<double>(grid.merged) * side;
  };
  const size_t last_column = std::max<size_t>(1, map.columns) - 1,
               last_row = std::max<size_t>(1, map.rows) - 1;
  const double base = top + field;
  for (const Tick& tick :
       ticks_of(map.x, left + middle_of(0, cell), left + middle_of(last_column, cell))) {
    svg.line(tick.value, base, tick.value, base + 5, "tick");
    svg.text(tick.value, base + 18, tick.label, "t", Svg::Anchor::middle);
  }
  for (const Tick& tick :
       ticks_of(map.y, top + middle_of(last_row, cell_y), top + middle_of(0, cell_y))) {
    svg.line(left - 5, tick.value, left, tick.value, "tick");
    svg.text(left - 7, tick.value + 4, tick.label, "t", Svg::Anchor::end);
  }
  if (!map.x.label.empty())
    svg.text(left + cell * columns / 2, base + below - 6, map.x.label, "t", Svg::Anchor::middle);
  if (!map.y.label.empty()) svg.text(0, 14, map.y.label, "t");
  if (categories) {
    double at = left;
    for (size_t i = 0; i < std::min<size_t>(map.categories.size(), 16); ++i) {
      svg.rect(at, height - 15, 11, 11, "seg " + colour_class(static_cast<int>(i)), "", "rx=\"2\"");
      svg.text(at + 17, height - 5, shorten(map.categories[i], 20), "t");
      at += text_width(shorten(map.categories[i], 20), kFont) + 38;
    }
  } else {
    const double x = map.width - key + 12, step = field / kShades;
    if (!map.unit.empty()) svg.text(map.width, 14, map.unit, "t", Svg::Anchor::end);
    for (int b = 0; b < kShades; ++b)
      svg.rect(
          x, top + field - (b + 1) * step, 12, step + 0.4, "", "",
          fmt::format("fill=\"{}\"", shade(static_cast<double>(b) / (kShades - 1), diverging)));
    const Scale scale(low, high, top + field, top, false);
    for (const Tick& tick : make_ticks(Axis{}, scale, std::max(2, static_cast<int>(field / 60))))
      svg.text(x + 17, std::clamp(scale(tick.value) + 4, top + 9, top + field), tick.label, "t");
  }
  return svg.str();
}

}  // namespace ocoee::report
