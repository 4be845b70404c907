// SPDX-License-Identifier: Apache-2.0
// What a run directory of a language task says of its model: the recipe, the tokenizer, the
// checkpoint.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "cli/recipe.h"
#include "data/tokenizer.h"
#include "tasks/language/interchange_files.h"
#include "tasks/language/language_config.h"

namespace ocoee::cli {

struct TrainedRun {
  std::unique_ptr<DescribedRecipe> recipe;
  const tasks::LanguageConfig* config = nullptr;  // in `recipe`
  tasks::TokenNames token_names;
  std::shared_ptr<const data::Tokenizer> tokenizer;
  std::filesystem::path checkpoint;
  bool is_text() const { return token_names.name == "byte"; }
};

inline constexpr int64_t kNewestStep = -1, kBestStep = -2;  // whole; of the best evaluation

// The files a recipe trains on need not be there any more.
// Throws Error(data) where `folder` holds no run or no such checkpoint, Error(config) where the run
// is of another task.
// `world`: ranks that verify the checkpoint together; null: this process alone.
TrainedRun open_run(const Tasks& tasks, const std::filesystem::path& folder, int64_t step,
                    comm::Communicator* world = nullptr);

// Parameters of a checkpoint on the host, by our names; all of them without names.
tasks::HostTensors read_parameters(const tasks::LanguageConfig& config,
                                   const std::filesystem::path& checkpoint,
                                   const std::vector<std::string>& names = {});

}  // namespace ocoee::cli
