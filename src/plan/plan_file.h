// SPDX-License-Identifier: Apache-2.0
// A plan as JSON: plan.json, which the HTML page is made of. Seconds, bytes, tokens; shares are of
// one. Written by `ocoee plan`, and in part by `ocoee run` into its run directory.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plan/explain.h"
#include "plan/search.h"
#include "plan/what_if.h"

namespace ocoee::plan {

// One layout and what is predicted of it.
nlohmann::json proposal_json(Predictor& predictor, const Configuration& configuration,
                             const Prediction& prediction);

struct PlanRequest {
  SearchRequest search;
  std::optional<Configuration> own;   // the layout that the recipe has, beside the proposals
  std::string own_problem;            // why it has none
  double tokens = 0;                  // to train on; 0: not asked
  Seconds checkpoint_interval{1800};  // as run.checkpoint_interval
};

struct Plan {
  SearchResult found;
  nlohmann::json json;
};
Plan make_plan(Predictor& predictor, const PlanRequest& request);

// Of a device: what a rank holds of what it may, and by how much that is too much.
std::string memory_words(double bytes, double usable);

// "bfloat16 with its gradients, products in float8".
std::string type_words(const Workload& workload);
// Beside a plan whose machine does not know them; else "".
std::string float8_note(const Workload& workload, const Machine& machine);
// Where the profile does not say what is reached of its peaks, so that times are bounds; else "".
std::string ideal_note(const Machine& machine, int64_t devices);

}  // namespace ocoee::plan
