// SPDX-License-Identifier: Apache-2.0
#include "run/summary.h"

#include <fmt/format.h>

#include "core/trace.h"

namespace ocoee::run {

using nlohmann::json;

void SummaryListener::on(const Event& event) {
  if (event.kind == "summary") out_.update(event.fields);
  if (event.kind == "step") out_["last_step"] = event.fields;
}

void complete_summary(json& summary) {
  if (summary.contains("last_step") && summary["last_step"].contains("tokens"))
    summary["tokens"] = summary["last_step"]["tokens"];
  for (const char* phase :
       {"data", "forward", "backward", "communication", "optimizer", "evaluation", "checkpoint"}) {
    if (const double seconds = trace::total_seconds(phase); seconds > 0)
      summary["seconds_by_phase"][phase] = seconds;
  }
  // A task may name its headline by metric; a list of its own stays as it is.
  if (!summary.contains("headline_metric") || !summary.contains("final")) return;
  const std::string metric = summary["headline_metric"];
  if (!summary["final"].contains(metric)) return;
  json headline = {{"label", summary.value("headline_label", metric)},
                   {"value", summary["final"][metric]},
                   {"unit", summary.value("headline_unit", "")},
                   {"better", summary.value("headline_better", "lower")}};
  if (summary.contains("reference_value"))
    headline["reference"] = {{"label", summary.value("reference_label", "reference")},
                             {"value", summary["reference_value"]}};
  summary["headline"] = json::array({headline});
}

json traffic_of(comm::Mesh& mesh) {
  json out = json::array();
  for (const comm::Communicator* group : mesh.communicators()) {
    const comm::Counters& counters = group->counters();
    for (size_t k = 0; k < comm::kKinds; ++k) {
      if (counters.calls[k] == 0) continue;
      out.push_back({{"axis", group->name()},
                     {"kind", comm::name_of(static_cast<comm::Kind>(k))},
                     {"calls", counters.calls[k]},
                     {"bytes", counters.bytes[k]}});
    }
  }
  return out;
}

std::string headline_text(const json& summary) {
  std::string out;
  for (const json& entry : summary.value("headline", json::array())) {
    if (!entry.contains("value") || !entry["value"].is_number()) continue;
    out += fmt::format("{}{} ", out.empty() ? "" : "; ", entry.value("label", "result"));
    if (entry.contains("text"))  // with its error
      out += fmt::format("{} {}", entry.value("text", ""), entry.value("unit", ""));
    else
      out += fmt::format("{:.4f}", entry["value"].get<double>());
    if (entry.contains("reference"))
      out += fmt::format("; {} {:.4f}", entry["reference"].value("label", "reference"),
                         entry["reference"].value("value", 0.0));
  }
  return out;
}

}  // namespace ocoee::run
