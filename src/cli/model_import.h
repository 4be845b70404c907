// SPDX-License-Identifier: Apache-2.0
// A Hugging Face model as a run of Ocoee: a recipe, and a checkpoint of step 0 to go on from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/verbs.h"
#include "comm/world.h"
#include "tasks/language/interchange_files.h"

namespace ocoee::cli {

struct ImportOptions {
  std::filesystem::path from,
      to;  // a folder of transformers; a run directory that is not there yet
  std::vector<std::string> files;  // what the recipe trains on: FASTA, or any files for byte tokens
  std::string tokens;              // "" = as key_map.json says, or by the size of the vocabulary
  int64_t k = 0;
};

// The tokenizer whose vocabulary has that size: nucleotide 9, codon 69, kmer 4^k + 5, byte 261.
// Throws Error(config).
tasks::TokenNames tokens_of_vocabulary(int64_t vocabulary);

// The recipe, as TOML: sections run, task and model; the others keep their defaults.
std::string imported_recipe(const ImportOptions& options, const tasks::ForeignModel& model,
                            const tasks::TokenNames& tokens);

// Returns the path of the recipe. The ranks of `world` share the state that the checkpoint is made
// of, each reading the boxes that it holds (collective); null: this process alone.
std::filesystem::path import_model(const Tasks& tasks, const ImportOptions& options,
                                   comm::World* world = nullptr);

}  // namespace ocoee::cli
