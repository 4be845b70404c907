// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/genome_lm.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "data/tokenizer.h"
#include "tasks/builders.h"
#include "tasks/registry.h"

namespace ocoee::tasks {

void GenomeLmConfig::describe_task(config::Description& task) {
  task.field(
          "fasta", fasta,
          "genomes, FASTA as it is or gzipped; the held-out part is the last of all their letters")
      .required()
      .names_files();
  task.field("extra_fasta", extra_fasta,
             "more genomes, for training only; keep relatives of the held-out part away")
      .names_files();
  task.field("tokens", tokens, "what one token is").choices({"nucleotide", "codon", "kmer"});
  task.field("k", k, "bases per token")
      .at_least(1)
      .at_most(10)
      .unit("bases")
      .acts_where("tokens = kmer", [this] { return tokens == "kmer"; });
  task.field("held_out", held_out, "last fraction of the letters, scored and never trained on")
      .above(0)
      .at_most(0.9);
  task.field("both_strands", both_strands, "train on the reverse complement as well");
  task.field("markov_order", markov_order,
             "order-k Markov baselines for k = 0 up to this; -1 = none")
      .at_least(-1)
      .at_most(13);
}

void GenomeLmConfig::check_task(config::Problems& problems) const {
  check_files(problems, "task.fasta", fasta);
  if (!extra_fasta.empty()) check_files(problems, "task.extra_fasta", extra_fasta);
}

int64_t GenomeLmConfig::vocabulary() const {
  return data::make_tokenizer(tokens, static_cast<int>(k))->vocabulary();
}

LanguageData GenomeLmConfig::read_data(const std::filesystem::path& cache,
                                       data::WindowOptions options) const {
  std::vector corpora{data::Corpus::from_fasta(fasta, cache)};
  if (!extra_fasta.empty()) corpora.push_back(data::Corpus::from_fasta(extra_fasta, cache));
  data::require_different(corpora);
  LanguageData out = split_data("base", corpora, held_out);
  data::Part training = out.split.training;
  if (!extra_fasta.empty()) training = data::joined(std::move(training), data::whole(corpora[1]));
  options.both_strands = both_strands;
  add_windows(out, std::move(training), data::make_tokenizer(tokens, static_cast<int>(k)), options);
  return out;
}

namespace {

// A repeat of 30 bases, to be learned by heart.
run::DebugRecipe debug_genome_lm(const std::filesystem::path& folder) {
  std::string sequence;
  for (int i = 0; i < 60; ++i) sequence += "ACGGTCATTGCAAGTCCGATTAGCGTACTG";
  write_file_atomically(folder / "repeat.fasta", ">repeat\n" + sequence + "\n");
  return {fmt::format("version = 1\n"
                      "[task]\nname = \"genome_lm\"\nfasta = [\"{}\"]\nboth_strands = false\n"
                      "markov_order = 2\n"
                      "[model]\nstyle = \"llama\"\nlayers = 1\nwidth = 32\nheads = 2\n"
                      "context = 24\n{}",
                      (folder / "repeat.fasta").string(), debug_language_training(60)),
          "loss", 0.5};
}

}  // namespace

run::TaskType genome_lm_task() {
  return {"genome_lm",
          "a language model of genomes: FASTA in, held-out bits per base out",
          [] { return std::make_unique<GenomeLmConfig>(); },
          builder_of("genome_lm"),
          debug_genome_lm,
          language_axes()};
}

}  // namespace ocoee::tasks
