// SPDX-License-Identifier: Apache-2.0
// What language-model tasks share in a recipe: model, batch, layout, precision, optimizer, train;
// and what can be said of a run before it starts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/windows.h"
#include "models/gpt.h"
#include "optim/optimizer_config.h"
#include "plan/training_config.h"
#include "run/task.h"

namespace ocoee::tasks {

struct LanguageData {
  std::string letter;                // what one is: "base", "byte"
  int64_t records = 0, letters = 0;  // of all files
  data::Split split;                 // `windows` may read others besides its training part
  std::shared_ptr<data::WindowSource> windows;
  std::shared_ptr<data::HeldOutSource> held_out;
};

class LanguageConfig : public run::TaskConfig {
 public:
  models::GptConfig model;
  plan::BatchConfig batch;
  plan::LayoutConfig layout;
  plan::PrecisionConfig precision;
  optim::OptimizerConfig optimizer;
  plan::TrainConfig train;

  void describe(config::Description& recipe) override;
  void check(config::Problems& problems, const run::RunConfig& run, int ranks) const override;
  comm::Shape mesh(int ranks) const override;
  nlohmann::json preview(const run::RunConfig& run, int ranks) const override;
  void keep_what_acts(int ranks) override;
  std::string read_inputs() const override;
  std::shared_ptr<const plan::Planned> planned(int64_t ranks) const override;

  virtual int64_t vocabulary() const = 0;  // of the tokenizer, special tokens counted
  // What is trained on and scored, by stores in `cache`, or in memory where it is empty. The
  // task itself sets `options.both_strands`.
  virtual LanguageData read_data(const std::filesystem::path& cache,
                                 data::WindowOptions options) const = 0;
  plan::ModelSpec model_spec() const {
    return models::build_gpt(model, vocabulary(), layout.loss_chunks);
  }

 protected:
  virtual void describe_task(config::Description& task) = 0;  // keys of [task] besides name
  virtual void check_task(config::Problems& problems) const = 0;

 private:
  std::string name_;
};

// The last `held_out` of the letters of the first corpus is held out.
LanguageData split_data(const std::string& letter,
                        const std::vector<std::shared_ptr<const data::Corpus>>& corpora,
                        double held_out);
void add_windows(LanguageData& to, data::Part training,
                 const std::shared_ptr<const data::Tokenizer>& tokenizer,
                 const data::WindowOptions& options);

std::vector<std::string> language_axes();  // run::TaskType::axes of a language task

// The last sections of a language task's debug recipe: float32, some dropout-free steps at a high
// rate, and a checkpoint half-way.
std::string debug_language_training(int64_t steps);

// Looks for input files and says which are missing, each under its key.
void check_files(config::Problems& problems, const std::string& key,
                 const std::vector<std::string>& files);

}  // namespace ocoee::tasks
