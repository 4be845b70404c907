// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/tune.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "run/launcher.h"

namespace ocoee::cli {
namespace {

// The last line that says something, for a table.
std::string last_words(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return "";
  std::string words;
  for (const std::string& line : split(read_file(file), '\n')) {
    if (line.starts_with("ocoee: ")) words = line.substr(7);
  }
  return words.substr(0, 160);
}

}  // namespace

bool higher_is_better(const std::string& metric) {
  return metric.ends_with("_per_second") || metric == "mfu" || metric == "hfu";
}

double metric_of_run(const std::filesystem::path& run_directory, const std::string& metric) {
  const std::filesystem::path path = run_directory / "metrics.jsonl";
  std::vector<double> values;
  std::vector<std::string> names;
  for (const std::string& line : split(read_file(path), '\n')) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || entry.value("kind", "") != "step") continue;
    if (entry.contains(metric) && entry[metric].is_number()) {
      values.push_back(entry[metric].get<double>());
    } else {
      names.clear();
      for (const auto& [name, value] : entry.items()) {
        if (value.is_number()) names.push_back(name);
      }
    }
  }
  if (values.empty()) {
    const std::string near = nearest(metric, names);
    fail(ErrorKind::data, "{}: no step carries '{}'\n    fix: {}", path.string(), metric,
         near.empty() ? "one of " + join(names, ", ") : fmt::format("did you mean '{}'?", near));
  }
  if (values.size() > 1) values.erase(values.begin());  // the first steps warm up
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double memory_of_run(const std::filesystem::path& run_directory) {
  const auto number = [](const std::string& text, const char* key) {
    const nlohmann::json entry = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    return entry.is_object() && entry.contains(key) && entry[key].is_number()
               ? entry[key].get<double>()
               : 0.0;
  };
  const double device = number(read_file(run_directory / "environment.json"), "device_bytes");
  double peak = 0;
  for (const std::string& line : split(read_file(run_directory / "metrics.jsonl"), '\n'))
    peak = std::max(peak, number(line, "peak_bytes"));
  return device > 0 ? peak / device : 0;
}

TrialResult run_trial(const TrialRun& trial) {
  run::ChildJob job;
  // Paths in a recipe are relative to where this program was started.
  job.command = {"env", "-C", std::filesystem::current_path().string()};
  job.command.insert(job.command.end(), trial.launcher.begin(), trial.launcher.end());
  job.command.insert(job.command.end(), {trial.program, "run", trial.recipe, "--fresh"});
  job.command.insert(job.command.end(), trial.assignments.begin(), trial.assignments.end());
  const std::filesystem::path run = std::filesystem::absolute(trial.folder) / "run";
  job.command.push_back("run.dir=" + run.string());
  job.folder = trial.folder;
  job.timeout = trial.timeout;
  const run::ChildEnd end = run::run_child(job);
  TrialResult result;
  result.seconds = end.seconds;
  if (end.succeeded()) {
    result.value = metric_of_run(run, trial.metric);
    result.memory.share = memory_of_run(run);
    result.outcome = plan::TrialOutcome::ok;
    return result;
  }
  const bool exited = end.how == run::ChildEnd::How::exited;
  result.memory.ran_out = exited && end.code == exit_code(ErrorKind::memory);
  if (result.memory.ran_out) {
    result.note = "out of memory";
  } else if (end.how == run::ChildEnd::How::hung) {
    result.note = fmt::format("took longer than {}", format_seconds(trial.timeout));
  } else {
    const std::string words = last_words(trial.folder / "stderr");
    result.note =
        words.empty() ? end.text() + "; see " + (trial.folder / "stderr").string() : words;
  }
  return result;
}

}  // namespace ocoee::cli
