// SPDX-License-Identifier: Apache-2.0
// A measured pipeline step, stage by stage, beside the closed form of its bubble; and what each
// rank spent its time on.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

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

double waited_seconds(const json& stage) {
  double sum = 0;
  for (const json& action : stage) {
    if (!action.is_array() || action.size() < 6 || !action[5].is_number()) continue;
    const double waited = action[5].get<double>();
    if (drawable(waited)) sum += waited;
  }
  return sum;
}

// Seconds of a stage without those in messages inside of its actions.
double computed_seconds(const json& stage) {
  double sum = 0;
  for (const TimelineSpan& span : spans_of(stage)) sum += span.end - span.begin;
  return std::max(sum - waited_seconds(stage), 0.0);
}

struct Stage {
  std::string pipeline, name;
  json actions;
};

// Of every pipeline that the record shows. Earlier records are of one, without a list of them.
std::vector<Stage> stages_of(const json& record) {
  json list = child(record, "shown");
  if (!list.is_array()) list = json::array({record});
  std::vector<Stage> out;
  for (size_t p = 0; p < list.size(); ++p) {
    const json &stages = child(list[p], "stages"), &ranks = child(list[p], "ranks");
    if (!stages.is_array()) continue;
    const double number = number_at(list[p], "pipeline");
    const std::string place = string_at(list[p], "place");
    const std::string pipeline =
        drawable(number) && !place.empty()
            ? fmt::format("pipeline {}: {}", static_cast<int64_t>(number), shorten(place, 40))
            : "pipeline";
    for (size_t s = 0; s < stages.size(); ++s) {
      const json rank = ranks.is_array() && s < ranks.size() ? ranks[s] : json();
      out.push_back({pipeline,
                     rank.is_number_integer()
                         ? fmt::format("stage {}, rank {}", s, rank.get<int64_t>())
                         : fmt::format("stage {}", s),
                     stages[s]});
    }
  }
  return out;
}

std::string slowest_stage(const json& record) {
  const json& slowest = child(record, "slowest");
  const double rank = number_at(slowest, "rank"), stage = number_at(slowest, "stage"),
               pipeline = number_at(slowest, "pipeline"), seconds = number_at(slowest, "computed");
  if (!drawable(rank) || !drawable(stage) || !drawable(pipeline) || !drawable(seconds)) return "";
  return fmt::format(
      " Of all ranks the slowest in it is rank {} on {} (stage {}{}): it computed {}.",
      static_cast<int64_t>(rank), shorten(string_at(slowest, "host", "?"), 60),
      static_cast<int64_t>(stage),
      number_at(record, "pipelines") > 1
          ? fmt::format(" of pipeline {}", static_cast<int64_t>(pipeline))
          : "",
      format_seconds(seconds));
}

std::string bubble_text(const json& record) {
  const double predicted = number_at(record, "bubble_predicted"),
               measured = number_at(record, "bubble_measured");
  if (!drawable(measured)) return "";
  std::string text = fmt::format(" Time lost over time computed: {} measured", percent(measured));
  if (drawable(predicted))
    text += fmt::format(", {} by the formula for equal stages", percent(predicted));
  text += "; waits for messages count as lost, between actions and within them.";
  const json& on_device = child(record, "on_device");
  if (on_device.is_boolean() && on_device.get<bool>())
    text +=
        " Times are the device's: what it idles within an action for other reasons, as between "
        "launches of a step that is not replayed as a graph, counts as computed.";
  return text;
}

}  // namespace

std::string pipeline_section(const SectionContext& context) {
  const json& record = child(context.run.summary, "pipeline");
  const std::vector<Stage> stages = stages_of(record);
  constexpr size_t kMostStages = 64;
  Timeline picture;
  picture.title = "One step through the pipeline";
  std::set<std::string> shown;
  for (const Stage& stage : stages) {
    if (picture.tracks.size() >= kMostStages) break;
    TimelineTrack track{stage.pipeline, stage.name, spans_of(stage.actions)};
    for (const TimelineSpan& span : track.spans) picture.end = std::max(picture.end, span.end);
    if (track.spans.empty()) continue;
    shown.insert(stage.pipeline);
    picture.tracks.push_back(std::move(track));
  }
  if (picture.tracks.empty() || !(picture.end > 0)) return "";
  std::vector<std::vector<std::string>> rows;
  for (const Stage& stage : stages) {
    if (rows.size() >= kMostStages) break;
    rows.push_back({stage.pipeline, stage.name, format_seconds(computed_seconds(stage.actions)),
                    format_seconds(waited_seconds(stage.actions)),
                    percent(computed_seconds(stage.actions) / picture.end)});
  }
  const double micro = number_at(record, "micro_batches"), chunks = number_at(record, "chunks"),
               all = number_at(record, "pipelines");
  picture.description = fmt::format(
      "{} stages, schedule {}, {} micro-batches{}.",
      std::count_if(stages.begin(), stages.end(),
                    [&](const Stage& s) { return s.pipeline == stages.front().pipeline; }),
      shorten(string_at(record, "schedule", "?"), 40), drawable(micro) ? micro : 0,
      chunks > 1 ? fmt::format(", {} chunks a stage", chunks) : "");
  std::string caption = picture.description + " The last step whose actions were timed";
  if (all > static_cast<double>(shown.size()))
    caption += fmt::format(", in {} of {} pipelines that run side by side{}.", shown.size(), all,
                           record.contains("shown") ? ": the one with the slowest rank" : "");
  else
    caption += all > 1 ? fmt::format(", in all {} pipelines, which run side by side.", all) : ".";
  return figure("One step through the pipeline",
                responsive([&](double width) {
                  picture.width = width;
                  return timeline(picture);
                }) + "<div class=\"gap\"></div>" +
                    table({{"pipeline"},
                           {"stage"},
                           {"computed", true},
                           {"waited within actions", true},
                           {"computed, share of the step", true}},
                          rows),
                caption + slowest_stage(record) + bubble_text(record));
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
    std::sort(computed.begin(), computed.end());
    const size_t n = computed.size();
    const double median = (computed[(n - 1) / 2] + computed[n / 2]) / 2;
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
