// SPDX-License-Identifier: Apache-2.0
// Planned memory by category beside the measured peak.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "report/bar_chart.h"
#include "report/markup.h"
#include "report/metric_charts.h"
#include "report/numbers.h"
#include "report/page.h"

namespace ocoee::report {

std::string memory_section(const SectionContext& context) {
  const RunDirectory& run = context.run;
  BarChart chart;
  chart.title = "Memory of one rank";
  std::vector<std::vector<std::string>> rows;
  double planned = 0;
  const nlohmann::json& categories = child(run.plan, "memory_bytes");
  BarRow plan{"planned", {}};
  if (categories.is_object()) {
    for (const auto& [name, value] : categories.items()) {
      const double bytes = value.is_number() ? value.get<double>() : NAN;
      if (!drawable(bytes) || bytes <= 0 || name == "total" || plan.segments.size() >= 24) continue;
      std::string label = shorten(name, 40);
      std::replace(label.begin(), label.end(), '_', ' ');
      plan.segments.push_back({label, bytes, -1});
      planned += bytes;
    }
    std::stable_sort(plan.segments.begin(), plan.segments.end(),
                     [](const auto& a, const auto& b) { return a.value > b.value; });
    for (size_t i = 0; i < plan.segments.size(); ++i) {
      plan.segments[i].colour = static_cast<int>(i);
      rows.push_back({plan.segments[i].name, format_bytes(plan.segments[i].value),
                      percent(plan.segments[i].value / planned)});
    }
  }
  const double peak = peak_bytes(run);
  if (!plan.segments.empty()) chart.rows.push_back(plan);
  if (drawable(peak) && peak > 0) chart.rows.push_back({"measured", {{"measured peak", peak, 7}}});
  if (chart.rows.empty()) return "";
  chart.limit = number_at(run.plan, "device_bytes");
  if (drawable(chart.limit)) chart.limit_label = "device memory " + format_bytes(chart.limit);
  chart.text = [](double v) { return format_bytes(v); };
  std::string caption;
  if (planned > 0 && drawable(peak) && peak > 0) {
    const double share = peak / planned - 1;
    caption = resumed_step(run) > 0
                  ? fmt::format("Since the run went on from step {}. ", resumed_step(run))
                  : "";
    caption += std::abs(share) < 5e-4
                   ? "The measured peak equals the plan."
                   : fmt::format("The measured peak is {} {} the plan.", percent(std::abs(share)),
                                 share < 0 ? "below" : "above");
  } else if (planned > 0) {
    caption = "No peak was measured.";
  }
  const nlohmann::json& kept = child(run.summary, "kept_bytes");
  const double arenas = number_at(kept, "planned"), taken = number_at(kept, "taken");
  if (drawable(arenas) && drawable(taken))
    caption += fmt::format(
        " Between its forward and its backward pass a micro-batch keeps {} by its plan, and {} "
        "were "
        "taken for it ({:.0f} and {:.0f} bytes).",
        format_bytes(arenas), format_bytes(taken), arenas, taken);
  const std::string picture = responsive([&](double width) {
    chart.width = width;
    return bar_chart(chart);
  });
  std::string out = figure("Memory of one rank", picture, caption);
  std::vector<std::string> parts;
  if (!rows.empty())
    parts.push_back("<figure><h3>The plan by category</h3>" +
                    table({{"category"}, {"bytes", true}, {"share", true}}, rows) + "</figure>");
  if (!is_constant(run.steps.column("peak_bytes")))
    parts.push_back(metric_figure(context, run.steps, "peak_bytes", true));
  return parts.empty() ? out : out + grid(parts);
}

}  // namespace ocoee::report
