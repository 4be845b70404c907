// SPDX-License-Identifier: Apache-2.0
// What must be equal for a run to go on in its directory: every value of the recipe but those
// marked may_change_on_resume (layout, steps, intervals).
#pragma once

#include <string>

#include "core/config.h"

namespace ocoee::run {

// One line a value, "section.key = value", in order; "  # default" behind values that are the
// default.
std::string stable_recipe(const config::Description& recipe);

// One line a value that differs, or "" when the run may go on. A key that only one of them knows
// counts as its default: programs of other versions know other keys.
std::string recipe_difference(const std::string& there, const std::string& now);

}  // namespace ocoee::run
