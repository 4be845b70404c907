// SPDX-License-Identifier: Apache-2.0
// ocoee list [KIND]: what a recipe can name.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "cli/engine.h"
#include "cli/layers.h"
#include "cli/verbs.h"
#include "core/text.h"
#include "models/shapes.h"
#include "optim/optimizer_config.h"
#include "plan/machine.h"

namespace ocoee::cli {
namespace {

void line(const std::string& name, const std::string& text) {
  std::printf("  %-20s %s\n", name.c_str(), text.c_str());
}

void list_tasks(const Tasks& tasks) {
  std::printf("tasks ([task] name = ...):\n");
  for (const run::TaskType& task : tasks)
    line(task.name, task.summary + (task.build || engine_is_elsewhere()
                                        ? ""
                                        : " (not in this build: it has no LibTorch)"));
}

void list_optimizers(const Tasks&) {
  std::printf("optimizers ([optimizer] name = ...):\n");
  for (const auto& [name, summary] : optim::optimizer_names()) line(name, summary);
}

// Published shapes; [model] of a language model takes any.
void list_models(const Tasks&) {
  std::printf("models (published shapes):\n");
  for (const models::NamedShape& shape : models::named_shapes()) {
    const double parameters =
        static_cast<double>(models::build_gpt(shape.config, shape.vocabulary).parameters());
    line(shape.name,
         fmt::format("{:>7} parameters, {} layers, width {}; {}", format_count(parameters),
                     shape.config.layers, shape.config.width, shape.note));
  }
}

void list_layers(const Tasks&) {
  std::printf("layers (a model is an ordered list of them):\n");
  for (const auto& [kind, summary] : layers()) line(kind, summary);
}

// Those of the folder where the program runs, or those that were installed beside it.
std::filesystem::path recipe_folder() {
  std::error_code error;
  if (std::filesystem::is_directory("recipes", error)) return "recipes";
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto installed = program.parent_path().parent_path() / "share" / "ocoee" / "recipes";
  return std::filesystem::is_directory(installed, error) ? installed : "";
}

void list_recipes(const Tasks&) {
  std::printf("recipes:\n");
  const std::filesystem::path folder = recipe_folder();
  if (folder.empty()) {
    std::printf("  (no folder `recipes` here, and none was installed with this program)\n");
    return;
  }
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".toml") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) std::printf("  %s\n", path.c_str());
}

void list_machines(const Tasks&) {
  std::printf("machines (ocoee plan --machine ...):\n");
  for (const plan::BuiltinMachine& builtin : plan::builtin_machines()) {
    const plan::Machine machine = plan::load_machine(builtin.name);
    std::printf("  %-20s %s\n", builtin.name.c_str(), machine.note.c_str());
  }
}

struct List {
  const char* name;
  void (*print)(const Tasks&);
};
constexpr List kLists[] = {{"tasks", list_tasks},       {"models", list_models},
                           {"layers", list_layers},     {"optimizers", list_optimizers},
                           {"machines", list_machines}, {"recipes", list_recipes}};

}  // namespace

void add_list(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto what = std::make_shared<std::string>();
  std::vector<std::string> names;
  for (const List& list : kLists) names.emplace_back(list.name);
  CLI::App* verb = program.add_subcommand("list", join(names, ", "));
  verb->add_option("what", *what, "one of them; all without it")->check(CLI::IsMember(names));
  verb->callback([&tasks, &chosen, what] {
    chosen = [&tasks, what] {
      if (what->empty() || *what == "layers") enter_engine();  // LibTorch runs them
      for (const List& list : kLists) {
        if (what->empty() || *what == list.name) list.print(tasks);
      }
      return 0;
    };
  });
}

}  // namespace ocoee::cli
