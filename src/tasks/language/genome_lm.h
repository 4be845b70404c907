// SPDX-License-Identifier: Apache-2.0
// A language model of genomes: tokens at random offsets on both strands of the training part; bits
// per base on the held-out part, beside the best order-k Markov model of the same split.
#pragma once

#include "tasks/language/language_config.h"

namespace ocoee::tasks {

class GenomeLmConfig final : public LanguageConfig {
 public:
  std::vector<std::string> fasta;
  std::vector<std::string> extra_fasta;  // training only
  std::string tokens = "codon";
  int64_t k = 3;
  double held_out = 0.1;
  bool both_strands = true;
  int64_t markov_order = 12;  // baselines for k = 0 .. this; -1 = none

  int64_t vocabulary() const override;
  LanguageData read_data(const std::filesystem::path& cache,
                         data::WindowOptions options) const override;

 protected:
  void describe_task(config::Description& task) override;
  void check_task(config::Problems& problems) const override;
};

std::unique_ptr<run::Task> build_genome_lm(const run::TaskConfig& config, run::Context& context);

}  // namespace ocoee::tasks
