// SPDX-License-Identifier: Apache-2.0
#include "cli/model_score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "data/windows.h"

namespace ocoee::cli {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// One row of a batch of pairs: reference, then alternative.
struct Pair {
  std::vector<int64_t> reference, alternative;  // context + 1 tokens
  size_t words = 0, changed = 0;
};

std::vector<int64_t> padded(const std::string& letters, const data::Tokenizer& tokenizer,
                            size_t context) {
  std::vector<int64_t> row{data::kBegin};
  const auto words = tokenizer.encode(letters);
  row.insert(row.end(), words.begin(), words.end());
  row.resize(context + 1, data::kPad);
  return row;
}

// What comes before the changed word is the same in both, and a causal model cannot see what comes
// after a word.
double ratio_of(const Pair& pair, const double* reference, const double* alternative) {
  if (pair.reference[pair.changed + 1] == data::kUnknown ||
      pair.alternative[pair.changed + 1] == data::kUnknown)
    return kNone;
  double sum = 0;
  for (size_t i = pair.changed; i < pair.words; ++i) {
    if (pair.reference[i + 1] != data::kUnknown) sum += alternative[i] - reference[i];
  }
  return sum;
}

std::string number(double value) {
  return std::isnan(value) ? "NA" : fmt::format("{:.6f}", value);
}

}  // namespace

double RecordScore::bits_per_letter() const {
  return letters == 0 ? kNone : -log_likelihood / std::log(2.0) / static_cast<double>(letters);
}

std::vector<RecordScore> score_records(LanguageModel& model,
                                       const std::shared_ptr<const data::Tokenizer>& tokenizer,
                                       const std::shared_ptr<const data::Corpus>& corpus) {
  std::vector<RecordScore> scores;
  data::Part part;
  part.owners.push_back(corpus);
  bool has_words = false;
  for (const auto& record : corpus->records()) {
    scores.push_back({record.name});
    part.segments.push_back({record.letters, record.name, 0});
    has_words |= data::known_words(*tokenizer, record.letters) > 0;
  }
  if (!has_words) return scores;
  const data::HeldOutSource windows(std::move(part), tokenizer, model.context());
  const auto length = static_cast<size_t>(model.context());
  for (int64_t first = 0; first < windows.size(); first += model.good_rows()) {
    const auto rows = static_cast<size_t>(std::min(model.good_rows(), windows.size() - first));
    std::vector<int64_t> tokens(rows * (length + 1));
    std::vector<float> weights(rows * length);
    for (size_t r = 0; r < rows; ++r)
      windows.fill(first + static_cast<int64_t>(r),
                   {tokens.data() + r * (length + 1), weights.data() + r * length});
    const std::vector<double> logs = model.log_likelihoods(tokens, static_cast<int64_t>(rows));
    for (size_t r = 0; r < rows; ++r) {
      RecordScore& score = scores[windows.segment_of(first + static_cast<int64_t>(r))];
      for (size_t i = r * length; i < (r + 1) * length; ++i) {
        if (weights[i] == 0) continue;
        score.log_likelihood += logs[i];
        score.letters += tokenizer->letters_per_token();
      }
    }
  }
  return scores;
}

VariantWindow window_around(size_t record_letters, size_t position, size_t letters_per_token,
                            size_t context) {
  const size_t words = record_letters / letters_per_token;
  if (words == 0) return {};
  // Past the last whole word: count the words from the record's end instead.
  const size_t shift =
      position < words * letters_per_token ? 0 : record_letters - words * letters_per_token;
  const size_t changed = (position - shift) / letters_per_token;
  const size_t count = std::min(context, words);
  const size_t first = std::min(changed - std::min(changed, count / 2), words - count);
  return {shift + first * letters_per_token, count * letters_per_token, changed - first};
}

std::vector<double> score_substitutions(LanguageModel& model, const data::Tokenizer& tokenizer,
                                        const data::Corpus& corpus,
                                        const std::vector<data::Substitution>& substitutions) {
  const std::vector<size_t> places = data::locate(substitutions, corpus);
  const auto context = static_cast<size_t>(model.context());
  const auto word_letters = static_cast<size_t>(tokenizer.letters_per_token());
  std::vector<double> ratios(substitutions.size(), kNone);
  const auto at_once = static_cast<size_t>(std::max<int64_t>(1, model.good_rows() / 2));
  for (size_t first = 0; first < substitutions.size(); first += at_once) {
    const size_t last = std::min(first + at_once, substitutions.size());
    std::vector<Pair> pairs;
    std::vector<int64_t> tokens;
    for (size_t i = first; i < last; ++i) {
      const std::string_view letters = corpus.records()[places[i]].letters;
      const auto position = static_cast<size_t>(substitutions[i].position - 1);
      const VariantWindow window = window_around(letters.size(), position, word_letters, context);
      std::string seen(letters.substr(window.begin, window.letters));
      Pair& pair = pairs.emplace_back();
      pair.words = window.letters / word_letters, pair.changed = window.word;
      pair.reference = padded(seen, tokenizer, context);
      if (!seen.empty()) seen[position - window.begin] = substitutions[i].alternative;
      pair.alternative = padded(seen, tokenizer, context);
      for (const auto* row : {&pair.reference, &pair.alternative})
        tokens.insert(tokens.end(), row->begin(), row->end());
    }
    const std::vector<double> logs =
        model.log_likelihoods(tokens, static_cast<int64_t>(2 * pairs.size()));
    for (size_t i = 0; i < pairs.size(); ++i) {
      const double* reference = logs.data() + 2 * i * context;
      if (pairs[i].words > 0)
        ratios[first + i] = ratio_of(pairs[i], reference, reference + context);
    }
  }
  return ratios;
}

std::string records_table(const std::vector<RecordScore>& scores, bool is_text) {
  std::string out =
      is_text ? "record\tbytes_scored\tbits_per_byte\n" : "record\tbases_scored\tbits_per_base\n";
  for (const RecordScore& s : scores)
    out += fmt::format("{}\t{}\t{}\n", s.record, s.letters, number(s.bits_per_letter()));
  return out;
}

std::string substitutions_table(const std::vector<data::Substitution>& substitutions,
                                const std::vector<double>& ratios) {
  std::string out = "record\tposition\treference\talternative\tlog_likelihood_ratio\n";
  for (size_t i = 0; i < ratios.size(); ++i) {
    const data::Substitution& s = substitutions[i];
    out += fmt::format("{}\t{}\t{}\t{}\t{}\n", s.record, s.position, s.reference, s.alternative,
                       number(ratios[i]));
  }
  return out;
}

}  // namespace ocoee::cli
