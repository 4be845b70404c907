// SPDX-License-Identifier: Apache-2.0
// Gradient norm, learning rate, and every other metric that a task logs: a chart by itself, without
// being asked.
#include <fmt/format.h>

#include <set>

#include "report/markup.h"
#include "report/metric_charts.h"
#include "report/numbers.h"
#include "report/page.h"

namespace ocoee::report {

std::string optimisation_section(const SectionContext& context) {
  constexpr size_t kMostCharts = 16, kMostRows = 200;
  const MetricTable& steps = context.run.steps;
  std::vector<std::string> charts;
  for (const char* name : {"gradient_norm", "learning_rate"}) {
    const std::string picture = metric_figure(context, steps, name);
    if (!picture.empty()) charts.push_back(picture);
  }
  // parts of the loss, where the loss itself was drawn alone
  if (steps.has("loss") && with_parts(steps, "loss").size() > 1)
    charts.push_back(metric_figure(context, steps, "loss"));

  const std::set<std::string> drawn = {"step",
                                       "samples",
                                       "tokens",
                                       "seconds",
                                       "loss",
                                       "gradient_norm",
                                       "learning_rate",
                                       "tokens_per_second",
                                       "samples_per_second",
                                       "step_seconds",
                                       "mfu",
                                       "hfu",
                                       "peak_bytes"};
  std::set<std::string> groups;
  for (const std::string& name : steps.names()) groups.insert(name.substr(0, name.find('.')));
  std::vector<std::vector<std::string>> rest;
  for (const std::string& group : groups) {
    const std::vector<std::string> metrics = with_parts(steps, group);
    if (drawn.contains(group) || metrics.empty()) continue;
    bool moves = false;  // the rate of FLOPs moves as the throughput does
    for (const std::string& metric : metrics) moves = moves || !is_constant(steps.column(metric));
    if (moves && group != "flops_per_second" && charts.size() < kMostCharts) {
      charts.push_back(metric_figure(context, steps, group));
      continue;
    }
    for (const std::string& metric : metrics)
      if (rest.size() < kMostRows)
        rest.push_back({shorten(metric, 80), significant(steps.last(metric))});
  }
  std::string out = charts.empty() ? "" : grid(charts);
  if (!rest.empty())
    out += fold(fmt::format("Metrics without a chart (constant, or too many): {}", rest.size()),
                table({{"metric"}, {"last value", true}}, rest));
  return out;
}

}  // namespace ocoee::report
