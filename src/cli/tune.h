// SPDX-License-Identifier: Apache-2.0
// One trial of `ocoee tune`: a short run of a recipe as a child program, and what came of it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plan/tune/tuner.h"

namespace ocoee::cli {

// Rates and utilisations are to rise, everything else (times, bytes, losses) to fall.
bool higher_is_better(const std::string& metric);

struct TrialRun {
  std::vector<std::string> launcher;  // words before the program: mpirun -n 2
  std::string program;                // this program
  std::string recipe;                 // absolute path
  std::vector<std::string> assignments;
  std::filesystem::path folder;  // the trial's own
  std::string metric;
  double timeout = 600;  // seconds
};

struct TrialResult {
  plan::TrialOutcome outcome = plan::TrialOutcome::infeasible;
  double value = 0;  // of the metric: the median over the logged steps after the first
  double seconds = 0;
  std::string note;  // why it did not work
  plan::TrialMemory memory;
};

// Never throws for a run that fails; Error(config) when the launcher is no program.
TrialResult run_trial(const TrialRun& trial);

// What a finished run held at its fullest moment, of what its device has; 0 where it does not say.
double memory_of_run(const std::filesystem::path& run_directory);

// The metric of a finished run's metrics.jsonl; throws Error(data) when no step carries it.
double metric_of_run(const std::filesystem::path& run_directory, const std::string& metric);

}  // namespace ocoee::cli
