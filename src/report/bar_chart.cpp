// SPDX-License-Identifier: Apache-2.0
#include "report/bar_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "report/markup.h"
#include "report/numbers.h"
#include "report/svg.h"

namespace ocoee::report {
namespace {

constexpr double kBar = 30, kGap = 12, kFont = 12;

struct Legend {
  std::vector<std::pair<std::string, int>> entries;  // name, colour
  int colour_of(const BarSegment& segment) {
    for (const auto& [name, colour] : entries)
      if (name == segment.name) return colour;
    const int colour = segment.colour >= 0 ? segment.colour : static_cast<int>(entries.size());
    entries.emplace_back(segment.name, colour);
    return colour;
  }
};

bool positive(double value) {
  return drawable(value) && value > 0;
}

}  // namespace

std::string bar_chart(const BarChart& chart) {
  const auto text = [&](double v) { return chart.text ? chart.text(v) : significant(v); };
  Legend legend;
  double largest = positive(chart.limit) ? chart.limit : 0, widest_name = 0, widest_total = 0;
  std::vector<double> totals;
  std::string spoken;
  for (const BarRow& row : chart.rows) {
    double total = 0;
    for (const BarSegment& segment : row.segments) {
      if (!positive(segment.value)) continue;
      legend.colour_of(segment);
      total += segment.value;
      spoken +=
          fmt::format("{}{} {}", spoken.empty() ? "" : ", ", segment.name, text(segment.value));
    }
    totals.push_back(total);
    largest = std::max(largest, total);
    widest_name = std::max(widest_name, text_width(row.name, kFont));
    if (chart.show_total) widest_total = std::max(widest_total, text_width(text(total), kFont));
  }
  if (!(largest > 0)) largest = 1;
  const double left = widest_name > 0 ? std::min(widest_name + 12, chart.width * 0.35) : 0;
  const double right = widest_total > 0 ? widest_total + 12 : 0;
  const double scale = (chart.width - left - right) / largest;

  // the legend wraps; its height moves the bars down
  std::vector<Point> places;
  double at = 0, top = chart.legend ? 14 : 2;
  for (const auto& entry : legend.entries) {
    const double need = text_width(shorten(entry.first, 40), kFont) + 36;
    if (at > 0 && at + need > chart.width) at = 0, top += 20;
    places.push_back({at, top});
    at += need;
  }
  if (chart.legend) top += 16;
  const bool has_limit = positive(chart.limit);
  if (has_limit) top += 16;
  const double height = top + static_cast<double>(chart.rows.size()) * (kBar + kGap) - kGap + 4;

  Svg svg(chart.width, std::max(height, top + 4), chart.title,
          chart.description.empty() ? spoken : chart.description, "chart bars");
  if (chart.legend) {
    for (size_t i = 0; i < places.size(); ++i) {
      svg.rect(places[i].x, places[i].y - 10, 11, 11,
               "seg " + colour_class(legend.entries[i].second), "", "rx=\"2\"");
      svg.text(places[i].x + 17, places[i].y, shorten(legend.entries[i].first, 40), "t");
    }
  }
  double y = top;
  std::vector<double> ends;
  for (size_t r = 0; r < chart.rows.size(); ++r, y += kBar + kGap) {
    const BarRow& row = chart.rows[r];
    if (!row.name.empty()) svg.text(left - 10, y + kBar / 2 + 4, row.name, "t", Svg::Anchor::end);
    double x = left;
    for (const BarSegment& segment : row.segments) {
      if (!positive(segment.value)) continue;
      const double width = segment.value * scale;
      const int colour = legend.colour_of(segment);
      const std::string label = text(segment.value);
      svg.rect(x, y, width > 1.5 ? width - 1 : width, kBar, "seg " + colour_class(colour),
               fmt::format("{}: {} ({})", segment.name, label, percent(segment.value / totals[r])));
      const bool said_by_total = chart.show_total && row.segments.size() == 1;
      if (!said_by_total && text_width(label, kFont) + 10 < width)
        svg.text(x + width / 2, y + kBar / 2 + 4, label, "on-seg", Svg::Anchor::middle);
      x += width;
    }
    ends.push_back(x);
  }
  if (has_limit) {
    const double x = left + chart.limit * scale;
    svg.line(x, top - 6, x, height, "ref");
    svg.text(x, top - 10, chart.limit_label, "t", Svg::Anchor::end);
  }
  for (size_t r = 0; chart.show_total && r < ends.size(); ++r)  // over the mark
    svg.text(ends[r] + 8, top + static_cast<double>(r) * (kBar + kGap) + kBar / 2 + 4,
             text(totals[r]), "l");
  return svg.str();
}

}  // namespace ocoee::report
