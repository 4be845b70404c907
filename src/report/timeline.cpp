// SPDX-License-Identifier: Apache-2.0
#include "report/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/text.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/scale.h"
#include "report/svg.h"

namespace ocoee::report {
namespace {

constexpr double kLane = 15, kTrackGap = 5, kGroupGap = 12, kFont = 12;
constexpr int kMostLanes = 4;

struct Placed {
  const TimelineSpan* span;
  int lane;
};

// Nested and overlapping spans go to lanes below; the deepest lane takes what is left.
std::vector<Placed> place(const std::vector<TimelineSpan>& spans, double begin, double end,
                          int& lanes) {
  std::vector<const TimelineSpan*> sorted;
  for (const TimelineSpan& span : spans)
    if (drawable(span.begin) && drawable(span.end) && span.end > begin && span.begin < end &&
        span.end > span.begin)
      sorted.push_back(&span);
  std::stable_sort(sorted.begin(), sorted.end(), [](const TimelineSpan* a, const TimelineSpan* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end > b->end;
  });
  std::vector<Placed> placed;
  std::vector<double>
      open;  // ends of the spans that enclose or overlap the next one, top lane first
  const double slack = (end - begin) * 1e-6;  // clocks are rounded to microseconds
  lanes = 1;
  for (const TimelineSpan* span : sorted) {
    while (!open.empty() && open.back() <= span->begin + slack) open.pop_back();
    const int lane = std::min(static_cast<int>(open.size()), kMostLanes - 1);
    open.push_back(span->end);
    placed.push_back({span, lane});
    lanes = std::max(lanes, lane + 1);
  }
  return placed;
}

void draw_track(Svg& svg, const std::vector<Placed>& placed, const Scale& x, double y) {
  // what is narrower than a third of a pixel is merged with its neighbour of the same name
  constexpr double kNarrow = 0.34;
  std::vector<double> drawn_to(kMostLanes, -1);
  for (size_t i = 0; i < placed.size(); ++i) {
    const auto [span, lane] = placed[i];
    const double from = std::max(x(span->begin), x.from_pixel()),
                 to = std::min(x(span->end), x.to_pixel());
    const auto l = static_cast<size_t>(lane);
    if (to < drawn_to[l] + kNarrow) continue;
    drawn_to[l] = to;
    svg.rect(
        from, y + lane * kLane, std::max(kNarrow, to - from), kLane - 1,
        "seg " + colour_class(work_colour(span->name)),
        fmt::format("{}: {}", shorten(span->name, 60), format_seconds(span->end - span->begin)));
  }
}

}  // namespace

int work_colour(const std::string& name) {
  static const std::pair<const char*, int> kKinds[] = {
      {"forward", 0},    {"backward", 3},  {"weight", 3},    {"optimizer", 1}, {"all_", 2},
      {"reduce", 2},     {"gather", 2},    {"comm", 2},      {"send", 2},      {"receive", 2},
      {"recv", 2},       {"broadcast", 2}, {"data", 5},      {"load", 5},      {"evaluat", 6},
      {"checkpoint", 4}, {"save", 4},      {"recompute", 6}, {"other", 7},     {"idle", 7},
      {"wait", 7},       {"sampling", 0},  {"energies", 0},  {"analysis", 1}};
  for (const auto& [kind, colour] : kKinds)
    if (name.find(kind) != std::string::npos) return colour;
  return 7;
}

std::string timeline(const Timeline& picture) {
  double widest = 0;
  for (const TimelineTrack& track : picture.tracks)
    widest = std::max(widest, text_width(track.name, kFont - 1) + 14);  // groups have own lines
  const double left = std::clamp(widest + 10, 40.0, picture.width * 0.3);
  const Scale x(picture.begin, picture.end, left, picture.width - 2, false);

  std::map<std::string, double> seconds_by_name;
  std::vector<std::vector<Placed>> placed(picture.tracks.size());
  std::vector<int> lanes(picture.tracks.size(), 1);
  for (size_t t = 0; t < picture.tracks.size(); ++t) {
    placed[t] = place(picture.tracks[t].spans, picture.begin, picture.end, lanes[t]);
    for (const Placed& p : placed[t])
      seconds_by_name[p.span->name] +=
          std::min(p.span->end, picture.end) - std::max(p.span->begin, picture.begin);
  }
  std::vector<std::pair<std::string, double>> names(seconds_by_name.begin(), seconds_by_name.end());
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (names.size() > 10) names.resize(10);

  std::vector<Point> legend;
  double at = 0, top = 14;
  for (const auto& [name, seconds] : names) {
    const double need = text_width(shorten(name, 30), kFont) + 36;
    if (at > 0 && at + need > picture.width) at = 0, top += 20;
    legend.push_back({at, top});
    at += need;
  }
  top += picture.marks.empty() ? 16 : 34;

  std::vector<double> offset;
  double y = top;
  for (size_t t = 0; t < picture.tracks.size(); ++t) {
    const bool new_group = t == 0 || picture.tracks[t].group != picture.tracks[t - 1].group;
    if (new_group) y += (t == 0 ? 0 : kGroupGap) + 16;
    offset.push_back(y);
    y += lanes[t] * kLane + kTrackGap;
  }
  const double base = y + 2, height = base + 40;

  Svg svg(picture.width, height, picture.title, picture.description, "chart timeline");
  for (size_t i = 0; i < legend.size(); ++i) {
    svg.rect(legend[i].x, legend[i].y - 10, 11, 11,
             "seg " + colour_class(work_colour(names[i].first)), "", "rx=\"2\"");
    svg.text(legend[i].x + 17, legend[i].y, shorten(names[i].first, 30), "t");
  }
  for (const TimelineSpan& mark : picture.marks) {
    if (mark.begin >= picture.begin && mark.begin <= picture.end)
      svg.line(x(mark.begin), top - 4, x(mark.begin), base, "ref");
    const double middle =
        (std::max(mark.begin, picture.begin) + std::min(mark.end, picture.end)) / 2;
    if (x(std::min(mark.end, picture.end)) - x(std::max(mark.begin, picture.begin)) >
        text_width(mark.name, kFont) + 4)
      svg.text(x(middle), top + 4, mark.name, "t", Svg::Anchor::middle);
  }
  for (size_t t = 0; t < picture.tracks.size(); ++t) {
    const TimelineTrack& track = picture.tracks[t];
    const bool new_group = t == 0 || track.group != picture.tracks[t - 1].group;
    if (new_group) svg.text(0, offset[t] - 4, shorten(track.group, 48), "l");
    svg.text(left - 8, offset[t] + kLane - 4, shorten(track.name, 24), "t dim", Svg::Anchor::end);
    svg.rect(left, offset[t], picture.width - 2 - left, lanes[t] * kLane - 1, "lane");
    draw_track(svg, placed[t], x, offset[t]);
  }
  svg.line(left, base, picture.width - 2, base, "axis");
  Axis axis;
  const double span = picture.end - picture.begin;
  const double unit = span < 2e-3 ? 1e-6 : span < 2 ? 1e-3 : 1;
  const Scale local(0, span / unit, left, picture.width - 2, false);
  for (const Tick& tick : make_ticks(axis, local, static_cast<int>(picture.width / 110))) {
    svg.line(local(tick.value), base, local(tick.value), base + 5, "tick");
    const double half = text_width(tick.label, 11.5) / 2;
    svg.text(std::min(local(tick.value), picture.width - half), base + 18, tick.label, "t",
             Svg::Anchor::middle);
  }
  svg.text((left + picture.width) / 2, height - 6,
           unit == 1      ? "seconds"
           : unit == 1e-3 ? "milliseconds"
                          : "microseconds",
           "t", Svg::Anchor::middle);
  return svg.str();
}

}  // namespace ocoee::report
