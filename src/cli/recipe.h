// SPDX-License-Identifier: Apache-2.0
// A recipe with its meaning: read once, checked once, every problem told at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/verbs.h"
#include "core/config.h"
#include "run/task.h"

namespace ocoee::cli {

// The sections of a task, described over values that live here.
struct DescribedRecipe {
  explicit DescribedRecipe(const run::TaskType& task);
  run::RunConfig run;
  std::unique_ptr<run::TaskConfig> task;
  config::Description description;
};

struct Recipe : DescribedRecipe {
  Recipe(const run::TaskType& of_type, std::string from)
      : DescribedRecipe(of_type), type(&of_type), path(std::move(from)) {}
  const run::TaskType* type;
  std::string path;
};

// Reads RECIPE with its overrides for a launch of `ranks`; throws Error(config) with all problems.
std::unique_ptr<Recipe> read_recipe(const Tasks& tasks, const std::string& path,
                                    const std::vector<std::string>& overrides, int ranks);
std::unique_ptr<Recipe> read_recipe(const Tasks& tasks, const config::Document& document,
                                    const std::string& path, int ranks);

// What it acts as on `ranks`: the same text for recipes whose runs are the same.
std::string canonical(std::unique_ptr<Recipe> recipe, int ranks);

// The line that runs it so: "mpirun -n 2 ocoee run RECIPE KEY=VALUE ...".
std::string run_command(const std::string& launcher, const std::string& recipe,
                        const std::vector<std::string>& overrides,
                        const std::vector<std::string>& more);

}  // namespace ocoee::cli
