// SPDX-License-Identifier: Apache-2.0
// The half of a task that sees torch, by task name. A program built without LibTorch has none: its
// tasks can be described, checked and planned, and say so when asked to run.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "run/task.h"

namespace ocoee::tasks {

using Builder = std::function<std::unique_ptr<run::Task>(const run::TaskConfig&, run::Context&)>;
Builder builder_of(const std::string& task);  // empty when there is none

}  // namespace ocoee::tasks
