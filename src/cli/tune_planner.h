// SPDX-License-Identifier: Apache-2.0
// What the planner expects of a tuner's points: the truth of `ocoee tune --simulate`, and where
// real trials begin.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cli/verbs.h"
#include "plan/machine.h"
#include "plan/tune/knobs.h"

namespace ocoee::cli {

class TunePlanner {
 public:
  // Throws Error(config) when the machine is not known.
  TunePlanner(const Tasks& tasks, std::string recipe, std::vector<std::string> overrides, int ranks,
              const std::string& machine, const plan::KnobSpace& space);

  struct Expected {
    double seconds = 0;  // of a step; 0: it cannot be
    bool fits = false;
    std::string problem;  // why it cannot be
    double memory = 0;    // share of what a device can hold; 0: not known
  };
  // Throws Error(config) for a task whose layers no plan knows, and for a point that its recipe
  // refuses.
  const Expected& at(const plan::Point& point);
  // The quickest `count` that fit, of the points that `admissible` lets through; of those that act
  // alike, one.
  std::vector<plan::Point> first(size_t count,
                                 const std::function<bool(const plan::Point&)>& admissible,
                                 const std::function<std::string(const plan::Point&)>& canonical);

 private:
  Expected predict(const plan::Point& point) const;
  const Tasks& tasks_;
  std::string recipe_;
  std::vector<std::string> overrides_;
  int ranks_;
  plan::Machine machine_;
  plan::KnobSpace space_;
  std::unordered_map<uint64_t, Expected> known_;
};

}  // namespace ocoee::cli
