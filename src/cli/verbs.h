// SPDX-License-Identifier: Apache-2.0
// One function a verb: it adds its options to the command line and says what to do when chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "run/task.h"

namespace ocoee::cli {

using Tasks = std::vector<run::TaskType>;
using Action = std::function<int()>;  // set by the verb that was chosen; returns the exit code

void add_run(CLI::App& program, const Tasks& tasks, Action& chosen);
void add_plan(CLI::App& program, const Tasks& tasks, Action& chosen);
void add_report(CLI::App& program, Action& chosen);
void add_doctor(CLI::App& program, Action& chosen);
void add_list(CLI::App& program, const Tasks& tasks, Action& chosen);
void add_help(CLI::App& program, const Tasks& tasks, Action& chosen);
void add_data(CLI::App& program, Action& chosen);
void add_checkpoint(CLI::App& program, Action& chosen);
void add_alloy(CLI::App& program, Action& chosen);
void add_calibrate(CLI::App& program, Action& chosen);
void add_tune(CLI::App& program, const Tasks& tasks, Action& chosen);
void add_model_verbs(CLI::App& program, const Tasks& tasks,
                     Action& chosen);  // score, sample, export, import

// The answer of a verb, on standard output. Throws Error(file) when it cannot all be written.
void print_answer(const std::string& text);

// The task a recipe names, with its nearest name when it is unknown.
const run::TaskType& find_task(const Tasks& tasks, const std::string& name,
                               const std::string& recipe);

}  // namespace ocoee::cli
