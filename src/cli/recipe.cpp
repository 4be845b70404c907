// SPDX-License-Identifier: Apache-2.0
#include "cli/recipe.h"

#include <set>

#include "core/error.h"
#include "core/shell_word.h"
#include "core/text.h"

namespace ocoee::cli {

DescribedRecipe::DescribedRecipe(const run::TaskType& type) : task(type.config()) {
  run.describe(description.section(
      "run", "Where it runs and what it leaves behind; the same for every task."));
  task->describe(description);
}

namespace {

// The task that the recipe names, or where that is a problem, the one it may have meant; or null.
const run::TaskType* task_of(const Tasks& tasks, const config::Document& document,
                             config::Problems& problems) {
  std::vector<std::string> names;
  for (const run::TaskType& task : tasks) names.push_back(task.name);
  const auto find = [&](const std::string& name) -> const run::TaskType* {
    for (const run::TaskType& task : tasks) {
      if (task.name == name) return &task;
    }
    return nullptr;
  };
  const auto name = document.string_at("task.name");
  if (!name) {
    if (!document.contains("task.name"))
      problems.add_at(document.source_of("task.name"), "task.name",
                      "missing, so nothing says what to do",
                      "write [task] with name = \"genome_lm\"; `ocoee list tasks` shows the tasks");
    else
      problems.add_at(document.source_of("task.name"), "task.name", "expected a text in quotes",
                      "one of " + join(names, ", "));
    return nullptr;
  }
  if (const run::TaskType* type = find(*name)) return type;
  const std::string near = nearest(*name, names);
  problems.add_at(
      document.source_of("task.name"), "task.name", fmt::format("unknown task \"{}\"", *name),
      near.empty() ? "one of " + join(names, ", ") : fmt::format("did you mean \"{}\"?", near));
  return near.empty() ? nullptr : find(near);
}

std::vector<std::string> sections_of_any(const Tasks& tasks) {
  std::set<std::string> names;
  for (const run::TaskType& type : tasks) {
    const DescribedRecipe recipe(type);
    for (const auto& section : recipe.description.sections()) names.insert(section.first);
  }
  return {names.begin(), names.end()};
}

}  // namespace

std::unique_ptr<Recipe> read_recipe(const Tasks& tasks, const std::string& path,
                                    const std::vector<std::string>& overrides, int ranks) {
  config::Document document = config::Document::from_file(path);
  for (const std::string& assignment : overrides) document.override_value(assignment);
  return read_recipe(tasks, document, path, ranks);
}

std::unique_ptr<Recipe> read_recipe(const Tasks& tasks, const config::Document& document,
                                    const std::string& path, int ranks) {
  config::Problems problems;
  const run::TaskType* type = task_of(tasks, document, problems);
  // Whose recipe it is may be unknown: what every recipe has is checked nevertheless.
  problems.keep_first_of_a_key_from_here();
  if (!type) {
    run::RunConfig run;
    config::Description description;
    run.describe(description.section("run", ""));
    document.read(description, problems, sections_of_any(tasks));
    problems.throw_if_any();
  }
  auto recipe = std::make_unique<Recipe>(*type, path);
  document.read(recipe->description, problems);
  // A value that could not be read stands at its default, which is valid; what the checks across
  // keys find at such a key would only repeat it.
  problems.keep_first_of_a_key_from_here();
  recipe->run.check(problems);
  recipe->task->check(problems, recipe->run, ranks);
  problems.throw_if_any();
  return recipe;
}

std::string canonical(std::unique_ptr<Recipe> recipe, int ranks) {
  recipe->task->keep_what_acts(ranks);
  return config::to_toml_of_what_acts(recipe->description);
}

std::string run_command(const std::string& launcher, const std::string& recipe,
                        const std::vector<std::string>& overrides,
                        const std::vector<std::string>& more) {
  std::string command =
      (launcher.empty() ? "" : launcher + " ") + "ocoee run " + shell_word(recipe);
  for (const std::string& one : overrides) command += " " + shell_word(one);
  for (const std::string& one : more) command += " " + one;
  return command;
}

}  // namespace ocoee::cli
