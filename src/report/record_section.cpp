// SPDX-License-Identifier: Apache-2.0
// The record: events, the recipe as it was resolved, the environment, and the command that runs it
// again.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/text.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/section.h"

namespace ocoee::report {
namespace {

using nlohmann::json;

std::string event_name(const std::string& kind) {
  static const std::map<std::string, std::string> kNames = {
      {"checkpoint_saved", "checkpoint saved"},
      {"checkpoint_loaded", "resumed from checkpoint"},
      {"run_started", "run started"},
      {"run_stopped", "run stopped"},
      {"run_finished", "run finished"}};
  const auto found = kNames.find(kind);
  return found == kNames.end() ? kind : found->second;
}

std::string plain(const json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Nested objects as dotted keys; lists of plain values on one line.
void flatten(const json& value, const std::string& key, int depth,
             std::vector<std::vector<std::string>>& rows) {
  constexpr size_t kMostRows = 400;
  if (rows.size() >= kMostRows) return;
  if (value.is_object() && depth < 8) {
    for (const auto& [name, inner] : value.items())
      flatten(inner, key.empty() ? name : key + "." + name, depth + 1, rows);
  } else if (value.is_array()) {
    std::string text;
    for (const json& entry : value) {
      text += (text.empty() ? "" : ", ") + plain(entry);
      if (text.size() > 2000) break;
    }
    rows.push_back({key, text});
  } else {
    rows.push_back({key, plain(value)});
  }
}

}  // namespace

std::string events_section(const SectionContext& context) {
  constexpr size_t kMostRows = 120;
  const std::vector<RunEvent>& events = context.run.events;
  if (events.empty()) return "";
  std::map<std::string, size_t> counts;
  for (const RunEvent& event : events) ++counts[event.kind];
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < events.size(); ++i) {
    if (events.size() > kMostRows && i == kMostRows / 2) {
      rows.push_back({"", fmt::format("{} more", events.size() - kMostRows), ""});
      i = events.size() - kMostRows / 2;
    }
    const RunEvent& event = events[i];
    rows.push_back({grouped(static_cast<double>(event.step)), shorten(event_name(event.kind), 60),
                    shorten(event.text, 400)});
  }
  std::string summary;
  for (const auto& [kind, count] : counts)
    summary += fmt::format("{}{} \u00D7 {}", summary.empty() ? "" : ", ",
                           shorten(event_name(kind), 60), count);
  const std::string numbers =
      "<div class=\"events\">" + table({{"step", true}, {"event"}, {"detail"}}, rows) + "</div>\n";
  std::string out;
  std::vector<std::vector<std::string>> warnings;
  for (const RunEvent& event : events)
    if (event.kind == "warning" && warnings.size() < 5)
      out += notice(fmt::format("Warning at step {}: {}", event.step, shorten(event.text, 400)));
  return out + fold(shorten(summary, 200), numbers, events.size() <= 24);
}

std::string recipe_section(const SectionContext& context) {
  constexpr size_t kMostBytes = 64u << 10;
  const std::string& recipe = context.run.recipe;
  if (trim(recipe).empty()) return "";
  std::string text = recipe.substr(0, kMostBytes);
  std::string out = fold("recipe.toml, with every default written out", toml_block(text));
  if (recipe.size() > kMostBytes) out += notice("Only the first 64 KiB of the recipe are shown.");
  return out;
}

std::string environment_section(const SectionContext& context) {
  if (context.run.environment.empty()) return "";
  std::vector<std::vector<std::string>> rows;
  flatten(context.run.environment, "", 0, rows);
  constexpr size_t kMostBytes = 96u << 10;
  size_t bytes = 0, shown = 0;
  for (; shown < rows.size() && bytes < kMostBytes; ++shown) {
    rows[shown] = {shorten(rows[shown][0], 120), shorten(rows[shown][1], 400)};
    bytes += rows[shown][0].size() + rows[shown][1].size();
  }
  rows.resize(shown);
  return fold(fmt::format("Host, processor, libraries, build: {} entries", rows.size()),
              table({{"key"}, {"value"}}, rows));
}

std::string reproduce_section(const SectionContext& context) {
  const std::string command = string_at(context.run.summary, "command");
  const std::string seed =
      context.run.recipe.empty() ? "" : " The recipe below holds every value, the seed among them.";
  const json& ocoee = child(context.run.environment, "ocoee");
  const std::string commit = string_at(ocoee, "commit");
  const std::string by = ocoee.is_object()
                             ? fmt::format(", by Ocoee {}{}", string_at(ocoee, "version"),
                                           commit.empty() ? "" : ", commit " + commit)
                             : "";
  if (!command.empty())
    return paragraph("The command that made this run" + shorten(by, 100) + ":") +
           code_block(shorten(command, 4000)) +
           (seed.empty() ? ""
                         : paragraph("The same recipe, layout and build give the same numbers on "
                                     "CPUs of one kind." +
                                     seed));
  if (context.run.recipe.empty()) return "";
  return paragraph("The run did not record its command. With the recipe below:") +
         code_block("ocoee run recipe.toml");
}

}  // namespace ocoee::report
