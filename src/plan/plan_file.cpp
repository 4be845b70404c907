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
  const Workload& w = predictor.workload();
  const Machine& m = predictor.machine();
  const SearchResult& found = plan.found;
  json& out = plan.json;
  out["version"] = 1;
  out["name"] = w.name;
  out["devices"] = request.search.devices;
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
  out["searched"] = {{"costed", found.costed},
                     {"fitting", found.fitting},
                     {"simulated", found.simulated},
                     {"left_out", left_out(predictor, request.search)},
                     {"seconds", found.seconds}};
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
  const Configuration& best = found.proposals.front().configuration;
  const std::string own_problem =
      request.own ? predictor.problem(*request.own) : request.own_problem;
  if (!own_problem.empty()) {
    out["own_problem"] = own_problem;
  } else if (request.own) {
    out["own"] = proposal_json(predictor, *request.own, predictor.simulate(*request.own));
    out["own"]["why"] = explain(predictor, *request.own);
  }
  out["stages"] = stages_json(predictor, best);
  out["timeline"] = timeline_json(predictor, best);
  out["what_if"] = curves_json(what_if(w, predictor.system(), m, best));
  const Prediction& first = found.proposals.front().prediction;
  out["checkpoint"] = checkpoint_json(predictor, request.search.devices);
  out["checkpoint"]["words"] =
      storage_words(out["checkpoint"], first.seconds - first.of(Part::loading));
  if (request.tokens > 0) {
    const Effort e =
        effort(m, request.tokens, out["proposals"][0]["tokens_per_second"], request.search.devices,
               {storage_seconds(checkpoint_bytes(w), m.write, m, request.search.devices),
                request.checkpoint_interval});
    out["effort"] = {{"tokens", request.tokens},
                     {"hours", e.hours},
                     {"checkpoint_hours", e.checkpoint_hours},
                     {"device_hours", e.device_hours},
                     {"node_hours", e.node_hours},
                     {"megawatt_hours", e.megawatt_hours}};
  }
  return plan;
}

std::string plan_text(const json& plan) {
  const json& machine = plan.at("machine");
  std::string out = fmt::format(
      "{}: {} parameters, {} samples of {} tokens a step, {}\n{} x {} of {} ({} usable), as {} "
      "trains\n",
      plan.at("name").get<std::string>(), format_count(plan.at("parameters")),
      plan.at("batch").get<int64_t>(), plan.at("sequence").get<int64_t>(),
      plan.at("types").get<std::string>(), plan.at("devices").get<int64_t>(),
      machine.at("device").get<std::string>(), machine.at("name").get<std::string>(),
      format_bytes(machine.at("usable_bytes")), plan.at("system").at("name").get<std::string>());
  const std::string note = plan.at("float8_note");
  if (!note.empty()) out += note + "\n";
  const json& searched = plan.at("searched");
  out +=
      fmt::format("{} layouts costed, {} fit, {} simulated, in {}\n",
                  searched.at("costed").get<int64_t>(), searched.at("fitting").get<int64_t>(),
                  searched.at("simulated").get<int64_t>(), format_seconds(searched.at("seconds")));
  for (const json& one : searched.at("left_out"))
    out += "left out: " + one.get<std::string>() + "\n";
  out += "\n";
  out += fmt::format(
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
  out += "\nThe first:\n";
  for (const json& sentence : plan.at("proposals").at(0).at("why"))
    out += "  " + sentence.get<std::string>() + "\n";
  const std::string storage = plan.at("checkpoint").at("words");
  if (!storage.empty()) out += "\n" + storage + "\n";
  if (plan.contains("effort")) {
    const json& e = plan.at("effort");
    out += fmt::format("\n{} tokens: {:.1f} hours, {} node-hours", format_count(e.at("tokens")),
                       e.at("hours").get<double>(), format_count(e.at("node_hours")));
    if (e.at("checkpoint_hours") > 0)
      out += fmt::format(", {:.1f} of the hours for checkpoints",
                         e.at("checkpoint_hours").get<double>());
    if (e.at("megawatt_hours") > 0)
      out += fmt::format(", {:.1f} MWh of the devices", e.at("megawatt_hours").get<double>());
    out += "\n";
  }
  return out;
}

}  // namespace ocoee::plan
