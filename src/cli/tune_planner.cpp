// SPDX-License-Identifier: Apache-2.0
#include "cli/tune_planner.h"

#include <algorithm>
#include <set>

#include "cli/recipe.h"
#include "core/error.h"
#include "plan/predict.h"

namespace ocoee::cli {

TunePlanner::TunePlanner(const Tasks& tasks, std::string recipe, std::vector<std::string> overrides,
                         int ranks, const std::string& machine, const plan::KnobSpace& space)
    : tasks_(tasks),
      recipe_(std::move(recipe)),
      overrides_(std::move(overrides)),
      ranks_(ranks),
      machine_(plan::load_machine(machine)),
      space_(space) {}

TunePlanner::Expected TunePlanner::predict(const plan::Point& point) const {
  std::vector<std::string> all = overrides_;
  for (const std::string& one : space_.assignments(point)) all.push_back(one);
  const std::unique_ptr<Recipe> recipe = read_recipe(tasks_, recipe_, all, ranks_);
  const auto planned = recipe->task->planned(ranks_);
  if (!planned)
    fail(ErrorKind::config,
         "{}: task {} does not say what its layers cost, so the planner expects nothing of it\n    "
         "fix: leave --machine and --simulate out",
         recipe_, recipe->type->name);
  if (!planned->layout) return {0, false, "its ranks do not divide so"};
  plan::Predictor predictor(planned->workload, plan::system_named("ocoee"), machine_);
  if (std::string problem = predictor.problem(*planned->layout); !problem.empty())
    return {0, false, problem};
  const plan::Prediction p = predictor.simulate(*planned->layout);
  return {p.seconds, p.fits, p.fits ? "" : "it does not fit",
          p.total_bytes / predictor.usable_bytes()};
}

const TunePlanner::Expected& TunePlanner::at(const plan::Point& point) {
  const uint64_t number = space_.number(point);
  const auto found = known_.find(number);
  return found != known_.end() ? found->second
                               : known_.emplace(number, predict(point)).first->second;
}

std::vector<plan::Point> TunePlanner::first(
    size_t count, const std::function<bool(const plan::Point&)>& admissible,
    const std::function<std::string(const plan::Point&)>& canonical) {
  constexpr uint64_t kMost = 5000;  // every so many-th point of a larger space
  const auto points = static_cast<uint64_t>(space_.points());
  std::vector<std::pair<double, uint64_t>> fitting;
  for (uint64_t n = 0; n < points; n += points / kMost + 1) {
    const plan::Point point = space_.point(n);
    if (!admissible(point)) continue;
    if (const Expected& expected = at(point); expected.fits)
      fitting.emplace_back(expected.seconds, n);
  }
  std::sort(fitting.begin(), fitting.end());
  std::vector<plan::Point> out;
  std::set<std::string> taken;
  for (size_t i = 0; i < fitting.size() && out.size() < count; ++i) {
    plan::Point point = space_.point(fitting[i].second);
    if (taken.insert(canonical(point)).second) out.push_back(std::move(point));
  }
  return out;
}

}  // namespace ocoee::cli
