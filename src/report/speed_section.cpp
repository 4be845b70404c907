// SPDX-License-Identifier: Apache-2.0
// Throughput, utilisation, time by phase, the timeline of a few steps, bytes by axis.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/text.h"
#include "report/bar_chart.h"
#include "report/markup.h"
#include "report/metric_charts.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/timeline.h"

namespace ocoee::report {
namespace {

using nlohmann::json;

// The longest first; without those that `leave_out` names.
std::vector<BarSegment> phase_segments(const json& phases, const json& leave_out) {
  std::vector<BarSegment> segments;
  if (!phases.is_object()) return segments;
  for (const auto& [name, value] : phases.items()) {
    const double seconds = value.is_number() ? value.get<double>() : NAN;
    if (!drawable(seconds) || seconds <= 0 || segments.size() >= 24) continue;
    if (leave_out.is_object() && leave_out.contains(name)) continue;
    segments.push_back({shorten(name, 40), seconds, work_colour(name)});
  }
  std::stable_sort(segments.begin(), segments.end(),
                   [](const auto& a, const auto& b) { return a.value > b.value; });
  return segments;
}

double sum_of(const std::vector<BarSegment>& segments) {
  double sum = 0;
  for (const BarSegment& segment : segments) sum += segment.value;
  return sum;
}

std::string phase_bar(const std::string& title, const std::vector<BarSegment>& segments) {
  return responsive([&](double width) {
    BarChart chart;
    chart.title = title;
    chart.rows = {{"", segments}};
    chart.text = [](double v) { return format_seconds(v); };
    chart.width = width;
    return bar_chart(chart);
  });
}

// On a GPU the host only asks for the work of a step: what it is made of was measured on one step.
std::string profile_figure(const SectionContext& context) {
  const auto segments = phase_segments(child(context.run.summary, "step_phases"), nullptr);
  if (segments.empty()) return "";
  const double sum = sum_of(segments);
  std::vector<std::vector<std::string>> rows;
  for (const BarSegment& segment : segments)
    rows.push_back({segment.name, format_seconds(segment.value), percent(segment.value / sum)});
  return figure(
      "One step by phase",
      phase_bar("One step by phase", segments) + "<div class=\"gap\"></div>" +
          table({{"phase"}, {"time", true}, {"share", true}}, rows),
      fmt::format("Measured on step {}, which ran with a wait for the device around each phase. "
                  "Other steps overlap phases, and are replayed as a graph, so they are shorter.",
                  number_at(context.run.summary, "profiled_step") + 1));
}

std::string phase_figure(const SectionContext& context) {
  const json& profile = child(context.run.summary, "step_phases");
  std::vector<BarSegment> segments =
      phase_segments(child(context.run.summary, "seconds_by_phase"), profile);
  if (segments.empty()) return "";
  const double sum = sum_of(segments);
  const double before = resumed_step(context.run);
  const double whole = number_at(context.run.summary, "seconds") - resumed_seconds(context.run);
  std::string caption;
  if (drawable(whole) && whole > sum * 1.005) {
    const bool on_device = profile.is_object();
    segments.push_back({on_device ? "steps and other" : "other", whole - sum, 7});
    caption = on_device ? "Steps run on the device; below, what one is made of. Other: start and "
                          "logging."
                        : "Other: start, logging and what no phase names.";
  } else if (drawable(whole) && sum > whole * 1.005) {
    caption =
        "Phases that overlap (communication behind the backward pass) count twice, so their sum "
        "exceeds the run's "
        "wall time.";
  }
  const double total = std::max(sum, drawable(whole) ? whole : sum);
  if (before > 0) caption += fmt::format(" Since the run went on from step {}.", before);
  const double steps = number_at(context.run.summary, "steps") - before;
  std::vector<std::vector<std::string>> rows;
  for (const BarSegment& segment : segments) {
    rows.push_back({segment.name, format_seconds(segment.value), percent(segment.value / total),
                    steps > 0 ? format_seconds(segment.value / steps) : ""});
  }
  return figure("Time by phase",
                phase_bar("Time by phase", segments) + "<div class=\"gap\"></div>" +
                    table({{"phase"}, {"time", true}, {"share", true}, {"per step", true}}, rows),
                caption) +
         profile_figure(context);
}

// Begin and end of each step on the timeline, over all ranks: what it computes, and not the start
// of the program, checkpoints or an evaluation, whose spans have the number of the step before.
std::map<int64_t, std::pair<double, double>> step_intervals(const std::vector<TraceTrack>& tracks) {
  std::map<int64_t, std::pair<double, double>> steps;
  for (const TraceTrack& track : tracks) {
    if (track.thread != "compute") continue;
    for (const TraceSpan& span : track.spans) {
      if (span.step < 0 || span.name == "evaluation" || span.name == "checkpoint") continue;
      const auto [found, is_new] = steps.try_emplace(span.step, span.begin, span.end);
      found->second.first = std::min(found->second.first, span.begin);
      found->second.second = std::max(found->second.second, span.end);
    }
  }
  return steps;
}

size_t spans_within(const std::vector<TraceTrack>& tracks, double begin, double end) {
  size_t count = 0;
  for (const TraceTrack& track : tracks)
    for (const TraceSpan& span : track.spans) count += span.end > begin && span.begin < end;
  return count;
}

struct Window {
  double begin = 0, end = 0;
  std::vector<TimelineSpan> marks;
};

// A few steps in a row whose length is the median: steady work, not the start and not an
// evaluation.
Window choose_window(const std::vector<TraceTrack>& tracks) {
  const auto steps = step_intervals(tracks);
  for (size_t several : {3u, 2u, 1u}) {
    std::vector<std::pair<double, int64_t>> lengths;  // of `several` steps in a row, by their first
    for (auto step = steps.begin(); step != steps.end(); ++step) {
      auto last = step;
      for (size_t i = 1; i < several && last != steps.end(); ++i) {
        const auto next = std::next(last);
        last = next != steps.end() && next->first == last->first + 1 ? next : steps.end();
      }
      if (last != steps.end())
        lengths.emplace_back(last->second.second - step->second.first, step->first);
    }
    if (lengths.empty()) continue;
    std::sort(lengths.begin(), lengths.end());
    const int64_t first = lengths[lengths.size() / 2].second;
    Window window;
    for (int64_t step = first; step < first + static_cast<int64_t>(several); ++step) {
      const auto& [begin, end] = steps.at(step);
      window.marks.push_back({fmt::format("step {}", step + 1), begin, end});
    }
    window.begin = window.marks.front().begin;
    window.end = window.marks.back().end;
    for (size_t i = 0; i + 1 < window.marks.size(); ++i)
      window.marks[i].end = window.marks[i + 1].begin;
    if (window.end > window.begin &&
        (several == 1 || spans_within(tracks, window.begin, window.end) <= 1500))
      return window;
  }
  // no step numbers: the middle hundred spans of the fullest track
  const auto fullest = std::max_element(
      tracks.begin(), tracks.end(),
      [](const TraceTrack& a, const TraceTrack& b) { return a.spans.size() < b.spans.size(); });
  const size_t n = fullest->spans.size(), from = n > 100 ? n / 2 - 50 : 0,
               to = std::min(n, from + 100) - 1;
  return {fullest->spans[from].begin,
          std::max(fullest->spans[to].end, fullest->spans[from].begin + 1e-9),
          {}};
}

// All of one step; empty where no span is of it.
Window window_of(const std::vector<TraceTrack>& tracks, int64_t step) {
  const auto steps = step_intervals(tracks);
  const auto found = steps.find(step);
  if (found == steps.end()) return {};
  const auto& [begin, end] = found->second;
  return {begin, end, {{fmt::format("step {}", step + 1), begin, end}}};
}

}  // namespace

std::string speed_section(const SectionContext& context) {
  const MetricTable& steps = context.run.steps;
  std::vector<std::string> parts;
  for (const char* name : {"tokens_per_second", "samples_per_second"})
    if (parts.empty()) {
      const std::string picture = metric_figure(context, steps, name, true);
      if (!picture.empty()) parts.push_back(picture);
    }
  if (steps.has("step_seconds"))
    parts.push_back(metric_figure(context, steps, "step_seconds", true));
  if (steps.has("mfu")) parts.push_back(metric_figure(context, steps, "mfu", true));
  const bool recomputes =
      steps.has("hfu") &&
      (!steps.has("mfu") || std::abs(steps.last("hfu") - steps.last("mfu")) > 1e-6);
  if (recomputes) parts.push_back(metric_figure(context, steps, "hfu", true));
  std::string out = parts.empty() ? "" : grid(parts);
  std::string convention;
  if (const std::string text = string_at(context.run.plan, "flop_convention"); !text.empty())
    convention = "FLOP convention: " + shorten(text, 400) + ".";
  const double peak = number_at(context.run.plan, "peak_flops");
  if (drawable(peak) && peak > 0)
    convention += fmt::format(" Peak: {}FLOP/s.", compact(peak) + (peak < 1e4 ? " " : ""));
  if (!parts.empty() && steps.has("mfu") && !convention.empty())
    out += "<p class=\"small\">" +
           escape(convention + " MFU leaves recomputation out; HFU counts it.") + "</p>\n";
  return out + phase_figure(context);
}

std::string timeline_section(const SectionContext& context) {
  const std::vector<TraceTrack>& tracks = context.run.trace;
  if (tracks.empty()) return "";
  constexpr size_t kMostRanks = 16, kMostTracks = 48;
  const double profiled = number_at(context.run.summary, "profiled_step");
  const Window window = drawable(profiled) ? window_of(tracks, static_cast<int64_t>(profiled))
                                           : choose_window(tracks);
  if (!(window.end > window.begin)) return "";
  std::set<int64_t> ranks, shown;
  for (const TraceTrack& track : tracks) ranks.insert(track.pid);
  Timeline picture;
  picture.title = "Timeline";
  picture.begin = window.begin;
  picture.end = window.end;
  picture.marks = window.marks;
  for (const TraceTrack& track : tracks) {
    if (picture.tracks.size() >= kMostTracks ||
        (!shown.contains(track.pid) && shown.size() >= kMostRanks))
      continue;
    TimelineTrack drawn{track.process, track.thread, {}};
    for (const TraceSpan& span : track.spans)
      if (span.end > window.begin && span.begin < window.end)
        drawn.spans.push_back({span.name, span.begin, span.end});
    if (drawn.spans.empty()) continue;
    shown.insert(track.pid);
    picture.tracks.push_back(std::move(drawn));
  }
  picture.description = fmt::format("What {} of {} ranks did during {}.", shown.size(),
                                    ranks.size(), format_seconds(window.end - window.begin));
  std::string caption =
      fmt::format("{} from {} s after the trace began", format_seconds(window.end - window.begin),
                  significant(window.begin));
  caption += window.marks.empty() ? "."
             : drawable(profiled)
                 ? ": one step, with a wait for the device at both ends of each span."
                 : ": steps of median length.";
  if (shown.size() < ranks.size())
    caption += fmt::format(" {} of {} ranks are shown.", shown.size(), ranks.size());
  caption += " The whole trace opens in Perfetto or chrome://tracing (trace.json).";
  return figure("What each rank did", responsive([&](double width) {
                  picture.width = width;
                  return timeline(picture);
                }),
                caption);
}

std::string traffic_section(const SectionContext& context) {
  const json& list = child(context.run.summary, "traffic");
  if (!list.is_array() || list.empty()) return "";
  std::vector<BarRow> by_axis;  // in the table's order
  std::vector<std::vector<std::string>> rows;
  for (const json& entry : list) {
    const double bytes = number_at(entry, "bytes"), calls = number_at(entry, "calls"),
                 wire = number_at(entry, "wire_bytes");
    if (!drawable(bytes) || bytes < 0 || rows.size() >= 100) continue;
    const std::string axis = string_at(entry, "axis", "?"), kind = string_at(entry, "kind", "?");
    if (by_axis.empty() || by_axis.back().name != axis) by_axis.push_back({axis, {}});
    if (kind != "receive") by_axis.back().segments.push_back({shorten(kind, 40), bytes, -1});
    rows.push_back({axis, kind, drawable(calls) ? grouped(calls) : "", format_bytes(bytes),
                    drawable(wire) && wire >= 0 ? format_bytes(wire) : ""});
  }
  if (rows.empty()) return "";
  const std::string picture = responsive([&](double width) {
    BarChart chart;
    chart.title = "Payload bytes by mesh axis";
    chart.rows = by_axis;
    chart.text = [](double v) { return format_bytes(v); };
    chart.width = width;
    return bar_chart(chart);
  });
  return figure(
      "Payload bytes by mesh axis",
      picture + "<div class=\"gap\"></div>" +
          table({{"axis"},
                 {"collective"},
                 {"calls", true},
                 {"payload", true},
                 {"sent round a ring", true}},
                rows),
      "Of all ranks since the program began: what each handed to its calls, and what "
      "that is on their links by the factors of nccl-tests. Receives are drawn as sends.");
}

}  // namespace ocoee::report
