// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/language_build.h"
#include "tasks/language/text_lm.h"

namespace ocoee::tasks {

std::unique_ptr<run::Task> build_text_lm(const run::TaskConfig& base, run::Context& context) {
  const auto& config = dynamic_cast<const TextLmConfig&>(base);
  LanguageData read =
      config.read_data(data::default_cache_folder(), window_options(config, context));
  auto parts = language_parts(config, context, std::move(read.windows), std::move(read.held_out),
                              "bits_per_byte");
  parts.summary["headline_metric"] = "bits_per_byte";
  parts.summary["headline_label"] = "held-out bits per byte";
  return train::make_trainer(std::move(parts), context);
}

}  // namespace ocoee::tasks
