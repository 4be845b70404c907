// SPDX-License-Identifier: Apache-2.0
#include "report/metric_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/text.h"
#include "report/downsample.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"

namespace ocoee::report {
namespace {

constexpr size_t kFewValues = 80;  // fewer are drawn as they are
constexpr size_t kMostParts = 6;

// Half the width of the running mean: a fiftieth of the run.
size_t smoothing_radius(size_t rows) {
  return rows / 100;
}

bool spans_decades(const std::vector<double>& values) {
  Range range;
  for (const double value : values) {
    if (std::isfinite(value) && value <= 0) return false;
    range.add(value, true);
  }
  if (range.empty()) return false;
  const double middle = median(values);
  return range.high > 12 * middle || range.low * 40 < middle;
}

// What a column is multiplied by to be shown, and the unit it then has.
struct Display {
  double factor;
  std::string unit;
};

Display display_of(const MetricTable& table, const std::string& metric) {
  if (metric == "mfu" || metric == "hfu") return {100, "% of peak"};
  if (metric == "peak_bytes") {
    constexpr double kMiB = 1u << 20, kGiB = 1u << 30;
    return table.largest(metric) < kGiB ? Display{1 / kMiB, "MiB"} : Display{1 / kGiB, "GiB"};
  }
  return {1, metric_info(metric).unit};
}

double last_finite(const std::vector<double>& values) {
  for (auto value = values.rbegin(); value != values.rend(); ++value)
    if (std::isfinite(*value)) return *value;
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

MetricInfo metric_info(const std::string& name) {
  static const std::map<std::string, MetricInfo> kKnown = {
      {"loss", {"Loss", ""}},
      {"held_out_rmse_mev", {"Held-out error", "meV/atom"}},
      {"train_rmse_mev", {"Error of what was fitted to", "meV/atom"}},
      {"noise_mev", {"Noise that the fit assumes", "meV/atom"}},
      {"bits_per_base", {"Held-out bits per base", "bits per base"}},
      {"bits_per_byte", {"Held-out bits per byte", "bits per byte"}},
      {"perplexity", {"Perplexity", ""}},
      {"learning_rate", {"Learning rate", ""}},
      {"gradient_norm", {"Gradient norm", ""}},
      {"tokens_per_second", {"Throughput", "tokens/s"}},
      {"samples_per_second", {"Throughput", "samples/s"}},
      {"step_seconds", {"Time of a step", "seconds"}},
      {"mfu", {"Model FLOP utilisation (MFU)", "% of peak"}},
      {"hfu", {"Hardware FLOP utilisation (HFU)", "% of peak"}},
      {"peak_bytes", {"Peak memory", "bytes"}},
      {"loss_scale", {"Loss scale", ""}},
  };
  if (const auto found = kKnown.find(name); found != kKnown.end()) return found->second;
  std::string title = name;
  std::replace(title.begin(), title.end(), '_', ' ');
  if (!title.empty() && title[0] >= 'a' && title[0] <= 'z')
    title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return {shorten(title, 60), ""};
}

std::vector<std::string> with_parts(const MetricTable& table, const std::string& name) {
  std::vector<std::string> names;
  if (table.has(name)) names.push_back(name);
  for (const std::string& candidate : table.names())
    if (candidate.starts_with(name + ".") && table.has(candidate)) names.push_back(candidate);
  return names;
}

Axis step_axis(const RunDirectory& run, bool with_tokens) {
  Axis axis;
  axis.label = "step";
  axis.whole = true;
  axis.low = 0;
  const std::string counted = run.steps.has("tokens") ? "tokens" : "samples";
  if (!with_tokens || !run.steps.has(counted) || run.steps.rows() < 2) return axis;
  std::vector<std::pair<double, double>> known = {{0, 0}};
  const auto& steps = run.steps.column("step");
  const auto& counts = run.steps.column(counted);
  for (size_t i = 0; i < steps.size(); ++i)
    if (steps[i] > known.back().first && drawable(counts[i]) && counts[i] >= known.back().second)
      known.emplace_back(steps[i], counts[i]);
  if (known.size() < 3) return axis;
  axis.label = "step, and " + counted + " seen";
  axis.second = [known](double step) -> std::string {
    if (step < 0 || step > known.back().first * 1.001) return "";
    const auto above = std::lower_bound(known.begin(), known.end(), std::pair{step, -1.0});
    if (above == known.begin()) return compact(above->second);
    if (above == known.end()) return compact(known.back().second);
    const auto below = above - 1;
    const double share = (step - below->first) / (above->first - below->first);
    return compact(below->second + share * (above->second - below->second));
  };
  return axis;
}

void add_metric(LineChart& chart, const MetricTable& table, const std::string& metric,
                const std::string& label, int colour) {
  const std::vector<double>& steps = table.column("step");
  std::vector<double> values = table.column(metric);
  const double factor = display_of(table, metric).factor;
  for (double& value : values) value *= factor;
  const size_t radius = smoothing_radius(values.size());
  const bool smooth = values.size() > kFewValues && radius > 0 && metric != "learning_rate" &&
                      metric != "peak_bytes" && !metric.starts_with("learning_rate.");
  if (smooth)
    chart.series.push_back({.name = "", .x = steps, .y = values, .colour = colour, .faint = true});
  const auto draw = values.size() <= 40 ? Series::Draw::line_and_points : Series::Draw::line;
  if (smooth) values = running_mean(running_mean(values, radius), std::max<size_t>(1, radius / 2));
  chart.series.push_back(
      {.name = label, .x = steps, .y = std::move(values), .draw = draw, .colour = colour});
}

std::string metric_figure(const SectionContext& context, const MetricTable& table,
                          const std::string& name, bool from_zero) {
  std::vector<std::string> metrics = with_parts(table, name);
  if (metrics.empty()) return "";
  const size_t left_out = metrics.size() - std::min(metrics.size(), kMostParts);
  metrics.resize(metrics.size() - left_out);
  const MetricInfo info = metric_info(name);
  const Display display = display_of(table, metrics[0]);
  LineChart chart;
  chart.title = info.title;
  chart.x = step_axis(context.run, false);
  chart.y.label = display.unit;
  chart.y.from_zero = from_zero;
  chart.y.log = !from_zero;
  chart.width = kHalf;
  chart.height = 240;
  chart.detail = context.detail;
  for (size_t i = 0; i < metrics.size(); ++i) {
    const std::vector<double>& values = table.column(metrics[i]);
    if (!spans_decades(values)) chart.y.log = false;
    const std::string part = metrics[i] == name ? "" : metrics[i].substr(name.size() + 1);
    add_metric(chart, table, metrics[i],
               metrics.size() == 1 ? info.title
               : part.empty()      ? "all"
                                   : part,
               static_cast<int>(i));
  }
  if (name == "learning_rate") chart.y.from_zero = !chart.y.log;
  std::string caption;
  if (metrics.size() == 1) {  // the title names it; the label at its end would only take room
    Series& curve = chart.series.back();
    const double last = table.last(metrics[0]) * display.factor;
    if (name == "learning_rate") {
      caption = fmt::format("Highest {}, last {}.", significant(table.largest(name), 3),
                            significant(last, 3));
    } else {
      caption = fmt::format("Median {}, last {}{}.",
                            significant(median(table.column(metrics[0])) * display.factor),
                            significant(last), display.unit.empty() ? "" : " " + display.unit);
    }
    curve.hover = info.title;
    curve.name = significant(last_finite(curve.y), 3);
  }
  if (left_out > 0) caption += fmt::format(" {} more parts are not drawn.", left_out);
  return figure(info.title, line_chart(chart), caption);
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

bool is_constant(const std::vector<double>& values) {
  Range range;
  range.add(values, false);
  return range.empty() || range.low == range.high;
}

}  // namespace ocoee::report
