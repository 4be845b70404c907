// SPDX-License-Identifier: Apache-2.0
// Scores under a trained language model: bits per letter of whole records, and log-likelihood
// ratios of substitutions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/model.h"
#include "data/corpus.h"
#include "data/substitutions.h"
#include "data/tokenizer.h"

namespace ocoee::cli {

struct RecordScore {
  std::string record;
  int64_t letters = 0;  // scored; words with a letter other than A C G T are not, nor a piece of a
                        // word at the end
  double log_likelihood = 0;       // natural log
  double bits_per_letter() const;  // NaN when nothing was scored
};
// Each record in windows of the model's context without overlap, each led by the begin token, as
// the held-out part of a run is scored. In the order of the corpus.
std::vector<RecordScore> score_records(LanguageModel& model,
                                       const std::shared_ptr<const data::Tokenizer>& tokenizer,
                                       const std::shared_ptr<const data::Corpus>& corpus);

// The words in which a substitution is seen: as many as the context holds, with the changed one in
// the middle where the record allows, in the frame of the record's first letter. A letter in the
// incomplete word at a record's end is seen in windows that end with the record.
struct VariantWindow {
  size_t begin = 0,
         letters = 0;  // within the record; whole words; 0 letters: the record has no whole word
  size_t word = 0;     // the changed one, from the window's first
};
VariantWindow window_around(size_t record_letters, size_t position, size_t letters_per_token,
                            size_t context);

// ln p(window with the alternative) - ln p(window with the reference), for each substitution. NaN
// where the changed word holds another letter than A C G T. Throws Error(data) on one that does not
// fit the corpus.
std::vector<double> score_substitutions(LanguageModel& model, const data::Tokenizer& tokenizer,
                                        const data::Corpus& corpus,
                                        const std::vector<data::Substitution>& substitutions);

// Tab-separated, with a header line.
std::string records_table(const std::vector<RecordScore>& scores, bool is_text);
std::string substitutions_table(const std::vector<data::Substitution>& substitutions,
                                const std::vector<double>& ratios);

}  // namespace ocoee::cli
