// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/language_build.h"
#include "tasks/language/text_lm.h"

namespace ocoee::tasks {

std::unique_ptr<run::Task> build_text_lm(const run::TaskConfig& base, run::Context& context) {
  const auto& config = dynamic_cast<const TextLmConfig&>(base);
  const auto corpus = data::Corpus::from_text(config.files, data::default_cache_folder());
  data::require_different({corpus});
  const data::Split split = data::split_last(corpus, config.held_out);
  const auto tokenizer = data::make_tokenizer("byte");
  data::WindowOptions options;
  options.seed = static_cast<uint64_t>(context.run.seed);
  options.context = config.model.context;
  options.pieces = window_pieces(config, context.mesh);
  options.both_strands = false;
  auto windows = std::make_shared<data::WindowSource>(split.training, tokenizer, options);
  auto held_out = std::make_shared<data::HeldOutSource>(split.held_out, tokenizer,
                                                        config.model.context, options.pieces);
  auto parts =
      language_parts(config, context, std::move(windows), std::move(held_out), "bits_per_byte");
  parts.summary["headline_metric"] = "bits_per_byte";
  parts.summary["headline_label"] = "held-out bits per byte";
  return train::make_trainer(std::move(parts), context);
}

}  // namespace ocoee::tasks
