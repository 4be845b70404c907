// SPDX-License-Identifier: Apache-2.0
#include "plan/plan_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/text.h"
#include "plan/storage.h"

namespace ocoee::plan {
namespace {

using nlohmann::json;

json layout_json(const Configuration& c) {
  return {{"tensor", c.tensor},
          {"context", c.context},
          {"pipeline", c.pipeline},
          {"data", c.data},
          {"micro", c.micro},
          {"schedule", name_of(c.schedule)},
          {"chunks", c.chunks},
          {"shard", name_of(c.shard)},
          {"shard_group", c.shard_group},
          {"recompute", name_of(c.recompute)},
          {"offload", c.offload},
          {"placement", name_of(c.placement)}};
}

// A few micro-batches of the schedule on some of its stages: what happens, not how long it lasts.
json timeline_json(Predictor& predictor, const Configuration& c) {
  if (c.pipeline == 1) return nullptr;
  constexpr int64_t kMostStages = 12;
  Workload few = predictor.workload();
  const int64_t micro_batches =
      std::min(c.micro_batches(few.global_batch), c.pipeline * (c.pipeline > 8 ? 1 : 2));
  few.global_batch = micro_batches * c.data * c.micro;
  Predictor small(few, predictor.system(), predictor.machine());
  if (!small.problem(c).empty()) return nullptr;
  Timeline timeline;
  small.simulate(c, &timeline);
  const int64_t every = (c.pipeline + kMostStages - 1) / kMostStages;
  json spans = json::array();
  for (const TimelineEvent& event : timeline) {
    if (event.stage % every != 0 && event.stage + 1 != c.pipeline) continue;
    spans.push_back({{"stage", event.stage},
                     {"kind", name_of(event.action)},
                     {"chunk", event.chunk},
                     {"micro", event.micro},
                     {"begin", event.begin},
                     {"end", event.end}});
  }
  return {{"micro_batches", micro_batches}, {"stages", c.pipeline}, {"spans", spans}};
}

// A rank of each stage: bytes by category, and of its activations by kind of layer.
json stages_json(Predictor& predictor, const Configuration& c) {
  json out = json::array();
  for (const StageMemory& stage : predictor.stage_memory(c)) {
    json memory = json::object();
    for (size_t i = 0; i < kHeld; ++i) memory[name_of(static_cast<Held>(i))] = stage.bytes[i];
    out.push_back({{"in_flight", stage.in_flight},
                   {"memory_bytes", memory},
                   {"activation_bytes", stage.activations}});
  }
  return out;
}

json curves_json(const std::vector<WhatIf>& curves) {
  json out = json::array();
  for (const WhatIf& curve : curves) {
    json series = json::array();
    for (const WhatIfSeries& s : curve.series) {
      json points = json::array();
      for (const WhatIfPoint& p : s.points)
        points.push_back({{"x", p.x},
                          {"devices", p.devices},
                          {"batch", p.batch},
                          {"seconds", p.seconds},
                          {"tokens_per_second_device", p.rate},
                          {"bytes", p.bytes},
                          {"fits", p.fits}});
      series.push_back({{"name", s.name}, {"points", points}});
    }
    out.push_back({{"id", curve.id},
                   {"title", curve.title},
                   {"x", curve.x},
                   {"caption", curve.caption},
                   {"x_now", curve.x_now},
                   {"series", series}});
  }
  return out;
}

// Each rate that the profile states.
json checkpoint_json(const Predictor& predictor, int64_t devices) {
  const Workload& w = predictor.workload();
  const Machine& m = predictor.machine();
  json out = {{"bytes", checkpoint_bytes(w).value}};
  const auto add = [&](const char* key, Bytes bytes, BytesPerSecond rate) {
    const Seconds seconds = storage_seconds(bytes, rate, m, devices);
    if (seconds > Seconds(0)) out[key] = seconds.value;
  };
  add("write_seconds", checkpoint_bytes(w), m.write);
  add("read_seconds", checkpoint_bytes(w), m.read);
  add("samples_seconds", sample_bytes(w), m.read);
  if (m.read > BytesPerSecond(0)) add("samples_hdf5_seconds", sample_bytes(w), m.hdf5_read);
  return out;
}

// Of a checkpoint_json, beside a step of so many seconds without what it waits for samples.
std::string storage_words(const json& checkpoint, double step) {
  std::string text;
  if (checkpoint.contains("write_seconds"))
    text = fmt::format("A checkpoint: {}, {} when every node writes its part",
                       format_bytes(checkpoint.at("bytes")),
                       format_seconds(checkpoint.at("write_seconds")));
  if (!checkpoint.contains("samples_seconds")) return text;
  const double samples = checkpoint.at("samples_seconds");
  text += fmt::format("{} of a step are read in {}", text.empty() ? "Samples" : "; samples",
                      format_seconds(samples));
  if (checkpoint.contains("samples_hdf5_seconds"))
    text += fmt::format(" ({} from HDF5)", format_seconds(checkpoint.at("samples_hdf5_seconds")));
  return text + (samples < step ? ", while the step before runs"
                                : ": longer than a step, which waits for them");
}

// What is planned: the workload, the software and the machine.
void add_question(json& out, const Predictor& predictor) {
  const Workload& w = predictor.workload();
  const Machine& m = predictor.machine();
  out["name"] = w.name;
  out["parameters"] = w.model.parameters();
  out["batch"] = w.global_batch;
  out["sequence"] = w.sequence;
  out["compute"] = w.compute;
  out["gradients"] = w.gradients;
  out["moments"] = w.moments;
  out["masters"] = w.masters;
  out["types"] = type_words(w);
  out["float8_note"] = float8_note(w, m);
  out["system"] = {{"name", predictor.system().name}, {"note", predictor.system().note}};
  out["machine"] = {{"name", m.name},
                    {"note", m.note},
                    {"device", m.device.name},
                    {"node_devices", m.node.devices},
                    {"peak_flops", predictor.peak_flops()},
                    {"memory_bytes", m.device.memory.value},
                    {"usable_bytes", predictor.usable_bytes()}};
  out["flop_convention"] =
      "products with weights 6 per weight and token; attention 12 x layers x width x sequence "
      "(full, not causal); MFU without recompute, HFU with it";
  out["flops_per_step"] = predictor.model_flops();
}

// The proposals, the front of time and memory, and the recipe's own layout.
void add_layouts(json& out, Predictor& predictor, const PlanRequest& request,
                 const SearchResult& found) {
  out["proposals"] = json::array();
  for (const Proposal& p : found.proposals) {
    json one = proposal_json(predictor, p.configuration, p.prediction);
    one["why"] = explain(predictor, p.configuration);
    out["proposals"].push_back(std::move(one));
  }
  out["front"] = json::array();
  constexpr int kHalvings = 3;
  for (const Proposal& p : front_with_fewer(predictor, request.search, kHalvings, found.front)) {
    out["front"].push_back(proposal_json(predictor, p.configuration, p.prediction));
    out["front"].back()["devices"] = p.configuration.devices();
  }
  const std::string own_problem =
      request.own ? predictor.problem(*request.own) : request.own_problem;
  if (!own_problem.empty()) {
    out["own_problem"] = own_problem;
  } else if (request.own) {
    out["own"] = proposal_json(predictor, *request.own, predictor.simulate(*request.own));
    out["own"]["why"] = explain(predictor, *request.own);
  }
}

json effort_json(const Predictor& predictor, const PlanRequest& request, double tokens_per_second) {
  const Machine& m = predictor.machine();
  const int64_t devices = request.search.devices;
  const Seconds write =
      storage_seconds(checkpoint_bytes(predictor.workload()), m.write, m, devices);
  const Effort e =
      effort(m, request.tokens, tokens_per_second, devices, {write, request.checkpoint_interval});
  return {{"tokens", request.tokens},
          {"hours", e.hours},
          {"checkpoint_hours", e.checkpoint_hours},
          {"device_hours", e.device_hours},
          {"node_hours", e.node_hours},
          {"megawatt_hours", e.megawatt_hours}};
}

}  // namespace

json proposal_json(Predictor& predictor, const Configuration& c, const Prediction& p) {
  const Workload& w = predictor.workload();
  const double tokens = static_cast<double>(w.global_batch * w.sequence);
  const auto devices = static_cast<double>(c.devices());
  const double peak = predictor.peak_flops() * devices * p.seconds;
  json parts = json::object(), memory = json::object();
  for (size_t i = 0; i < kParts; ++i) parts[name_of(static_cast<Part>(i))] = p.parts[i];
  for (size_t i = 0; i < kHeld; ++i) memory[name_of(static_cast<Held>(i))] = p.bytes[i];
  return {{"layout", layout_json(c)},
          {"cuts", predictor.cuts(c)},  // as layout.cuts; a run that knows the machine finds them
          {"words", words(c)},
          {"micro_batches", c.micro_batches(w.global_batch)},
          {"seconds", p.seconds},
          {"least_seconds", p.least_seconds},
          {"tokens_per_second", tokens / p.seconds},
          {"tokens_per_second_device", tokens / p.seconds / devices},
          {"mfu", predictor.model_flops() / peak},
          {"hfu", predictor.executed_flops(c) / peak},
          {"bubble_share", p.bubble_share},
          {"bytes", p.total_bytes},
          {"fits", p.fits},
          {"simulated", p.simulated},
          {"slowest_stage", p.slowest},
          {"fullest_stage", p.fullest},
          {"parts", parts},
          {"memory_bytes", memory}};
}

std::string memory_words(double bytes, double usable) {
  std::string words = fmt::format("{} of {} a device", format_bytes(bytes), format_bytes(usable));
  if (bytes > usable)
    words += fmt::format(": does not fit, {} too much", format_bytes(bytes - usable));
  return words;
}

std::string type_words(const Workload& w) {
  const bool gradients = w.gradients == "bfloat16", moments = w.moments == "bfloat16";
  return w.compute + (gradients ? " with its gradients" : "") +
         (moments ? (gradients ? " and moments" : ", moments in bfloat16") : "") +
         (w.masters == "split" ? ", masters split" : "") + (w.float8 ? ", products in float8" : "");
}

std::string float8_note(const Workload& workload, const Machine& machine) {
  if (!workload.float8 || machine.device.float8 > 0) return "";
  return fmt::format(
      "note: the profile of {} does not say how quick products in float8 are: times are those of "
      "{}; fix: add `float8 = 1.5` to its [device] section, if they are 1.5 times as quick",
      machine.name, workload.compute);
}

Plan make_plan(Predictor& predictor, const PlanRequest& request) {
  Plan plan;
  plan.found = search(predictor, request.search);
  const SearchResult& found = plan.found;
  json& out = plan.json;
  out["version"] = 1;
  out["devices"] = request.search.devices;
  add_question(out, predictor);
  out["ideal_note"] = ideal_note(predictor.machine(), request.search.devices);
  out["searched"] = {{"costed", found.costed},
                     {"fitting", found.fitting},
                     {"simulated", found.simulated},
                     {"left_out", left_out(predictor, request.search)},
                     {"seconds", found.seconds}};
  add_layouts(out, predictor, request, found);
  const auto& [best, first] = found.proposals.front();
  out["stages"] = stages_json(predictor, best);
  out["timeline"] = timeline_json(predictor, best);
  out["what_if"] =
      curves_json(what_if(predictor.workload(), predictor.system(), predictor.machine(), best));
  out["checkpoint"] = checkpoint_json(predictor, request.search.devices);
  out["checkpoint"]["words"] =
      storage_words(out["checkpoint"], first.seconds - first.of(Part::loading));
  if (request.tokens > 0)
    out["effort"] = effort_json(predictor, request, out["proposals"][0]["tokens_per_second"]);
  return plan;
}

std::string ideal_note(const Machine& machine, int64_t devices) {
  const std::vector<std::string> keys = machine.taken_as_ideal(devices);
  if (keys.empty()) return "";
  return fmt::format(
      "note: the profile of {} leaves out {}: there its peaks are taken as reached, so a step will "
      "take longer than is said here; fix: `ocoee calibrate` on it measures them, `ocoee help "
      "machine-profile` says what they are",
      machine.name, join(keys, ", "));
}

}  // namespace ocoee::plan
