// SPDX-License-Identifier: Apache-2.0
// ocoee help [SECTION | KEY | VERB]: the keys of a recipe, from the same descriptions that read it;
// the options of a verb; the exit codes; the keys of a machine profile.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/recipe.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/text.h"
#include "plan/machine.h"

namespace ocoee::cli {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string section, task, format = "text";  // section: the words, with spaces between
};

void list_sections(const config::Description& d, const std::string& path,
                   std::vector<std::pair<std::string, const config::Description*>>& out) {
  for (const auto& [name, section] : d.sections()) {
    const std::string key = path.empty() ? name : path + "." + name;
    out.emplace_back(key, section.get());
    list_sections(*section, key, out);
  }
}

void print_exit_codes(bool markdown) {
  std::printf(markdown ? "| exit code | name | when |\n|---|---|---|\n| 0 | | done |\n"
                       : "Exit codes:\n   0  done\n");
  for (const ErrorKind kind : error_kinds())
    std::printf(markdown ? "| %d | %s | %s |\n" : "  %2d  %s: %s\n", exit_code(kind), name_of(kind),
                meaning_of(kind));
}

void print_sections(
    const std::string& task,
    const std::vector<std::pair<std::string, const config::Description*>>& sections) {
  std::printf("\nSections of a recipe of %s (`ocoee help SECTION [--task NAME]` lists the keys):\n",
              task.c_str());
  for (const auto& [name, section] : sections)
    std::printf("  [%s]  %s\n", name.c_str(), section->doc().c_str());
}

void print_schema(const config::Description& description) {
  nlohmann::json schema = config::to_json_schema(description);
  schema["properties"]["version"] = {{"const", 1}};
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  std::printf("%s\n", schema.dump(2).c_str());
}

void print_machine_keys(const std::string& format) {
  plan::Machine machine;
  config::Description description;
  machine.describe(description);
  if (format == "markdown") {
    std::fputs(config::to_markdown(description, "").c_str(), stdout);
  } else if (format == "schema") {
    print_schema(description);
  } else {
    std::vector<std::pair<std::string, const config::Description*>> sections;
    list_sections(description, "", sections);
    for (const auto& [name, section] : sections)
      std::printf("%s%s", section == sections.front().second ? "" : "\n",
                  config::help_text(*section, name).c_str());
  }
}

// The task that --task names, or that is itself asked about, or the first that has the section or
// key.
const run::TaskType& meant_task(const Tasks& tasks, const Options& options) {
  if (!options.task.empty()) return find_task(tasks, options.task, "command line");
  for (const run::TaskType& task : tasks) {
    if (task.name == options.section) return task;
  }
  for (const run::TaskType& task : tasks) {
    const DescribedRecipe recipe(task);
    std::vector<std::pair<std::string, const config::Description*>> sections;
    list_sections(recipe.description, "", sections);
    for (const auto& [name, section] : sections) {
      if (name == options.section) return task;
      for (const config::Field& field : section->fields())
        if (options.section == field.name || options.section == name + "." + field.name)
          return task;
    }
  }
  return find_task(tasks, "genome_lm", "command line");
}

int help(const CLI::App& program, const Tasks& tasks, const Options& options) {
  if (options.section == "exit-codes") {
    print_exit_codes(options.format == "markdown");
    return 0;
  }
  if (options.section == "machine-profile") {
    print_machine_keys(options.format);
    return 0;
  }
  const run::TaskType& task = meant_task(tasks, options);
  const DescribedRecipe recipe(task);
  if (options.format == "markdown") {
    std::fputs(config::to_markdown(recipe.description, "").c_str(), stdout);
    return 0;
  }
  if (options.format == "schema") {
    print_schema(recipe.description);
    return 0;
  }
  std::vector<std::pair<std::string, const config::Description*>> sections;
  list_sections(recipe.description, "", sections);
  if (options.section == task.name) {
    std::printf("%s\n", task.summary.c_str());
    print_sections(task.name, sections);
    return 0;
  }
  if (options.section.empty()) {
    // Not program.help(): that hands over to the verb that was read, which is this one.
    const auto overview =
        program.get_formatter()->make_help(&program, "ocoee", CLI::AppFormatMode::Normal);
    std::fputs(overview.c_str(), stdout);
    print_sections(task.name, sections);
    return 0;
  }
  std::set<std::string> all{"exit-codes", "machine-profile"};
  bool known = false;  // "run" is a section and a verb
  for (const auto& [name, section] : sections) {
    all.insert(name);
    if (options.section != name) continue;
    std::fputs(config::help_text(*section, name).c_str(), stdout);
    known = true;
  }
  const auto show = [&](const CLI::App* verb, const std::string& name, const std::string& before) {
    all.insert(name);
    if (options.section != name) return;
    std::printf("%s%s", known ? "\n" : "", verb->help(before).c_str());
    known = true;
  };
  for (const CLI::App* verb : program.get_subcommands(nullptr)) {
    show(verb, verb->get_name(), "ocoee");
    for (const CLI::App* second : verb->get_subcommands(nullptr))  // "checkpoint reshard"
      show(second, verb->get_name() + " " + second->get_name(), "ocoee " + verb->get_name());
  }
  for (const auto& [name, section] : sections) {  // a key, with or without its section
    if (known) break;
    for (const config::Field& field : section->fields()) {
      all.insert(field.name);
      all.insert(name + "." + field.name);
      if (options.section != field.name && options.section != name + "." + field.name) continue;
      std::fputs(config::help_text(*section, name).c_str(), stdout);
      known = true;
    }
  }
  if (known) return 0;
  const std::vector<std::string> names(all.begin(), all.end());
  const std::string near = nearest(options.section, names);
  fail(ErrorKind::config,
       "command line: '{}' is neither a section or key of task {} nor a verb\n    fix: {}",
       options.section, task.name,
       near.empty() ? "`ocoee help` shows the sections and verbs, `ocoee help SECTION` the keys"
                    : fmt::format("did you mean '{}'?", near));
}

}  // namespace

void add_help(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      program.add_subcommand("help", "the keys of a recipe's sections, or a verb's options");
  verb->add_option("what", options->words,
                   "a section (run, task, model, ...; optimizer.critic), a key, a task, a verb, "
                   "exit-codes, or machine-profile (the keys of machines/*.toml)");
  verb->add_option("--task", options->task,
                   "the task whose sections are meant; by default the first that has the section");
  verb->add_option("--format", options->format,
                   "text, markdown (the reference pages) or schema (JSON Schema)")
      ->check(CLI::IsMember({"text", "markdown", "schema"}))
      ->capture_default_str();
  verb->callback([&program, &tasks, &chosen, options] {
    options->section = join(options->words, " ");
    chosen = [&program, &tasks, options] { return help(program, tasks, *options); };
  });
}

}  // namespace ocoee::cli
