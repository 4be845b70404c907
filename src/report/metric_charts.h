// SPDX-License-Identifier: Apache-2.0
// Charts of logged metrics over steps: names, units, smoothing and axes chosen from the data.
#pragma once

#include <string>
#include <vector>

#include "report/line_chart.h"
#include "report/section.h"

namespace ocoee::report {

struct MetricInfo {
  std::string title;  // "Gradient norm"
  std::string unit;   // "tokens/s"; may be empty
};
MetricInfo metric_info(const std::string& name);  // of an unknown metric: its name with spaces

// `name` itself and its parts: "loss", "loss.critic", "loss.generator".
std::vector<std::string> with_parts(const MetricTable& table, const std::string& name);

// The x axis of every chart over steps; tokens (or samples) stand below the steps where they are
// logged.
Axis step_axis(const RunDirectory& run, bool with_tokens);

// Raw values (faint) and their running mean, or the values alone where they are few or smooth.
void add_metric(LineChart& chart, const MetricTable& table, const std::string& metric,
                const std::string& label, int colour);

// One small chart of a metric and its parts. `from_zero`: rates; logarithmic where values span
// decades.
std::string metric_figure(const SectionContext& context, const MetricTable& table,
                          const std::string& name, bool from_zero = false);

double median(std::vector<double> values);  // of the finite values; NaN where there are none
bool is_constant(const std::vector<double>& values);

}  // namespace ocoee::report
