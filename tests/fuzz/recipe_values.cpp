// SPDX-License-Identifier: Apache-2.0
// recipe_values FOLDER...: every key of every recipe in the folders at values that nobody means, on
// one rank, or on many where its first line names ranks: `ocoee run --check` refuses with an Error
// or says what would happen.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/recipe.h"
#include "core/config.h"
#include "core/error.h"
#include "core/file.h"
#include "fuzz/recipe_folder.h"
#include "tasks/registry.h"

using namespace ocoee;

namespace {

const std::vector<std::string> kValues{"0",
                                       "-1",
                                       "1",
                                       "2",
                                       "3",
                                       "7",
                                       "64",
                                       "1000",
                                       "1000000007",
                                       "9223372036854775807",
                                       "1e-9",
                                       "0.5",
                                       "1e300",
                                       "-1e9",
                                       "nan",
                                       "inf",
                                       "true",
                                       "\"\"",
                                       "\"x\"",
                                       "\"../letters.fa\"",
                                       "[]",
                                       "[0]",
                                       "[1, 1]",
                                       "[-1]",
                                       "[1e9]",
                                       "[1000000007]",
                                       "[\"\"]",
                                       "[\"letters.fa\"]",
                                       "[[1, 2], [3, 4]]"};

void keys_of(const config::Description& description, const std::string& prefix,
             std::vector<std::string>& keys) {
  for (const config::Field& field : description.fields()) keys.push_back(prefix + field.name);
  for (const auto& [name, section] : description.sections())
    keys_of(*section, prefix + name + ".", keys);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s FOLDER...\n", argv[0]), 2;
  std::vector<std::string> seeds;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i]))
      seeds.push_back(read_file(entry.path()));
  }
  const testing_support::RecipeFolder folder;
  const cli::Tasks tasks = tasks::builtin_tasks();
  int64_t refused = 0, told = 0;
  for (const std::string& seed : seeds) {
    const std::string mark = "name = \"";
    const size_t at = seed.find(mark, seed.find("[task]")) + mark.size();
    const run::TaskType& type = cli::find_task(tasks, seed.substr(at, seed.find('"', at) - at), "");
    const std::vector<int> several =
        seed.rfind("#!ranks", 0) == 0 ? std::vector<int>{8, 4096} : std::vector<int>{1};
    std::vector<std::string> keys;
    keys_of(cli::DescribedRecipe(type).description, "", keys);
    for (const std::string& key : keys) {
      for (const std::string& value : kValues) {
        for (const int ranks : several) {
          try {
            config::Document document = config::Document::from_text(seed, "recipe.toml");
            document.override_value(key + "=" + value);
            const auto recipe = cli::read_recipe(tasks, document, "recipe.toml", ranks);
            recipe->task->preview(recipe->run, ranks).dump();
            ++told;
          } catch (const std::exception& error) {
            const Error* known = dynamic_cast<const Error*>(&error);
            if (known && known->kind() != ErrorKind::internal) {
              ++refused;
              continue;
            }
            std::printf("%s=%s on %d ranks of\n%s\nends with: %s\n", key.c_str(), value.c_str(),
                        ranks, seed.c_str(), error.what());
            return 1;
          }
        }
      }
    }
  }
  std::printf("%zu recipes: %lld refused, %lld told\n", seeds.size(),
              static_cast<long long>(refused), static_cast<long long>(told));
  return refused > 0 && told > 0 ? 0 : 1;
}
