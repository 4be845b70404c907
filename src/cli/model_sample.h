// SPDX-License-Identifier: Apache-2.0
// Sequences drawn from a trained language model, word by word.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/model.h"
#include "data/tokenizer.h"

namespace ocoee::cli {

struct SampleOptions {
  int64_t length = 300;    // letters, the prompt counted
  int64_t count = 1;       // sequences
  double temperature = 1;  // logits are divided by it; 0 = always the likeliest word
  int64_t top_k = 0;       // draw among the k likeliest; 0 = all
  uint64_t seed = 1;
  std::string prompt;  // whole words
};

// The index drawn by `uniform` in [0, 1). Equal logits: the lower index is the likelier.
size_t choose(std::span<const float> logits, double temperature, int64_t top_k, double uniform);

// Throws Error(config): a prompt that is no whole number of known words or longer than `length`, a
// temperature that is no number.
void check_sample_options(const data::Tokenizer& tokenizer, const SampleOptions& options);

// Only words are drawn, no special ids. Sequence i takes its numbers from Purpose::sampling with id
// i, one a word, so it does not depend on `count`. Past the context, the model sees the begin token
// and the words before. Throws as check_sample_options does.
std::vector<std::string> sample_sequences(LanguageModel& model, const data::Tokenizer& tokenizer,
                                          const SampleOptions& options);

}  // namespace ocoee::cli
