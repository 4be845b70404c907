// SPDX-License-Identifier: Apache-2.0
// A layout as overrides of a recipe: "layout.tensor=4", "batch.micro=2", ...
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/system.h"

namespace ocoee::plan {

// Of a recipe whose own layout is `recipe`, the keys that differ; where that is not known, all that
// act. batch.micro is an upper limit, so it is always among them.
std::vector<std::string> overrides_of(const Configuration& c,
                                      const std::optional<Configuration>& recipe);

}  // namespace ocoee::plan
