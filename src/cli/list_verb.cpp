// SPDX-License-Identifier: Apache-2.0
// ocoee list [tasks|optimizers|recipes]: what a recipe can name.
#include <cstdio>
#include <filesystem>

#include "cli/engine.h"
#include "cli/verbs.h"
#include "optim/optimizer_config.h"

namespace ocoee::cli {
namespace {

void list_tasks(const Tasks& tasks) {
  std::printf("tasks ([task] name = ...):\n");
  for (const run::TaskType& task : tasks) {
    std::printf(
        "  %-20s %s%s\n", task.name.c_str(), task.summary.c_str(),
        task.build || engine_is_elsewhere() ? "" : " (not in this build: it has no LibTorch)");
  }
}

void list_optimizers() {
  std::printf("optimizers ([optimizer] name = ...):\n");
  for (const auto& [name, summary] : optim::optimizer_names())
    std::printf("  %-20s %s\n", name.c_str(), summary.c_str());
}

void list_recipes() {
  std::printf("recipes:\n");
  if (!std::filesystem::is_directory("recipes")) {
    std::printf("  (no folder `recipes` here: run this from Ocoee's own folder)\n");
    return;
  }
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("recipes")) {
    if (entry.path().extension() == ".toml") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) std::printf("  %s\n", path.c_str());
}

}  // namespace

void add_list(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto what = std::make_shared<std::string>();
  CLI::App* verb = program.add_subcommand("list", "tasks, optimizers and recipes");
  verb->add_option("what", *what, "tasks, optimizers or recipes; all without it")
      ->check(CLI::IsMember({"tasks", "optimizers", "recipes"}));
  verb->callback([&tasks, &chosen, what] {
    chosen = [&tasks, what] {
      if (what->empty() || *what == "tasks") list_tasks(tasks);
      if (what->empty() || *what == "optimizers") list_optimizers();
      if (what->empty() || *what == "recipes") list_recipes();
      return 0;
    };
  });
}

}  // namespace ocoee::cli
