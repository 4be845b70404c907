// SPDX-License-Identifier: Apache-2.0
// Figures that a task describes itself, in "figures" of summary.json: line charts with error bars,
// bars, lattice slices and tables need no code in this room (docs/how-to/report.md lists the
// fields).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "report/bar_chart.h"
#include "report/heat_map.h"
#include "report/lattice_picture.h"
#include "report/line_chart.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/section.h"

namespace ocoee::report {
namespace {

using nlohmann::json;

std::vector<double> numbers_at(const json& object, const std::string& key, size_t most = 200000) {
  std::vector<double> values;
  const json& list = child(object, key);
  if (!list.is_array()) return values;
  for (const json& value : list) {
    if (values.size() >= most) break;
    values.push_back(value.is_number() ? value.get<double>() : NAN);
  }
  return values;
}

std::vector<std::string> strings_at(const json& object, const std::string& key) {
  std::vector<std::string> values;
  const json& list = child(object, key);
  if (list.is_array())
    for (const json& value : list)
      if (value.is_string() && values.size() < 1000)
        values.push_back(shorten(value.get<std::string>(), 200));
  return values;
}

bool flag_at(const json& object, const std::string& key) {
  const json& value = child(object, key);
  return value.is_boolean() && value.get<bool>();
}

Axis axis_at(const json& object, const std::string& key) {
  const json& described = child(object, key);
  Axis axis;
  axis.label = shorten(string_at(described, "label"), 80);
  axis.log = flag_at(described, "log");
  axis.from_zero = flag_at(described, "from_zero");
  if (const double low = number_at(described, "low"); drawable(low)) axis.low = low;
  if (const double high = number_at(described, "high"); drawable(high)) axis.high = high;
  return axis;
}

std::string line_figure(const SectionContext& context, const json& described) {
  LineChart chart;
  chart.title = string_at(described, "title");
  chart.x = axis_at(described, "x");
  chart.y = axis_at(described, "y");
  chart.detail = context.detail;
  const json& list = child(described, "series");
  if (list.is_array()) {
    for (const json& entry : list) {
      if (chart.series.size() >= 24) break;
      Series series{.name = shorten(string_at(entry, "name"), 60),
                    .x = numbers_at(entry, "x"),
                    .y = numbers_at(entry, "y"),
                    .error = numbers_at(entry, "error"),
                    .low = numbers_at(entry, "low"),
                    .high = numbers_at(entry, "high")};
      const std::string draw =
          string_at(entry, "draw", series.x.size() <= 60 ? "line_and_points" : "line");
      series.draw = draw == "points" ? Series::Draw::points
                    : draw == "line" ? Series::Draw::line
                                     : Series::Draw::line_and_points;
      if (const double colour = number_at(entry, "colour"); colour >= 0 && colour < 64)
        series.colour = static_cast<int>(colour);
      series.dashed = flag_at(entry, "dashed");
      series.faint = flag_at(entry, "faint");
      chart.series.push_back(std::move(series));
    }
  }
  // Shells and orders are counted: no ticks between them.
  chart.x.whole = std::all_of(chart.series.begin(), chart.series.end(), [](const Series& series) {
    return std::all_of(series.x.begin(), series.x.end(),
                       [](double x) { return x == std::floor(x); });
  });
  const json& references = child(described, "references");
  if (references.is_array())
    for (const json& entry : references)
      if (chart.references.size() < 12 && drawable(number_at(entry, "value")))
        chart.references.push_back({shorten(string_at(entry, "label"), 60),
                                    number_at(entry, "value"), flag_at(entry, "vertical"), -1});
  return responsive([&](double width) {
    chart.width = width;
    return line_chart(chart);
  });
}

std::string bars_figure(const json& described) {
  BarChart chart;
  chart.title = string_at(described, "title");
  const std::string unit = string_at(described, "unit");
  chart.text = [unit](double v) {
    if (unit == "bytes") return format_bytes(v);
    if (unit == "seconds") return format_seconds(v);
    return significant(v) + (unit.empty() ? "" : " " + unit);
  };
  const json& list = child(described, "rows");
  if (list.is_array()) {
    for (const json& entry : list) {
      if (chart.rows.size() >= 64) break;
      BarRow row{shorten(string_at(entry, "name"), 40), {}};
      const json& segments = child(entry, "segments");
      if (segments.is_array())
        for (const json& segment : segments)
          if (row.segments.size() < 32)
            row.segments.push_back(
                {shorten(string_at(segment, "name"), 40), number_at(segment, "value"), -1});
      chart.rows.push_back(std::move(row));
    }
  }
  return responsive([&](double width) {
    chart.width = width;
    return bar_chart(chart);
  });
}

std::string heat_figure(const json& described) {
  HeatMap map;
  map.title = string_at(described, "title");
  const double columns = number_at(described, "columns"), rows = number_at(described, "rows");
  map.values = numbers_at(described, "values", 4'000'000);
  if (!(columns >= 1 && rows >= 1 && columns * rows <= 4e6))
    return notice("A field without columns and rows was left out.");
  map.columns = static_cast<size_t>(columns);
  map.rows = static_cast<size_t>(rows);
  const std::string colours = string_at(described, "colours", "sequential");
  map.colours = colours == "categories"  ? HeatMap::Colours::categories
                : colours == "diverging" ? HeatMap::Colours::diverging
                                         : HeatMap::Colours::sequential;
  map.categories = strings_at(described, "categories");
  map.column_names = strings_at(described, "column_names");
  map.row_names = strings_at(described, "row_names");
  map.unit = shorten(string_at(described, "unit"), 20);
  map.x = axis_at(described, "x");
  map.y = axis_at(described, "y");
  if (const double low = number_at(described, "low"), high = number_at(described, "high");
      low < high)
    map.low = low, map.high = high;
  return heat_map(map);
}

std::string lattice_figure(const json& described) {
  LatticePicture picture;
  picture.title = string_at(described, "title");
  const auto vectors = [&](const char* key) {
    std::vector<std::array<double, 3>> list;
    const std::vector<double> flat = numbers_at(described, key, 3'000'000);
    for (size_t i = 0; i + 2 < flat.size(); i += 3)
      list.push_back({flat[i], flat[i + 1], flat[i + 2]});
    return list;
  };
  picture.positions = vectors("positions");
  picture.cell = vectors("cell");
  for (const double species : numbers_at(described, "species", 1'000'000))
    picture.species.push_back(species >= 0 && species < 1000 ? static_cast<int>(species) : 0);
  picture.names = strings_at(described, "categories");
  if (const double angle = number_at(described, "azimuth"); drawable(angle))
    picture.azimuth = angle;
  if (const double angle = number_at(described, "elevation"); drawable(angle))
    picture.elevation = angle;
  return lattice_picture(picture);
}

std::string cell_text(const json& cell) {
  if (cell.is_number()) return rounded(cell.get<double>());
  if (cell.is_string()) return cell.get<std::string>();
  if (cell.is_null()) return "";
  if (!cell.contains("value")) return cell.dump();
  const double value = number_at(cell, "value"), error = number_at(cell, "error");
  return with_error(value, error) + (std::isfinite(error) ? "" : ", error unknown");
}

std::string table_figure(const json& described) {
  std::vector<Column> columns;
  for (const std::string& title : strings_at(described, "columns")) columns.push_back({title});
  std::vector<std::vector<std::string>> rows;
  const json& list = child(described, "rows");
  if (list.is_array()) {
    for (const json& entry : list) {
      if (!entry.is_array() || rows.size() >= 500) continue;
      std::vector<std::string> row;
      for (const json& cell : entry) {
        if (row.size() >= columns.size()) break;
        if (cell.is_number() || cell.is_object()) columns[row.size()].numeric = true;
        row.push_back(cell_text(cell));
      }
      rows.push_back(std::move(row));
    }
  }
  return table(columns, rows);
}

}  // namespace

std::string figures_section(const SectionContext& context) {
  const json& list = child(context.run.summary, "figures");
  if (!list.is_array()) return "";
  std::string out;
  std::vector<std::string> halves;  // neighbouring fields share a line
  const auto flush = [&] {
    if (!halves.empty()) out += grid(halves);
    halves.clear();
  };
  size_t count = 0;
  for (const json& described : list) {
    if (!described.is_object() || ++count > 40) continue;
    const std::string chart = string_at(described, "chart", "line");
    const std::string title = shorten(string_at(described, "title"), 200),
                      caption = shorten(string_at(described, "caption"), 1000);
    if (chart == "heat" || chart == "lattice") {
      const std::string picture =
          chart == "heat" ? heat_figure(described) : lattice_figure(described);
      halves.push_back(figure(title, picture, caption));
      continue;
    }
    flush();
    if (chart == "line")
      out += figure(title, line_figure(context, described), caption);
    else if (chart == "bars")
      out += figure(title, bars_figure(described), caption);
    else if (chart == "table")
      out += figure(title, table_figure(described), caption);
    else
      out += notice(fmt::format(
          "A figure of unknown kind \"{}\" was left out (known: line, bars, heat, lattice, table).",
          shorten(chart, 40)));
  }
  flush();
  return out;
}

}  // namespace ocoee::report
