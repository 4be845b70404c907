// SPDX-License-Identifier: Apache-2.0
// The page of a plan (plan.json of `ocoee plan`): the proposals, where their time and memory go,
// why, the timeline of the first, and what would change. One self-contained file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ocoee::report {

std::string plan_page(const nlohmann::json& plan);

}  // namespace ocoee::report
