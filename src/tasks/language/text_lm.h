// SPDX-License-Identifier: Apache-2.0
// A byte-level language model of any files.
#pragma once

#include "tasks/language/language_config.h"

namespace ocoee::tasks {

class TextLmConfig final : public LanguageConfig {
 public:
  std::vector<std::string> files;
  double held_out = 0.1;
  int64_t padded_vocabulary = 0;

  int64_t vocabulary() const override;
  LanguageData read_data(const std::filesystem::path& cache,
                         data::WindowOptions options) const override;

 protected:
  void describe_task(config::Description& task) override;
  void check_task(config::Problems& problems) const override;
};

std::unique_ptr<run::Task> build_text_lm(const run::TaskConfig& config, run::Context& context);

}  // namespace ocoee::tasks
