// SPDX-License-Identifier: Apache-2.0
// ocoee help [SECTION]: the keys of a recipe, from the same descriptions that read it.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/recipe.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/text.h"

namespace ocoee::cli {
namespace {

struct Options {
  std::string section, task = "genome_lm", format = "text";
};

int help(const CLI::App& program, const Tasks& tasks, const Options& options) {
  if (options.section.empty() && options.format == "text") {
    std::fputs(program.help().c_str(), stdout);
    std::printf("\nSections of a recipe (`ocoee help SECTION [--task NAME]` lists the keys):\n");
  }
  const run::TaskType& task = find_task(tasks, options.task, "command line");
  DescribedRecipe recipe(task);
  if (options.format == "markdown") {
    std::fputs(config::to_markdown(recipe.description, "").c_str(), stdout);
    return 0;
  }
  if (options.format == "schema") {
    nlohmann::json schema = config::to_json_schema(recipe.description);
    schema["properties"]["version"] = {{"const", 1}};
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    std::printf("%s\n", schema.dump(2).c_str());
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& [name, section] : recipe.description.sections()) {
    names.push_back(name);
    if (options.section.empty()) std::printf("  [%s]  %s\n", name.c_str(), section->doc().c_str());
    if (options.section == name) {
      std::fputs(config::help_text(*section, name).c_str(), stdout);
      return 0;
    }
  }
  if (options.section.empty()) return 0;
  const std::string near = nearest(options.section, names);
  fail(ErrorKind::config, "command line: task {} has no section '{}'\n    fix: {}", options.task,
       options.section,
       near.empty() ? "one of " + join(names, ", ") : fmt::format("did you mean '{}'?", near));
}

}  // namespace

void add_help(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("help", "the keys of a recipe's sections");
  verb->add_option("section", options->section,
                   "run, task, model, batch, layout, precision, optimizer, train");
  verb->add_option("--task", options->task, "the task whose sections are meant")
      ->capture_default_str();
  verb->add_option("--format", options->format,
                   "text, markdown (the reference pages) or schema (JSON Schema)")
      ->check(CLI::IsMember({"text", "markdown", "schema"}))
      ->capture_default_str();
  verb->callback([&program, &tasks, &chosen, options] {
    chosen = [&program, &tasks, options] { return help(program, tasks, *options); };
  });
}

}  // namespace ocoee::cli
