// SPDX-License-Identifier: Apache-2.0
// A plan as `ocoee plan` shows it on the terminal.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace ocoee::plan {

// `plan`: as make_plan leaves it (plan/plan_file.h). A table of the proposals and of the recipe's
// own layout, and why the first is as it is.
std::string plan_text(const nlohmann::json& plan);

}  // namespace ocoee::plan
