// SPDX-License-Identifier: Apache-2.0
#include "plan/run_plan.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/text.h"
#include "plan/plan_file.h"
#include "plan/storage.h"

namespace ocoee::plan {
namespace {

void add_memory(const Prediction& p, nlohmann::json& out) {
  nlohmann::json memory = nlohmann::json::object();
  std::vector<std::string> words;
  for (size_t i = 0; i < kHeld; ++i) {
    if (p.bytes[i] <= 0) continue;
    const char* name = name_of(static_cast<Held>(i));
    memory[name] = p.bytes[i];
    words.push_back(fmt::format("{} {}", name, format_bytes(p.bytes[i])));
  }
  out["memory_bytes"] = memory;
  out["memory_total_bytes"] = p.total_bytes;
  out["lines"].push_back(fmt::format("memory per rank, at most: {} ({})",
                                     format_bytes(p.total_bytes), join(words, ", ")));
}

// Of layout.halves where it was asked for and cannot act; how many samples a micro-batch has
// follows from the ranks, so the key's own condition does not know it.
std::string halves_note(const Workload& workload, const Configuration& c) {
  if (workload.halves != "on" || c.tensor == 1 || c.micro % 2 == 0) return "";
  const int64_t samples = workload.global_batch / c.data;
  const std::string fix = samples % 2 == 0 ? fmt::format("batch.micro = {}", 2 * c.micro)
                                           : fmt::format("an even batch.micro, batch.global = {}",
                                                         c.data * (samples + 1));
  return fmt::format(
      "note: layout.halves: has no effect: it acts where a micro-batch has an even number of "
      "samples, and here it has {}; fix: {}",
      c.micro, fix);
}

}  // namespace

void predict_run(const Planned& planned, const std::string& machine, int64_t steps,
                 nlohmann::json& out) {
  if (!planned.layout) return;
  const Configuration& c = *planned.layout;
  out["checkpoint_bytes"] = checkpoint_bytes(planned.workload).value;
  if (const std::string note = halves_note(planned.workload, c); !note.empty())
    out["lines"].push_back(note);
  const System& system = system_named("ocoee");
  Machine any = unknown_machine();
  if (!machine.empty()) any.device.workspace = load_machine(machine).device.workspace;
  Predictor sizes(planned.workload, system, any);
  if (sizes.problem(c).empty()) add_memory(sizes.predict(c), out);
  if (machine.empty()) return;

  const Machine profile = load_machine(machine);
  Predictor predictor(planned.workload, system, profile);
  const std::string problem = predictor.problem(c);
  if (!problem.empty()) {
    out["lines"].push_back("time: not predicted: " + problem);
    return;
  }
  if (const std::string note = float8_note(planned.workload, profile); !note.empty())
    out["lines"].push_back(note);
  if (const std::string note = ideal_note(profile, c.devices()); !note.empty())
    out["lines"].push_back(note);
  const Prediction p = predictor.simulate(c);
  nlohmann::json predicted = proposal_json(predictor, c, p);
  predicted["machine"] = profile.name;
  predicted["device"] = profile.device.name;
  out["predicted"] = predicted;
  out["device_bytes"] = profile.device.memory.value;
  out["lines"].push_back(fmt::format(
      "plan: {} a step, {} tokens/s, {} for {} steps, by the profile of {}{}",
      format_seconds(p.seconds), format_count(predicted.at("tokens_per_second").get<double>()),
      format_seconds(p.seconds * static_cast<double>(steps)), steps, profile.name,
      p.fits ? ""
             : fmt::format("; it does NOT fit: {} of {}", format_bytes(p.total_bytes),
                           format_bytes(predictor.usable_bytes()))));
}

}  // namespace ocoee::plan
