// SPDX-License-Identifier: Apache-2.0
#include "plan/plan_text.h"

#include <fmt/format.h>

#include "core/text.h"

namespace ocoee::plan {
namespace {

using nlohmann::json;

std::string schedule_words(const json& layout) {
  if (layout.at("pipeline") == 1) return "-";
  std::string text = layout.at("schedule");
  if (layout.at("chunks") > 1) text += fmt::format(" x{}", layout.at("chunks").get<int64_t>());
  return text;
}

std::string shard_words(const json& layout) {
  std::string text = layout.at("shard");
  if (layout.at("shard_group") > 0)
    text += fmt::format("/{}", layout.at("shard_group").get<int64_t>());
  return text;
}

std::string row(const std::string& first, const json& proposal) {
  const json& l = proposal.at("layout");
  const auto whole = [&](const char* key) { return l.at(key).get<int64_t>(); };
  return fmt::format(
      "{:>6} {:>6} {:>7} {:>8} {:>5} {:>5} {:>8} {:<15} {:<13} {:<9} {:>9} {:>8.0f} {:>5.1f} "
      "{:>5.1f} {:>6.1f} {:>10}  {}\n",
      first, whole("tensor"), whole("context"), whole("pipeline"), whole("data"), whole("micro"),
      proposal.at("micro_batches").get<int64_t>(), schedule_words(l), shard_words(l),
      l.at("offload").get<bool>() ? "offload" : l.at("recompute").get<std::string>(),
      format_seconds(proposal.at("seconds")), proposal.at("tokens_per_second_device").get<double>(),
      100 * proposal.at("mfu").get<double>(), 100 * proposal.at("hfu").get<double>(),
      100 * proposal.at("bubble_share").get<double>(), format_bytes(proposal.at("bytes")),
      proposal.at("simulated").get<bool>() ? "simulated" : "closed form");
}

// What was asked, and how many layouts were looked at.
std::string heading(const json& plan) {
  const json& machine = plan.at("machine");
  std::string out = fmt::format(
      "{}: {} parameters, {} samples of {} tokens a step, {}\n{} x {} of {} ({} usable), as {} "
      "trains\n",
      plan.at("name").get<std::string>(), format_count(plan.at("parameters")),
      plan.at("batch").get<int64_t>(), plan.at("sequence").get<int64_t>(),
      plan.at("types").get<std::string>(), plan.at("devices").get<int64_t>(),
      machine.at("device").get<std::string>(), machine.at("name").get<std::string>(),
      format_bytes(machine.at("usable_bytes")), plan.at("system").at("name").get<std::string>());
  for (const char* key : {"float8_note", "ideal_note"}) {
    const std::string note = plan.at(key);
    if (!note.empty()) out += note + "\n";
  }
  const json& searched = plan.at("searched");
  out +=
      fmt::format("{} layouts costed, {} fit, {} simulated, in {}\n",
                  searched.at("costed").get<int64_t>(), searched.at("fitting").get<int64_t>(),
                  searched.at("simulated").get<int64_t>(), format_seconds(searched.at("seconds")));
  for (const json& one : searched.at("left_out"))
    out += "left out: " + one.get<std::string>() + "\n";
  return out;
}

// The proposals, and the recipe's own layout.
std::string table(const json& plan) {
  std::string out = fmt::format(
      "{:>6} {:>6} {:>7} {:>8} {:>5} {:>5} {:>8} {:<15} {:<13} {:<9} {:>9} {:>8} {:>5} {:>5} "
      "{:>6} {:>10}  {}\n",
      "", "tensor", "context", "pipeline", "data", "micro", "micro-b.", "schedule", "shard",
      "recompute", "step", "tok/s/d.", "MFU %", "HFU %", "bub. %", "memory", "time by");
  int rank = 0;
  for (const json& proposal : plan.at("proposals")) out += row(std::to_string(++rank), proposal);
  if (plan.contains("own")) {
    out += row("recipe", plan.at("own"));
    if (!plan.at("own").at("fits").get<bool>()) out += "the recipe's own layout does not fit\n";
  }
  if (plan.contains("own_problem"))
    out +=
        fmt::format("recipe: its own layout cannot be on {} devices: {}\n",
                    plan.at("devices").get<int64_t>(), plan.at("own_problem").get<std::string>());
  return out;
}

std::string effort_words(const json& e) {
  std::string out =
      fmt::format("\n{} tokens: {:.1f} hours, {} node-hours", format_count(e.at("tokens")),
                  e.at("hours").get<double>(), format_count(e.at("node_hours")));
  if (e.at("checkpoint_hours") > 0)
    out += fmt::format(", {:.1f} of the hours for checkpoints",
                       e.at("checkpoint_hours").get<double>());
  if (e.at("megawatt_hours") > 0)
    out += fmt::format(", {:.1f} MWh of the devices", e.at("megawatt_hours").get<double>());
  return out + "\n";
}

}  // namespace

std::string plan_text(const json& plan) {
  std::string out = heading(plan) + "\n" + table(plan) + "\nThe first:\n";
  for (const json& sentence : plan.at("proposals").at(0).at("why"))
    out += "  " + sentence.get<std::string>() + "\n";
  const std::string storage = plan.at("checkpoint").at("words");
  if (!storage.empty()) out += "\n" + storage + "\n";
  if (plan.contains("effort")) out += effort_words(plan.at("effort"));
  return out;
}

}  // namespace ocoee::plan
