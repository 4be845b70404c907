// SPDX-License-Identifier: Apache-2.0
// What `ocoee run --check` does with a hostile recipe of any task, on any number of ranks: it is
// refused with an Error, or it can be said what would happen. Nothing else leaves these functions.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/recipe.h"
#include "core/config.h"
#include "core/error.h"
#include "fuzz/recipe_folder.h"
#include "tasks/registry.h"

using namespace ocoee;

// The first line may say for how many ranks.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const testing_support::RecipeFolder folder;
  static const cli::Tasks tasks = tasks::builtin_tasks();
  const std::string text(reinterpret_cast<const char*>(data), size), mark = "#!ranks ";
  const int named = text.rfind(mark, 0) == 0 ? std::atoi(text.c_str() + mark.size()) : 1;
  const int ranks = named < 1 || named > 1'000'000 ? 1 : named;
  try {
    const std::unique_ptr<cli::Recipe> recipe =
        cli::read_recipe(tasks, config::Document::from_text(text, "fuzz.toml"), "fuzz.toml", ranks);
    const nlohmann::json preview = recipe->task->preview(recipe->run, ranks);
    if (preview.at("lines").empty()) std::abort();
    preview.dump();  // refuses text that is not UTF-8
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) std::abort();
  }
  return 0;
}
