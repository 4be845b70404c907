// SPDX-License-Identifier: Apache-2.0
#include "cli/recipe.h"

#include "core/error.h"

namespace ocoee::cli {

DescribedRecipe::DescribedRecipe(const run::TaskType& type) : task(type.config()) {
  run.describe(description.section(
      "run", "Where it runs and what it leaves behind; the same for every task."));
  task->describe(description);
}

std::unique_ptr<Recipe> read_recipe(const Tasks& tasks, const std::string& path,
                                    const std::vector<std::string>& overrides, int ranks) {
  config::Document document = config::Document::from_file(path);
  for (const std::string& assignment : overrides) document.override_value(assignment);
  const auto name = document.string_at("task.name");
  if (!name) {
    fail(ErrorKind::config,
         "{}: task.name: missing, so nothing says what to do\n    fix: write [task] with name = "
         "\"genome_lm\"; `ocoee list tasks` shows the tasks",
         path);
  }
  auto recipe = std::make_unique<Recipe>(find_task(tasks, *name, path), path);
  config::Problems problems;
  document.read(recipe->description, problems);
  // A value that could not be read stands at its default, which is valid; what the checks across
  // keys find at such a key would only repeat it.
  problems.keep_first_of_a_key_from_here();
  recipe->task->check(problems, recipe->run, ranks);
  problems.throw_if_any();
  return recipe;
}

}  // namespace ocoee::cli
