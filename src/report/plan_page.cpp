// SPDX-License-Identifier: Apache-2.0
#include "report/plan_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "report/bar_chart.h"
#include "report/line_chart.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/run_directory.h"
#include "report/timeline.h"

namespace ocoee::report {
namespace {

using nlohmann::json;

std::string rank_name(const json& plan, size_t i) {
  return i < plan.at("proposals").size() ? fmt::format("{}", i + 1) : "recipe";
}

std::vector<const json*> rows_of(const json& plan) {
  std::vector<const json*> rows;
  for (const json& proposal : plan.at("proposals")) rows.push_back(&proposal);
  if (plan.contains("own")) rows.push_back(&plan.at("own"));
  return rows;
}

std::string headline(const json& plan) {
  const json& best = plan.at("proposals").at(0);
  std::vector<Tile> list;
  const auto tile = [&](const std::string& label, const std::string& value, const std::string& unit,
                        const std::string& note) {
    Tile t;
    t.label = label;
    t.value = value;
    t.unit = unit;
    t.note = note;
    t.large = true;
    list.push_back(t);
  };
  tile("a step of the first", format_seconds(number_at(best, "seconds")), "",
       string_at(best, "words"));
  tile("of the peak", percent(number_at(best, "mfu")), "",
       fmt::format("MFU; with recompute {} (HFU)", percent(number_at(best, "hfu"))));
  const json& machine = plan.at("machine");
  tile("memory of a device", format_bytes(number_at(best, "bytes")), "",
       fmt::format("of {} usable", format_bytes(number_at(machine, "usable_bytes"))));
  if (plan.contains("effort")) {
    const json& e = plan.at("effort");
    const double energy = number_at(e, "megawatt_hours");
    tile(fmt::format("to {} tokens", compact(number_at(e, "tokens"))),
         fmt::format("{} h", grouped(std::round(number_at(e, "hours")))), "",
         fmt::format("{} node-hours{}", compact(number_at(e, "node_hours")),
                     energy > 0 ? fmt::format(", {} MWh of the devices", compact(energy)) : ""));
  }
  return tiles(list);
}

std::string header(const json& plan) {
  const json& machine = plan.at("machine");
  const json& searched = plan.at("searched");
  std::string text =
      fmt::format("{} parameters, {} samples of {} tokens a step, {}, on {} x {} of {}.",
                  compact(number_at(plan, "parameters")), grouped(number_at(plan, "batch")),
                  grouped(number_at(plan, "sequence")), string_at(plan, "types"),
                  grouped(number_at(plan, "devices")), string_at(machine, "device"),
                  string_at(machine, "name"));
  for (const char* key : {"float8_note", "ideal_note"}) {
    if (const std::string note = string_at(plan, key); !note.empty()) text += " " + note + ".";
  }
  text += fmt::format(
      " {} layouts were costed in {}; {} fit; {} were played over their schedules.",
      grouped(number_at(searched, "costed")), format_seconds(number_at(searched, "seconds")),
      grouped(number_at(searched, "fitting")), grouped(number_at(searched, "simulated")));
  for (const json& one : searched.value("left_out", json::array()))
    text += " Left out: " + one.get<std::string>() + ".";
  return "<header><h1>Plan of " + escape_limited(string_at(plan, "name"), 120) + "</h1>" +
         paragraph(text) + "</header>\n" + headline(plan);
}

std::string proposals(const json& plan) {
  std::vector<std::vector<std::string>> rows;
  const std::vector<const json*> all = rows_of(plan);
  for (size_t i = 0; i < all.size(); ++i) {
    const json& p = *all[i];
    rows.push_back({rank_name(plan, i) + ". " + string_at(p, "words"),
                    format_seconds(number_at(p, "seconds")),
                    grouped(std::round(number_at(p, "tokens_per_second_device"))),
                    percent(number_at(p, "mfu")), percent(number_at(p, "bubble_share")),
                    format_bytes(number_at(p, "bytes")),
                    p.value("simulated", false) ? "simulated" : "closed form"});
  }
  return "<figure>" +
         table({{"layout"},
                {"step", true},
                {"tokens/s", true},
                {"MFU", true},
                {"bubble", true},
                {"memory", true},
                {"time by", true}},
               rows, {0}) +
         "<figcaption>" +
         escape(
             "Tokens a second and device. Simulated: the schedule was played event by event. "
             "FLOPs: " +
             string_at(plan, "flop_convention") + "." +
             (plan.contains("own_problem")
                  ? " The recipe's own layout cannot be: " + string_at(plan, "own_problem") + "."
                  : "")) +
         "</figcaption></figure>\n";
}

std::string bars(const json& plan, const char* key, const std::string& title, bool is_time) {
  BarChart chart;
  chart.title = title;
  const std::vector<const json*> all = rows_of(plan);
  for (size_t i = 0; i < all.size(); ++i) {
    BarRow row{rank_name(plan, i), {}};
    // In the order of the plan's own categories, not of the alphabet.
    static const std::vector<std::string> kTime = {
        "products", "attention", "elementwise", "recompute", "tensor", "context",
        "messages", "bubble",    "data",        "optimizer", "loading"};
    static const std::vector<std::string> kMemory = {"parameters", "gradients",   "masters",
                                                     "optimizer",  "activations", "communication",
                                                     "temporary",  "slack"};
    // Eight colours: traffic between stages and within samples share one, memory-bound work
    // another.
    static const std::vector<int> kTimeColours = {0, 1, 2, 3, 4, 6, 6, 7, 5, 2, 6};
    const std::vector<std::string>& order = is_time ? kTime : kMemory;
    for (size_t k = 0; k < order.size(); ++k)
      row.segments.push_back({order[k], number_at(child(*all[i], key), order[k]),
                              is_time ? kTimeColours[k] : static_cast<int>(k)});
    std::erase_if(row.segments, [](const BarSegment& s) { return !(s.value > 0); });
    chart.rows.push_back(row);
  }
  chart.text = [is_time](double v) { return is_time ? format_seconds(v) : format_bytes(v); };
  if (!is_time) {
    chart.limit = number_at(plan.at("machine"), "usable_bytes");
    chart.limit_label = "usable";
  }
  return figure(title, responsive([&](double width) {
                  chart.width = width;
                  return bar_chart(chart);
                }),
                is_time ? "Of the slowest stage. Tensor, context, messages and data are what is "
                          "exposed of their communication."
                        : "Of the fullest rank.");
}

std::string stages_of_the_first(const json& plan) {
  std::vector<std::string> held;  // in the plan's order
  for (const json& stage : child(plan, "stages")) {
    for (const auto& [kind, bytes] : child(stage, "activation_bytes").items()) {
      if (std::find(held.begin(), held.end(), kind) == held.end()) held.push_back(kind);
    }
  }
  std::vector<Column> columns{{"stage", true}, {"in flight", true}};
  for (const std::string& kind : held) columns.push_back({kind, true});
  for (const char* rest : {"parameters", "gradients", "masters, optimizer", "other", "all"})
    columns.push_back({rest, true});
  std::vector<std::vector<std::string>> rows;
  for (const json& stage : child(plan, "stages")) {
    const json& bytes = child(stage, "memory_bytes");
    const double states = number_at(bytes, "masters") + number_at(bytes, "optimizer"),
                 other = number_at(bytes, "communication") + number_at(bytes, "temporary") +
                         number_at(bytes, "slack");
    std::vector<std::string> row{std::to_string(rows.size()),
                                 grouped(number_at(stage, "in_flight"))};
    for (const std::string& kind : held)
      row.push_back(format_bytes(child(stage, "activation_bytes").value(kind, 0.0)));
    double all = 0;
    for (const auto& [name, value] : bytes.items()) all += value.get<double>();
    for (const double value :
         {number_at(bytes, "parameters"), number_at(bytes, "gradients"), states, other, all})
      row.push_back(format_bytes(value));
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return "";
  return fold(
      "A rank of each stage of the first",
      table(columns, rows) +
          paragraph("In flight: micro-batches (of a chunk, where a stage has several) whose "
                    "activations it holds at most. Activations stand by kind of layer."));
}

std::string reasons(const json& plan) {
  std::string out;
  const std::vector<const json*> all = rows_of(plan);
  for (size_t i = 0; i < all.size(); ++i) {
    std::string list = "<ul>";
    for (const json& sentence : child(*all[i], "why"))
      list += "<li>" + escape(sentence.get<std::string>()) + "</li>";
    out += fold(fmt::format("{}. {}", rank_name(plan, i), string_at(*all[i], "words")),
                list + "</ul>", i == 0);
  }
  return out;
}

std::string schedule_picture(const json& plan) {
  const json& line = child(plan, "timeline");
  if (!line.is_object()) return "";
  Timeline picture;
  picture.title = "The schedule of the first";
  std::map<int64_t, std::vector<TimelineSpan>> by_stage;
  for (const json& span : line.at("spans")) {
    by_stage[span.at("stage")].push_back(
        {string_at(span, "kind"), number_at(span, "begin"), number_at(span, "end")});
    picture.end = std::max(picture.end, number_at(span, "end"));
  }
  for (auto& [stage, spans] : by_stage)
    picture.tracks.push_back({fmt::format("stage {}", stage), "", std::move(spans)});
  picture.description = "What each stage does, and where it waits.";
  return figure(picture.title, responsive([&](double width) {
                  picture.width = width;
                  return timeline(picture);
                }),
                fmt::format("{} micro-batches instead of {}, so that the filling is seen; {} of {} "
                            "stages.",
                            grouped(number_at(line, "micro_batches")),
                            grouped(number_at(plan.at("proposals").at(0), "micro_batches")),
                            by_stage.size(), grouped(number_at(line, "stages"))));
}

std::string curve(const json& what_if) {
  LineChart chart;
  chart.title = string_at(what_if, "title");
  chart.x.label = string_at(what_if, "x");
  chart.x.log = true;
  chart.y.label = "tokens/s a device";
  chart.width = kHalf;
  chart.height = 260;
  bool unfit = false;
  for (const json& series : what_if.at("series")) {
    Series drawn;
    drawn.name = string_at(series, "name");
    drawn.draw = Series::Draw::line_and_points;
    for (const json& point : series.at("points")) {
      drawn.x.push_back(number_at(point, "x"));
      drawn.y.push_back(number_at(point, "tokens_per_second_device"));
      drawn.hollow.push_back(!point.value("fits", true));
      unfit = unfit || drawn.hollow.back();
    }
    chart.series.push_back(std::move(drawn));
  }
  if (chart.series.size() == 1) chart.series[0].name = "";
  // A difference of a few percent shall not look like a slope.
  constexpr double kFlat = 0.1;
  double low = 1e300, high = 0;
  for (const Series& series : chart.series) {
    for (const double y : series.y) low = std::min(low, y), high = std::max(high, y);
  }
  chart.y.from_zero = high - low < kFlat * high;
  chart.references.push_back({"plan", number_at(what_if, "x_now"), true, -1});
  std::string caption = string_at(what_if, "caption");
  if (unfit) caption += " Rings would not fit in memory.";
  return figure(chart.title, line_chart(chart), caption);
}

std::string front(const json& plan) {
  const json& list = child(plan, "front");
  if (!list.is_array() || list.size() < 2) return "";
  LineChart chart;
  chart.title = "Time against memory";
  chart.x.label = "GiB of a device";
  chart.y.label = "seconds a step";
  chart.y.log = true;
  std::map<double, Series> by_devices;
  std::vector<std::vector<std::string>> rows;
  for (const json& p : list) {
    const double devices = number_at(p, "devices");
    Series& series = by_devices[devices];
    series.x.insert(series.x.begin(), number_at(p, "bytes") / (1 << 30));
    series.y.insert(series.y.begin(), number_at(p, "seconds"));
    rows.push_back({grouped(devices), string_at(p, "words"),
                    format_seconds(number_at(p, "seconds")), format_bytes(number_at(p, "bytes"))});
  }
  for (auto& [devices, series] : by_devices) {
    if (by_devices.size() > 1) series.name = grouped(devices) + " devices";
    series.draw = Series::Draw::line_and_points;
    chart.series.push_back(std::move(series));
  }
  const std::string picture = responsive([&](double width) {
    chart.width = width;
    return line_chart(chart);
  });
  return figure(chart.title, picture,
                "No other layout on as many devices or fewer takes both less time and less memory "
                "(closed form).") +
         fold(fmt::format("{} layouts", rows.size()),
              table({{"devices", true}, {"layout"}, {"step", true}, {"memory", true}}, rows));
}

}  // namespace

std::string plan_page(const json& plan) {
  Page page("Plan of " + string_at(plan, "name"));
  page.set_header(header(plan));
  page.add("proposals", "Layouts", proposals(plan));
  const std::string storage = string_at(child(plan, "checkpoint"), "words");
  page.add("time", "Time",
           bars(plan, "parts", "Where a step's time goes", true) +
               (storage.empty() ? "" : paragraph(storage + ".")));
  page.add("memory", "Memory",
           bars(plan, "memory_bytes", "What a rank holds", false) + stages_of_the_first(plan));
  page.add("why", "Why", reasons(plan));
  page.add("schedule", "Schedule", schedule_picture(plan));
  std::vector<std::string> curves;
  for (const json& what_if : child(plan, "what_if")) curves.push_back(curve(what_if));
  if (!curves.empty())
    page.add("what-if", "What would change",
             paragraph(
                 "Each curve changes one thing about the first layout; times by the closed form.") +
                 grid(curves));
  page.add("front", "Time, memory, devices", front(plan));
  const json& made = child(plan, "made");
  page.set_footer(
      "<footer>" +
      paragraph(fmt::format("Made by {} from plan.json beside it. Times are predictions; the "
                            "profile of the machine says where its figures come from.",
                            string_at(made, "by", "`ocoee plan`"))) +
      (made.is_object() ? code_block(string_at(made, "command")) : "") + "</footer>\n");
  return page.str();
}

}  // namespace ocoee::report
