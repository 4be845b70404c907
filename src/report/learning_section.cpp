// SPDX-License-Identifier: Apache-2.0
// Loss over steps, and every evaluation metric against its baselines.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "report/markup.h"
#include "report/metric_charts.h"
#include "report/numbers.h"
#include "report/page.h"

namespace ocoee::report {
namespace {

using nlohmann::json;
constexpr size_t kMostBaselines = 5;

struct Baseline {
  std::string label;
  double value;
};

// The baselines of a metric; of many, those nearest to what the model reached.
std::vector<Baseline> baselines_of(const RunDirectory& run, const std::string& metric) {
  std::vector<Baseline> found;
  const json& list = child(run.summary, "baselines");
  if (list.is_array()) {
    for (const json& entry : list) {
      const double value = number_at(entry, "value");
      if (string_at(entry, "metric") == metric && drawable(value))
        found.push_back({shorten(string_at(entry, "label", "baseline"), 40), value});
    }
  }
  const double reached = run.evaluations.last(metric);
  std::stable_sort(found.begin(), found.end(), [&](const Baseline& a, const Baseline& b) {
    return std::abs(a.value - reached) < std::abs(b.value - reached);
  });
  if (found.size() > kMostBaselines) found.resize(kMostBaselines);
  return found;
}

// A steep start would flatten the rest of the curve: the frame then ends above what follows the
// first 2 % of rows.
bool focus(LineChart& chart, const std::vector<double>& losses) {
  if (losses.size() < 50) return false;
  Range all, later;
  all.add(losses, false);
  for (size_t i = losses.size() / 50; i < losses.size(); ++i) later.add(losses[i], false);
  if (later.empty() || all.high <= later.high) return false;
  if (all.high - later.low < 1.6 * (later.high - later.low)) return false;
  chart.y.high = later.high + 0.06 * (later.high - later.low);
  return true;
}

std::string loss_figure(const SectionContext& context) {
  const RunDirectory& run = context.run;
  std::vector<std::string> parts = with_parts(run.steps, "loss");
  if (parts.empty()) return "";
  const bool single = run.steps.has("loss");
  const bool nats = run.evaluations.has("bits_per_base") || run.evaluations.has("bits_per_byte");
  std::string caption;
  const std::string picture = responsive([&](double width) {
    LineChart chart;
    chart.title = "Loss";
    chart.x = step_axis(run, true);
    chart.y.label = nats ? "loss, nats per token" : "loss";
    chart.width = width;
    chart.height = 340;
    chart.detail = context.detail;
    if (single) {
      add_metric(chart, run.steps, "loss", "training", 0);
      if (run.evaluations.has("loss")) add_metric(chart, run.evaluations, "loss", "held-out", 1);
    } else {
      for (size_t i = 0; i < std::min<size_t>(parts.size(), 6); ++i)
        add_metric(chart, run.steps, parts[i], parts[i].substr(5), static_cast<int>(i));
    }
    const bool cut = single && focus(chart, run.steps.column("loss"));
    caption.clear();
    if (chart.series.front().faint)
      caption = "Faint: every logged step. Line: running mean over about 3 % of the run.";
    if (cut)
      caption += fmt::format(" The first steps lie above the frame (highest {}).",
                             significant(run.steps.largest("loss")));
    return line_chart(chart);
  });
  std::string out = figure("Loss", picture, caption);
  if (run.non_finite_losses > 0)
    out += notice(fmt::format(
        "Logged losses that are not finite (NaN or infinite): {}, the first at step {}. The "
        "curve has gaps there.",
        grouped(static_cast<double>(run.non_finite_losses)), run.first_non_finite_step));
  return out;
}

std::string evaluation_figure(const SectionContext& context, const std::string& metric) {
  const RunDirectory& run = context.run;
  const MetricInfo info = metric_info(metric);
  const std::vector<Baseline> baselines = baselines_of(run, metric);
  const double last = run.evaluations.last(metric);
  const auto draw = [&](double width, double height, bool wide) {
    LineChart chart;
    chart.title = info.title;
    chart.x = step_axis(run, wide);
    chart.y.label = info.unit;
    chart.width = width;
    chart.height = height;
    chart.detail = context.detail;
    add_metric(chart, run.evaluations, metric, (baselines.empty() ? "" : "model ") + exact(last),
               0);
    chart.series.back().hover = "model";
    for (const Baseline& baseline : baselines)
      chart.references.push_back(
          {baseline.label + " " + exact(baseline.value), baseline.value, false, -1});
    return line_chart(chart);
  };
  std::string caption;
  if (!baselines.empty()) {
    const double difference = last - baselines[0].value;
    caption = fmt::format("Last {}; {} is at {} ({}{}).", exact(last), baselines[0].label,
                          exact(baselines[0].value), difference > 0 ? "+" : "", exact(difference));
    return figure(info.title, responsive([&](double width) { return draw(width, 320, true); }),
                  caption);
  }
  return figure(info.title, draw(kHalf, 240, false), fmt::format("Last {}.", exact(last)));
}

}  // namespace

std::string learning_section(const SectionContext& context) {
  const RunDirectory& run = context.run;
  std::string out = loss_figure(context);
  const std::set<std::string> not_metrics = {"step", "samples", "tokens", "seconds"};
  std::vector<std::string> small;
  for (const std::string& metric : run.evaluations.names()) {
    if (not_metrics.contains(metric) || !run.evaluations.has(metric)) continue;
    if (metric == "loss" && run.steps.has("loss")) continue;  // drawn beside the training loss
    const std::string picture = evaluation_figure(context, metric);
    if (baselines_of(run, metric).empty()) {
      if (small.size() < 12) small.push_back(picture);
    } else {
      out = metric.starts_with("bits_per_") ? picture + out
                                            : out + picture;  // the figure that matters comes first
    }
  }
  if (!small.empty()) out += grid(small);
  if (!out.empty()) return out;
  if (!child(run.summary, "figures").empty() ||
      (run.plan.contains("steps") && !run.plan.contains("parameters")))
    return "";  // a task that trains nothing, or shows by itself how well it fits
  return notice("No loss and no evaluation was logged, so there is no learning curve to draw.");
}

std::string markov_section(const SectionContext& context) {
  const json& list = child(context.run.summary, "markov");
  if (!list.is_array() || list.empty()) return "";
  Series curve{
      .name = "Markov", .x = {}, .y = {}, .draw = Series::Draw::line_and_points, .colour = 1};
  std::vector<std::vector<std::string>> rows;
  size_t best = 0;
  for (const json& entry : list) {
    const double k = number_at(entry, "k"), bits = number_at(entry, "bits_per_base");
    if (!drawable(k) || !drawable(bits) || rows.size() >= 64) continue;
    curve.x.push_back(k);
    curve.y.push_back(bits);
    rows.push_back({exact(k), fixed(bits, 4)});
    if (bits < curve.y[best]) best = rows.size() - 1;
  }
  if (rows.empty()) return "";
  LineChart chart;
  chart.title = "Bits per base by order of the Markov model";
  chart.x.label = "order k";
  chart.x.whole = true;
  chart.y.label = "bits per base";
  chart.width = 560;
  chart.height = 330;
  double model = number_at(child(context.run.summary, "final"), "bits_per_base");
  if (!drawable(model)) model = context.run.evaluations.last("bits_per_base");
  std::string caption = fmt::format("The best Markov model has order {} with {} bits per base",
                                    exact(curve.x[best]), fixed(curve.y[best], 4));
  if (drawable(model)) {
    chart.references.push_back({"this model " + fixed(model, 4), model, false, 0});
    caption += fmt::format("; this model has {}, {} {}", fixed(model, 4),
                           fixed(std::abs(curve.y[best] - model), 4),
                           model <= curve.y[best] ? "fewer" : "more");
  }
  chart.series.push_back(curve);
  const std::string numbers = table({{"order k", true}, {"bits per base", true}}, rows, {best});
  return "<div class=\"two-one\">" + figure(chart.title, line_chart(chart), caption + ".") +
         "<figure><h3>Held out, by order</h3>" + numbers + "</figure></div>\n";
}

}  // namespace ocoee::report
