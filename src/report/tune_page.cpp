// SPDX-License-Identifier: Apache-2.0
#include "report/tune_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/text.h"
#include "report/bar_chart.h"
#include "report/line_chart.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"

namespace ocoee::report {
namespace {

constexpr size_t kMostRows = 40;

std::string value_text(double value) {
  return fmt::format("{:.4g}", value);
}

bool better(const TuneSearch& search, double a, double b) {
  return search.higher_is_better ? a > b : a < b;
}

std::string progress(const TuneSearch& search, double width) {
  LineChart chart;
  chart.title = search.metric + " by trial";
  chart.x.label = "trial";
  chart.y.label = search.metric;
  Series tried{"tried"}, best{"best so far"};
  tried.draw = Series::Draw::points;
  for (size_t i = 0; i < search.trials.size(); ++i) {
    const TuneTrial& trial = search.trials[i];
    if (!trial.ok) continue;
    tried.x.push_back(static_cast<double>(i));
    tried.y.push_back(trial.value);
    const bool improves = best.y.empty() || better(search, trial.value, best.y.back());
    best.x.push_back(static_cast<double>(i));
    best.y.push_back(improves ? trial.value : best.y.back());
  }
  chart.series = {tried, best};
  const auto [low, high] = std::minmax_element(tried.y.begin(), tried.y.end());
  chart.y.log = *low > 0 && *high > 4 * *low;
  chart.width = width;
  return line_chart(chart);
}

std::string importance(const TuneSearch& search) {
  std::vector<size_t> order(search.importance.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return search.importance[a] > search.importance[b]; });
  BarChart chart;
  chart.title = "Importance of each knob";
  for (const size_t k : order)
    chart.rows.push_back({search.knobs[k], {{"share", 100 * search.importance[k]}}});
  chart.text = [](double value) { return fmt::format("{:.0f} %", value); };
  chart.legend = false;
  return bar_chart(chart);
}

std::string trial_table(const TuneSearch& search) {
  std::vector<size_t> order(search.trials.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const TuneTrial &x = search.trials[a], &y = search.trials[b];
    if (x.ok != y.ok) return x.ok;
    return x.ok && better(search, x.value, y.value);
  });
  std::vector<Column> columns{{"trial", true}};
  for (const std::string& knob : search.knobs) columns.push_back({knob, true});
  columns.push_back({search.metric, true});
  const auto any = [&](auto has) {
    return std::any_of(search.trials.begin(), search.trials.end(), has);
  };
  const bool timed = any([](const TuneTrial& trial) { return trial.seconds > 0; });
  const bool noted = any([](const TuneTrial& trial) { return !trial.note.empty(); });
  if (timed) columns.push_back({"seconds", true});
  if (noted) columns.push_back({"note", false});
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < std::min(order.size(), kMostRows); ++i) {
    const TuneTrial& trial = search.trials[order[i]];
    auto& row = rows.emplace_back();
    row.push_back(std::to_string(order[i]));
    row.insert(row.end(), trial.values.begin(), trial.values.end());
    row.push_back(trial.ok ? value_text(trial.value) : "");
    if (timed) row.push_back(fmt::format("{:.1f}", trial.seconds));
    if (noted) row.push_back(trial.note);
  }
  return table(columns, rows, {0});
}

}  // namespace

std::string tune_page(const TuneSearch& search) {
  Page page(search.title);
  const TuneTrial* best = nullptr;
  size_t ok = 0;
  double seconds = 0;
  for (const TuneTrial& trial : search.trials) {
    seconds += trial.seconds;
    ok += trial.ok;
    if (trial.ok && (!best || better(search, trial.value, best->value))) best = &trial;
  }
  std::string settings;
  for (size_t k = 0; best && k < search.knobs.size(); ++k)
    settings += (k ? ", " : "") + search.knobs[k] + " = " + best->values[k];
  std::vector<Tile> facts;
  facts.push_back({.label = "Best " + search.metric,
                   .value = best ? value_text(best->value) : "none yet",
                   .unit = "",
                   .note = settings,
                   .large = true});
  facts.push_back({.label = "Trials",
                   .value = std::to_string(search.trials.size()),
                   .unit = "",
                   .note = fmt::format("{} did not work", search.trials.size() - ok)});
  if (seconds > 0)  // a simulated trial takes none
    facts.push_back(
        {.label = "Time in trials", .value = format_seconds(seconds), .unit = "", .note = ""});
  page.set_header("<h1>" + escape(search.title) + "</h1>" + paragraph(search.source) +
                  tiles(facts));
  if (best)
    page.add("search", "The search",
             figure("The best value so far",
                    responsive([&](double width) { return progress(search, width); }),
                    "Each point is a trial; the line is the best of those before it."));
  if (!search.importance.empty())
    page.add("importance", "What matters",
             figure("Importance of each knob", importance(search),
                    "How much worse a model of the trials predicts when one knob's column is "
                    "shuffled, as shares."));
  if (!search.best_command.empty()) page.add("command", "Run it", code_block(search.best_command));
  page.add("trials", "Trials",
           (search.trials.size() > kMostRows
                ? paragraph(fmt::format("The best {} of {}; all stand in trials.jsonl.", kMostRows,
                                        search.trials.size()))
                : "") +
               trial_table(search));
  return page.str();
}

}  // namespace ocoee::report
