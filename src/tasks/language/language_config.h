// SPDX-License-Identifier: Apache-2.0
// What language-model tasks share in a recipe: model, batch, layout, precision, optimizer, train;
// and what can be said of a run before it starts.
#pragma once

#include <memory>
#include <string>

#include "models/gpt.h"
#include "optim/optimizer_config.h"
#include "plan/training_config.h"
#include "run/task.h"

namespace ocoee::tasks {

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
  std::shared_ptr<const plan::Planned> planned(int64_t ranks) const override;

  virtual int64_t vocabulary() const = 0;  // of the tokenizer, special tokens counted
  plan::ModelSpec model_spec() const { return models::build_gpt(model, vocabulary()); }

 protected:
  virtual void describe_task(config::Description& task) = 0;  // keys of [task] besides name
  virtual void check_task(config::Problems& problems) const = 0;

 private:
  std::string name_;
};

std::vector<std::string> language_axes();  // run::TaskType::axes of a language task

// The last sections of a language task's debug recipe: float32, some dropout-free steps at a high
// rate, and a checkpoint half-way.
std::string debug_language_training(int64_t steps);

// Looks for input files and says which are missing, each under its key.
void check_files(config::Problems& problems, const std::string& key,
                 const std::vector<std::string>& files);

}  // namespace ocoee::tasks
