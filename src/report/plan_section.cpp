// SPDX-License-Identifier: Apache-2.0
// What the plan said before the first step, beside what was measured.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "report/bar_chart.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/section.h"

namespace ocoee::report {
namespace {

using nlohmann::json;

double median(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !(drawable(v) && v > 0); });
  if (values.empty()) return NAN;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string difference(double planned, double measured) {
  if (!drawable(planned) || !drawable(measured) || planned <= 0) return "";
  const double share = measured / planned - 1;
  return fmt::format("{}{}", share < 0 ? "\u2212" : "+", percent(std::abs(share)));
}

}  // namespace

std::string plan_section(const SectionContext& context) {
  const json& predicted = child(context.run.plan, "predicted");
  const double planned = number_at(predicted, "seconds");
  if (!(planned > 0)) return "";
  const double tokens = number_at(context.run.plan, "tokens_per_step");
  const double rate = median(context.run.steps.column("tokens_per_second"));
  const double measured = tokens / rate;
  const double peak = peak_bytes(context.run);
  const double bytes = number_at(context.run.plan, "memory_total_bytes");

  std::vector<std::vector<std::string>> rows;
  const auto row = [&](const std::string& what, double plan, double run, const auto& text) {
    rows.push_back({what, drawable(plan) ? text(plan) : "",
                    drawable(run) && run > 0 ? text(run) : "not measured", difference(plan, run)});
  };
  row("a step", planned, measured, [](double v) { return format_seconds(v); });
  row("tokens a second", number_at(predicted, "tokens_per_second"), rate,
      [](double v) { return compact(v); });
  row("memory of the fullest rank", bytes, peak, [](double v) { return format_bytes(v); });

  BarRow parts{"planned", {}};
  for (const auto& [name, value] : child(predicted, "parts").items()) {
    const double seconds = value.is_number() ? value.get<double>() : NAN;
    if (drawable(seconds) && seconds > 0 && parts.segments.size() < 24)
      parts.segments.push_back({shorten(name, 40), seconds, -1});
  }
  std::stable_sort(parts.segments.begin(), parts.segments.end(),
                   [](const auto& a, const auto& b) { return a.value > b.value; });
  const std::string picture = responsive([&](double width) {
    BarChart chart;
    chart.title = "A step, planned and measured";
    chart.rows.push_back(parts);
    if (drawable(measured) && measured > 0)
      chart.rows.push_back({"measured", {{"measured, median", measured, 7}}});
    chart.text = [](double v) { return format_seconds(v); };
    chart.width = width;
    return bar_chart(chart);
  });
  return figure(
      "Plan against measured",
      picture + "<div class=\"gap\"></div>" +
          table({{""}, {"planned", true}, {"measured", true}, {"difference", true}}, rows),
      fmt::format("Planned from the profile of {} ({}) before the first step; measured: "
                  "the median of the logged steps.",
                  shorten(string_at(predicted, "machine", "?"), 80),
                  shorten(string_at(predicted, "device", "?"), 80)));
}

}  // namespace ocoee::report
