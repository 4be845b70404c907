// SPDX-License-Identifier: Apache-2.0
// A measured pipeline step, stage by stage, beside the closed form of its bubble; and what each
// rank spent its time on.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "report/bar_chart.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/section.h"
#include "report/timeline.h"

namespace ocoee::report {
namespace {

using nlohmann::json;

// One row of the picture: [action, chunk, micro-batch, begin, end] each.
std::vector<TimelineSpan> spans_of(const json& stage) {
  constexpr size_t kMostSpans = 4000;
  std::vector<TimelineSpan> out;
  if (!stage.is_array()) return out;
  for (const json& action : stage) {
    if (!action.is_array() || action.size() < 5 || !action[0].is_string() ||
        !action[3].is_number() || !action[4].is_number() || out.size() >= kMostSpans)
      continue;
    const double begin = action[3].get<double>(), end = action[4].get<double>();
    if (drawable(begin) && drawable(end) && end >= begin)
      out.push_back({action[0].get<std::string>(), begin, end});
  }
  return out;
}

// Seconds of a stage without those in messages inside of its actions.
double computed_seconds(const json& stage) {
  double sum = 0;
  for (const TimelineSpan& span : spans_of(stage)) sum += span.end - span.begin;
  for (const json& action : stage) {
    if (!action.is_array() || action.size() < 6 || !action[5].is_number()) continue;
    const double waited = action[5].get<double>();
    if (drawable(waited)) sum -= waited;
  }
  return std::max(sum, 0.0);
}

}  // namespace

std::string pipeline_section(const SectionContext& context) {
  const json& record = child(context.run.summary, "pipeline");
  const json& stages = child(record, "stages");
  if (!stages.is_array() || stages.empty()) return "";
  const json& ranks = child(record, "ranks");
  constexpr size_t kMostStages = 64;
  Timeline picture;
  picture.title = "One step through the pipeline";
  std::vector<std::vector<std::string>> rows;
  for (size_t s = 0; s < stages.size() && s < kMostStages; ++s) {
    const json rank = ranks.is_array() && s < ranks.size() ? ranks[s] : json();
    const std::string name = rank.is_number_integer()
                                 ? fmt::format("stage {}, rank {}", s, rank.get<int64_t>())
                                 : fmt::format("stage {}", s);
    TimelineTrack track{name, "", spans_of(stages[s])};
    for (const TimelineSpan& span : track.spans) picture.end = std::max(picture.end, span.end);
    rows.push_back({name, format_seconds(computed_seconds(stages[s]))});
    if (!track.spans.empty()) picture.tracks.push_back(std::move(track));
  }
  if (picture.tracks.empty() || !(picture.end > 0)) return "";
  for (size_t s = 0; s < rows.size(); ++s)
    rows[s].push_back(percent(computed_seconds(stages[s]) / picture.end));
  const double micro = number_at(record, "micro_batches"), chunks = number_at(record, "chunks"),
               predicted = number_at(record, "bubble_predicted"),
               measured = number_at(record, "bubble_measured");
  picture.description =
      fmt::format("{} stages, schedule {}, {} micro-batches{}.", stages.size(),
                  shorten(string_at(record, "schedule", "?"), 40), drawable(micro) ? micro : 0,
                  chunks > 1 ? fmt::format(", {} chunks a stage", chunks) : "");
  std::string caption = picture.description + " The last step that ran action by action";
  const double pipelines = number_at(record, "pipelines");
  caption += pipelines > 1
                 ? fmt::format(", in the first of {} pipelines that run side by side.", pipelines)
                 : ".";
  if (drawable(measured))
    caption += fmt::format(" Time lost over time computed: {} measured", percent(measured));
  if (drawable(measured) && drawable(predicted))
    caption += fmt::format(", {} by the formula for equal stages", percent(predicted));
  if (drawable(measured)) caption += "; messages inside of an action count as lost.";
  return figure("One step through the pipeline",
                responsive([&](double width) {
                  picture.width = width;
                  return timeline(picture);
                }) + "<div class=\"gap\"></div>" +
                    table({{"stage"}, {"computed", true}, {"share of the step", true}}, rows),
                caption);
}

std::string ranks_section(const SectionContext& context) {
  const json& record = child(context.run.summary, "ranks_record");
  const json& seconds = child(record, "seconds");
  if (!seconds.is_array() || seconds.size() < 2) return "";
  constexpr size_t kMostRows = 32;
  BarChart chart;
  chart.title = "Time of each rank by phase";
  std::vector<double> computed;
  for (size_t r = 0; r < seconds.size(); ++r) {
    const double forward = number_at(seconds[r], "forward"),
                 backward = number_at(seconds[r], "backward");
    if (drawable(forward) && drawable(backward)) computed.push_back(forward + backward);
    if (!seconds[r].is_object() || chart.rows.size() >= kMostRows) continue;
    BarRow row{fmt::format("rank {}", r), {}};
    for (const char* phase : {"forward", "backward", "communication", "optimizer", "data"}) {
      const double value = number_at(seconds[r], phase);
      if (drawable(value) && value > 0) row.segments.push_back({phase, value, work_colour(phase)});
    }
    chart.rows.push_back(std::move(row));
  }
  if (computed.empty()) return "";
  chart.text = [](double v) { return format_seconds(v); };
  std::string caption =
      seconds.size() > kMostRows ? fmt::format("{} of {} ranks. ", kMostRows, seconds.size()) : "";
  const double slowest = number_at(record, "slowest");
  if (drawable(slowest)) {
    const double most = *std::max_element(computed.begin(), computed.end());
    std::nth_element(computed.begin(), computed.begin() + static_cast<long>(computed.size() / 2),
                     computed.end());
    const double median = computed[computed.size() / 2];
    caption += fmt::format("The slowest is rank {} on {}: {} forward and backward",
                           static_cast<int64_t>(slowest),
                           shorten(string_at(record, "host", "?"), 60), format_seconds(most));
    const double more = median > 0 ? most / median - 1 : 0;
    caption += more >= 0.005 ? fmt::format(", {} more than the median rank.", percent(more))
                             : ", like the median rank.";
  }
  return figure("Time of each rank by phase", responsive([&](double width) {
                  chart.width = width;
                  return bar_chart(chart);
                }),
                caption);
}

}  // namespace ocoee::report
