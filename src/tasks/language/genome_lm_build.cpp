// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/log.h"
#include "data/markov.h"
#include "tasks/language/genome_lm.h"
#include "tasks/language/language_build.h"

namespace ocoee::tasks {
namespace {

// Baselines take seconds and are the same on every rank: rank 0 counts, the others need only train.
void add_baselines(train::TrainerParts& parts, run::Context& context, const data::Split& split,
                   int64_t max_order) {
  parts.summary["headline_metric"] = "bits_per_base";
  parts.summary["headline_label"] = "held-out bits per base";
  if (max_order < 0 || context.world.rank() != 0) return;
  const auto scores =
      data::markov_baselines(split.training, split.held_out, static_cast<int>(max_order));
  const data::MarkovScore best = data::best_of(scores);
  nlohmann::json table = nlohmann::json::array();
  for (const data::MarkovScore& score : scores)
    table.push_back(
        {{"k", score.order}, {"alpha", score.alpha}, {"bits_per_base", score.bits_per_base}});
  parts.summary["markov"] = table;
  parts.summary["baselines"] = {{{"metric", "bits_per_base"},
                                 {"label", fmt::format("order-{} Markov", best.order)},
                                 {"value", best.bits_per_base}}};
  parts.summary["reference_label"] = fmt::format("best order-k Markov model (k = {})", best.order);
  parts.summary["reference_value"] = best.bits_per_base;
  context.events.emit(
      {"note",
       0,
       {{"text",
         fmt::format("baseline: the best order-k Markov model has k = {} and {:.4f} bits per base",
                     best.order, best.bits_per_base)}}});
}

}  // namespace

std::unique_ptr<run::Task> build_genome_lm(const run::TaskConfig& base, run::Context& context) {
  const auto& config = dynamic_cast<const GenomeLmConfig&>(base);
  LanguageData read =
      config.read_data(data::default_cache_folder(), window_options(config, context));
  auto parts = language_parts(config, context, std::move(read.windows), std::move(read.held_out),
                              "bits_per_base");
  add_baselines(parts, context, read.split, config.markov_order);
  return train::make_trainer(std::move(parts), context);
}

}  // namespace ocoee::tasks
