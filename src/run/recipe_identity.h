// SPDX-License-Identifier: Apache-2.0
// What must be equal for a run to go on in its directory: every value of the recipe but those
// marked may_change_on_resume (layout, steps, intervals), and what its input files hold.
#pragma once

#include <string>
#include <vector>

#include "core/config.h"

namespace ocoee::run {

// One line a value, "section.key = value", in order; "  # default" behind values that are the
// default.
std::string stable_recipe(const config::Description& recipe);

// The files that the recipe names as input, and one line each of them, "content of PATH = XXH64".
// A file that cannot be read has none: whoever opens it says why.
std::vector<std::string> input_files(const config::Description& recipe);
std::string content_lines(const std::vector<std::string>& files);

// One line a value that differs, or "" when the run may go on. A key that only one of them knows
// counts as its default: programs of other versions know other keys.
std::string recipe_difference(const std::string& there, const std::string& now);
bool differs_in_content_only(const std::string& difference);

}  // namespace ocoee::run
