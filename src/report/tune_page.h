// SPDX-License-Identifier: Apache-2.0
// The page of a tuner's search: how the best value fell, which knobs matter, what was tried.
#pragma once

#include <string>
#include <vector>

namespace ocoee::report {

struct TuneTrial {
  std::vector<std::string> values;  // of the knobs, as written in a recipe
  bool ok = false;
  double value = 0;  // of the metric
  double seconds = 0;
  std::string note;
};

struct TuneSearch {
  std::string title;   // recipe and method
  std::string source;  // one sentence: where the values come from
  std::string metric;  // "tokens_per_second"
  bool higher_is_better = true;
  std::vector<std::string> knobs;
  std::vector<double> importance;  // shares by knob; empty: too few trials
  std::vector<TuneTrial> trials;   // in the order of their start
  std::string best_command;        // runs the recipe with the best settings; empty: none yet
};

std::string tune_page(const TuneSearch& search);

}  // namespace ocoee::report
