// SPDX-License-Identifier: Apache-2.0
#include "run/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/wire.h"
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
  for (const char* phase : {"data", "forward", "backward", "communication", "optimizer",
                            "evaluation", "checkpoint", "sampling", "energies", "analysis"}) {
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

namespace {

// The axis that a communicator serves: pipelines have several, and shards are groups of replicas.
std::string axis_of(const std::string& name, const comm::Shape& shape) {
  if (name.starts_with("pipeline")) return "pipeline";
  if (name == "shard" || name == "twins")
    return shape.replicas() == shape[comm::Axis::data] ? "data" : "replicas";
  return name;
}

}  // namespace

json traffic_of(comm::Mesh& mesh) {
  std::vector<std::string> axes;  // in the order of the mesh
  std::vector<int64_t> sums;      // calls, bytes and bytes on links of each kind, axis by axis
  for (const comm::Communicator* group : mesh.communicators()) {
    const std::string axis = axis_of(group->name(), mesh.shape());
    const auto known = std::find(axes.begin(), axes.end(), axis);
    const auto first = static_cast<size_t>(known - axes.begin()) * 3 * comm::kKinds;
    if (known == axes.end()) {
      axes.push_back(axis);
      sums.resize(sums.size() + 3 * comm::kKinds);
    }
    for (size_t k = 0; k < comm::kKinds; ++k) {
      const int64_t bytes = group->counters().bytes[k];
      const double on_link = comm::wire_factor(static_cast<comm::Kind>(k), group->size());
      sums[first + 3 * k] += group->counters().calls[k];
      sums[first + 3 * k + 1] += bytes;
      sums[first + 3 * k + 2] += std::llround(on_link * static_cast<double>(bytes));
    }
  }
  if (!sums.empty())
    mesh.world().all_reduce({sums.data(), static_cast<int64_t>(sums.size()), DType::i64, {}},
                            comm::Reduce::sum);
  json out = json::array();
  for (size_t i = 0; i < axes.size() * comm::kKinds; ++i) {
    if (sums[3 * i] == 0) continue;
    out.push_back({{"axis", axes[i / comm::kKinds]},
                   {"kind", comm::name_of(static_cast<comm::Kind>(i % comm::kKinds))},
                   {"calls", sums[3 * i]},
                   {"bytes", sums[3 * i + 1]},
                   {"wire_bytes", sums[3 * i + 2]}});
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
    const std::string unit = entry.value("unit", "");  // "bits per base" says it already
    if (!entry.contains("text") && !unit.empty() &&
        entry.value("label", "").find(unit) == std::string::npos)
      out += " " + unit;
    if (entry.contains("reference"))
      out += fmt::format("; {} {:.4f}", entry["reference"].value("label", "reference"),
                         entry["reference"].value("value", 0.0));
  }
  return out;
}

}  // namespace ocoee::run
