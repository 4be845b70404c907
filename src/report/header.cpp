// SPDX-License-Identifier: Apache-2.0
// The top of the report: what ran in one sentence, how it ended, and its figures beside what they
// are measured by.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "report/markup.h"
#include "report/metric_charts.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/section.h"
#include "report/svg.h"

namespace ocoee::report {
namespace {

using nlohmann::json;

struct Status {
  std::string text, css_class;
};

Status status_of(const RunDirectory& run) {
  const std::string status = string_at(run.summary, "status");
  if (status == "finished") return {"finished", "good"};
  if (status == "interrupted") return {"interrupted, can be resumed", "open"};
  if (status == "failed") return {"failed", "bad"};
  if (!status.empty()) return {shorten(status, 40), "open"};
  return {run.steps.rows() > 0 ? "no summary: still running, or stopped early" : "no results yet",
          "open"};
}

double known(double first, double second) {
  return std::isfinite(first) ? first : second;
}

struct Facts {
  double steps, tokens, seconds, ranks, parameters;
};

Facts facts_of(const RunDirectory& run) {
  return {known(number_at(run.summary, "steps"), run.steps.last("step")),
          known(number_at(run.summary, "tokens"), run.steps.last("tokens")),
          known(number_at(run.summary, "seconds"), run.steps.last("seconds")),
          number_at(run.summary, "ranks"),
          known(number_at(run.plan, "parameters"), number_at(run.summary, "parameters"))};
}

// The device by the name of its maker, where the environment knows it.
std::string device_name(const RunDirectory& run) {
  const std::string device = string_at(run.summary, "device");
  const bool is_gpu = device.starts_with("cuda"), is_cpu = device == "cpu";
  const std::string model = string_at(run.environment, is_gpu ? "gpu" : "cpu");
  if (!(is_gpu || is_cpu) || model.empty()) return is_cpu ? "CPU" : shorten(device, 120);
  return shorten(is_gpu ? model : "CPU (" + model + ")", 120);
}

std::string sentence(const RunDirectory& run, const Facts& facts) {
  std::string text = shorten(string_at(run.summary, "task", "This run"), 60);
  const std::string steps = facts.steps >= 0 ? grouped(facts.steps) + " steps" : "";
  if (facts.parameters > 0) {
    text += fmt::format(" trained a model of {} parameters", compact(facts.parameters));
    if (!steps.empty()) text += " for " + steps;
  } else if (!steps.empty()) {
    text += " made " + steps;
  }
  if (facts.tokens > 0) text += fmt::format(" on {} tokens", compact(facts.tokens));
  const std::string device = device_name(run);
  if (facts.ranks > 0)
    text += fmt::format(", with {} rank{}", grouped(facts.ranks), facts.ranks == 1 ? "" : "s");
  if (!device.empty()) text += ", on " + device;
  if (facts.seconds > 0) text += ", in " + format_seconds(facts.seconds);
  return text + ".";
}

// The figure and its reference as two dots on one line: the distance is seen before it is read.
std::string comparison(double value, double other, const std::string& label, bool wins) {
  constexpr double kWidth = 360, kHeight = 84, kLine = 44, kPad = 30;
  Range range;
  range.add(value, false);
  range.add(other, false);
  const Scale x(range.low, range.high, kPad, kWidth - kPad, false);
  Svg svg(kWidth, kHeight, "The figure and its reference",
          fmt::format("{} against {}", exact(value), exact(other)), "chart compare");
  const auto label_at = [&](double at, double y, const std::string& text, const char* css) {
    const double half = text_width(text, 12) / 2;
    svg.text(std::clamp(at, half, kWidth - half), y, text, css, Svg::Anchor::middle);
  };
  svg.line(0, kLine, kWidth, kLine, "axis");
  svg.path(path_through({{x(other), kLine}, {x(value), kLine}}),
           wins ? "gain thick" : "loss thick");
  svg.circle(x(other), kLine, 6, "hollow");
  svg.circle(x(value), kLine, 8, wins ? "gain" : "loss");
  label_at(x(value), kLine - 18, "this run", "l");
  label_at(x(other), kLine + 28, shorten(label, 44), "t");
  return svg.str();
}

Tile headline_tile(const json& entry) {
  Tile tile;
  tile.large = true;
  tile.label = string_at(entry, "label", "result");
  const double value = number_at(entry, "value");
  tile.value = string_at(entry, "text",
                         std::isnan(value) ? string_at(entry, "value", "not known") : exact(value));
  tile.unit = string_at(entry, "unit");
  const json& reference = child(entry, "reference");
  const double other = number_at(reference, "value");
  if (!std::isfinite(value) || !std::isfinite(other)) return tile;
  const std::string better = string_at(entry, "better");
  const double difference = value - other;
  const bool wins = better == "higher" ? difference > 0 : difference < 0;
  const std::string label = string_at(reference, "label", "the reference");
  if (difference == 0) {
    tile.note = fmt::format("the same as {}", label);
    return tile;
  }
  const std::string share =
      other != 0 ? fmt::format(" ({})", percent(std::abs(difference / other))) : "";
  const char* word = better.empty() ? (difference > 0 ? "above" : "below")
                     : wins         ? "better than"
                                    : "worse than";
  const int decimals = std::max(decimals_of(value), decimals_of(other));
  const double size = std::abs(difference);
  const std::string distance = size < 1e-4 ? exact(size) : fixed(size, decimals);
  tile.note = fmt::format("{}{} {} {}: {}", distance, share, word, label, exact(other));
  if (!better.empty()) {
    tile.mood = wins ? Tile::Mood::better : Tile::Mood::worse;
    if (drawable(value) && drawable(other)) tile.picture = comparison(value, other, label, wins);
  }
  return tile;
}

std::vector<Tile> headline(const RunDirectory& run) {
  std::vector<Tile> list;
  const json& entries = child(run.summary, "headline");
  if (entries.is_array())
    for (const json& entry : entries)
      if (entry.is_object() && list.size() < 6) list.push_back(headline_tile(entry));
  if (!list.empty()) return list;
  // no summary: what the log says
  for (const std::string& metric : run.evaluations.names()) {
    if (metric == "step" || metric == "tokens" || metric == "samples" || metric == "seconds" ||
        !run.evaluations.has(metric))
      continue;
    const MetricInfo info = metric_info(metric);
    if (list.size() < 2)
      list.push_back(
          {.label = metric == "loss" ? "held-out loss" : info.title,
           .value = exact(run.evaluations.last(metric)),
           .note = fmt::format("last evaluation, step {}", grouped(run.evaluations.last("step"))),
           .large = true});
  }
  if (list.empty() && run.steps.has("loss"))
    list.push_back({.label = "training loss",
                    .value = exact(run.steps.last("loss")),
                    .note = fmt::format("step {}", grouped(run.steps.last("step"))),
                    .large = true});
  return list;
}

std::vector<Tile> statistics(const RunDirectory& run, const Facts& facts) {
  std::vector<Tile> list;
  if (facts.parameters > 0)
    list.push_back({.label = "parameters", .value = compact(facts.parameters)});
  if (facts.tokens > 0) {
    list.push_back(
        {.label = "tokens seen",
         .value = compact(facts.tokens),
         .note = facts.steps > 0
                     ? fmt::format("{} a step", compact(std::round(facts.tokens / facts.steps)))
                     : ""});
  }
  if (facts.steps >= 0) list.push_back({.label = "steps", .value = grouped(facts.steps)});
  if (facts.seconds > 0)
    list.push_back({.label = "wall time", .value = format_seconds(facts.seconds)});
  const std::string rate = run.steps.has("tokens_per_second") ? "tokens" : "samples";
  const double per_second = median(run.steps.column(rate + "_per_second"));
  if (per_second > 0)
    list.push_back({.label = "throughput",
                    .value = compact(std::round(per_second)),
                    .unit = rate + "/s",
                    .note = "median of the log"});
  const double mfu = median(run.steps.column("mfu")), hfu = median(run.steps.column("hfu"));
  if (mfu > 0)
    list.push_back({.label = "MFU",
                    .value = percent(mfu),
                    .note = hfu > 0 ? "HFU " + percent(hfu) : "of the stated peak"});
  const double peak =
      known(run.steps.largest("peak_bytes"), number_at(child(run.summary, "final"), "peak_bytes"));
  if (peak > 0)
    list.push_back(
        {.label = "peak memory", .value = format_bytes(peak), .note = "of the fullest rank"});
  return list;
}

}  // namespace

std::string header_markup(const SectionContext& context) {
  const RunDirectory& run = context.run;
  const Facts facts = facts_of(run);
  const Status status = status_of(run);
  const std::string name = string_at(run.summary, "name", run.folder.filename().string());
  std::string out =
      "<header>\n<div class=\"eyebrow\"><span>Ocoee run report</span><span class=\"status " +
      status.css_class + "\">" + escape(status.text) + "</span></div>\n";
  out += "<h1>" + escape_limited(name.empty() ? "run" : name, 120) + "</h1>\n<p class=\"lead\">" +
         escape_limited(sentence(run, facts), 600) + "</p>\n</header>\n";
  if (const std::string error = string_at(run.summary, "error"); !error.empty())
    out += notice(shorten(error, 1000));
  out += tiles(headline(run)) + tiles(statistics(run, facts));
  std::string remarks;
  for (const std::string& remark : run.remarks)
    remarks += (remarks.empty() ? "" : " ") + shorten(remark, 300);
  if (!remarks.empty()) out += notice("This report is incomplete. " + remarks);
  return out;
}

}  // namespace ocoee::report
