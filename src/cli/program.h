// SPDX-License-Identifier: Apache-2.0
// The program `ocoee`, as a function: an out-of-tree program calls it with tasks of its own.
#pragma once

#include <vector>

#include "run/task.h"

namespace ocoee::cli {

// Returns the exit code (core/error.h). `extra` tasks stand beside those that come with Ocoee.
int run_program(int argc, char** argv, const std::vector<run::TaskType>& extra);

}  // namespace ocoee::cli
