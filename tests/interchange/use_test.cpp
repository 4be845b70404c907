// SPDX-License-Identifier: Apache-2.0
// Scores and samples against a model whose probabilities are known: p(next | previous) of a fixed
// table.
#include <gtest/gtest.h>

#include <cmath>

#include "cli/model_import.h"
#include "cli/model_sample.h"
#include "cli/model_score.h"
#include "core/error.h"

namespace ocoee::cli {
namespace {

class Bigrams final : public LanguageModel {
 public:
  Bigrams(int64_t context, int64_t vocabulary) : context_(context), vocabulary_(vocabulary) {}
  int64_t context() const override { return context_; }
  int64_t vocabulary() const override { return vocabulary_; }
  double logit(int64_t previous, int64_t next) const {
    return std::sin(3.7 * static_cast<double>(previous) + 1.3 * static_cast<double>(next));
  }
  double log_p(int64_t previous, int64_t next) const {
    double sum = 0;
    for (int64_t i = 0; i < vocabulary_; ++i) sum += std::exp(logit(previous, i));
    return logit(previous, next) - std::log(sum);
  }
  std::vector<float> logits(const std::vector<int64_t>& tokens, int64_t rows,
                            bool only_last) override {
    const size_t length = tokens.size() / static_cast<size_t>(rows);
    EXPECT_LE(static_cast<int64_t>(length), context_);
    std::vector<float> out;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (only_last && (i + 1) % length != 0) continue;
      for (int64_t next = 0; next < vocabulary_; ++next)
        out.push_back(static_cast<float>(logit(tokens[i], next)));
    }
    return out;
  }
  std::vector<double> log_likelihoods(const std::vector<int64_t>& tokens, int64_t rows) override {
    const size_t length = tokens.size() / static_cast<size_t>(rows);
    std::vector<double> out;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if ((i + 1) % length != 0) out.push_back(log_p(tokens[i], tokens[i + 1]));
    }
    return out;
  }

 private:
  int64_t context_, vocabulary_;
};

std::shared_ptr<const data::Corpus> corpus_of(std::vector<data::FastaRecord> records) {
  return data::Corpus::from_records(std::move(records));
}

TEST(Score, RecordsAreScoredWordByWordInWindowsWithABeginToken) {
  Bigrams model(4, 9);
  const auto tokenizer = data::make_tokenizer("nucleotide");
  const std::string letters =
      "ACGTTNCA";  // two windows of four; the unknown base is seen, not scored
  const auto corpus = corpus_of({{"a", "", letters}, {"none", "", ""}, {"b", "", "GG"}});
  const auto scores = score_records(model, tokenizer, corpus);
  ASSERT_EQ(scores.size(), 3u);
  const auto ids = tokenizer->encode(letters);
  double expected = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != data::kUnknown)
      expected += model.log_p(i % 4 == 0 ? data::kBegin : ids[i - 1], ids[i]);
  }
  EXPECT_EQ(scores[0].letters, 7);
  EXPECT_NEAR(scores[0].log_likelihood, expected, 1e-12);
  EXPECT_NEAR(scores[0].bits_per_letter(), -expected / std::log(2.0) / 7, 1e-12);
  EXPECT_EQ(scores[1].letters, 0);
  EXPECT_TRUE(std::isnan(scores[1].bits_per_letter()));
  EXPECT_NEAR(scores[2].log_likelihood, model.log_p(data::kBegin, 7) + model.log_p(7, 7), 1e-12);
  EXPECT_NE(records_table(scores, false).find("none\t0\tNA\n"), std::string::npos);
}

TEST(Score, SubstitutionsChangeTheirWordAndWhatFollows) {
  Bigrams model(5, 69);
  const auto tokenizer = data::make_tokenizer("codon");
  std::string letters;
  for (int i = 0; i < 40; ++i) letters += "ACGT"[(i * i + i / 3) % 4];  // 13 codons and one base
  const auto corpus = corpus_of({{"r", "", letters}});
  std::vector<data::Substitution> all;
  for (const int64_t position : {1, 2, 20, 39, 40}) {
    data::Substitution s;
    s.record = "r", s.position = position, s.where = "test";
    s.reference = letters[static_cast<size_t>(position - 1)];
    s.alternative = s.reference == 'A' ? 'C' : 'A';
    all.push_back(s);
  }
  const auto ratios = score_substitutions(model, *tokenizer, *corpus, all);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto at = static_cast<size_t>(all[i].position - 1);
    const size_t frame = at < 39 ? 0 : 1;  // the last base is in no codon of frame 0
    std::string changed = letters;
    changed[at] = all[i].alternative;
    const auto before = tokenizer->encode(std::string_view(letters).substr(frame));
    const auto after = tokenizer->encode(std::string_view(changed).substr(frame));
    const size_t word = (at - frame) / 3;
    const VariantWindow window = window_around(letters.size(), at, 3, 5);
    const size_t first = (window.begin - frame) / 3;
    const auto part = [&](const std::vector<int64_t>& ids) {
      double sum = model.log_p(word == first ? data::kBegin : ids[word - 1], ids[word]);
      if (word + 1 < first + 5) sum += model.log_p(ids[word], ids[word + 1]);
      return sum;
    };
    EXPECT_NEAR(ratios[i], part(after) - part(before), 1e-12) << all[i].position;
    EXPECT_NE(ratios[i], 0) << all[i].position;
  }
}

TEST(Score, AWordThatCannotBeReadHasNoRatio) {
  Bigrams model(5, 69);
  const auto corpus = corpus_of({{"r", "", "ACNACGACG"}, {"s", "", "AC"}});
  const auto ratios =
      score_substitutions(model, *data::make_tokenizer("codon"), *corpus,
                          {data::parse_substitution("r:1A>G"), data::parse_substitution("r:4A>G"),
                           data::parse_substitution("s:1A>G")});
  EXPECT_TRUE(std::isnan(ratios[0]));
  EXPECT_FALSE(std::isnan(ratios[1]));
  EXPECT_TRUE(std::isnan(ratios[2]));
  EXPECT_THROW(score_substitutions(model, *data::make_tokenizer("codon"), *corpus,
                                   {data::parse_substitution("r:1C>G")}),
               Error);
}

TEST(Score, WindowsHoldTheLetterAndStayWithinTheRecord) {
  for (const size_t word : {1u, 3u}) {
    for (const size_t record : {3u, 10u, 29u, 30u, 100u}) {
      for (const size_t context : {1u, 2u, 8u}) {
        for (size_t position = 0; position < record; ++position) {
          const VariantWindow w = window_around(record, position, word, context);
          ASSERT_EQ(w.letters, std::min(context, record / word) * word);
          ASSERT_LE(w.begin + w.letters, record);
          ASSERT_EQ((position - w.begin) / word, w.word);
          ASSERT_GE(position, w.begin);
          ASSERT_LT(position, w.begin + w.letters);
          if (position < record / word * word) {
            ASSERT_EQ(w.begin % word, 0u);
          }
        }
      }
    }
  }
}

TEST(Sample, ChoosingFollowsTheProbabilities) {
  const std::vector<float> logits{0.0f, std::log(3.0f), -INFINITY,
                                  std::log(4.0f)};  // 1/8, 3/8, 0, 4/8
  EXPECT_EQ(choose(logits, 1, 0, 0.0), 0u);
  EXPECT_EQ(choose(logits, 1, 0, 0.124), 0u);
  EXPECT_EQ(choose(logits, 1, 0, 0.126), 1u);
  EXPECT_EQ(choose(logits, 1, 0, 0.499), 1u);
  EXPECT_EQ(choose(logits, 1, 0, 0.501), 3u);
  EXPECT_EQ(choose(logits, 1, 0, 0.9999999), 3u);
  EXPECT_EQ(choose(logits, 1, 2, 0.0), 1u);  // 3/7, 4/7
  EXPECT_EQ(choose(logits, 1, 2, 0.43), 3u);
  EXPECT_EQ(choose(logits, 0, 0, 0.0), 3u);
  EXPECT_EQ(choose(logits, 0.5, 0, 0.37), 1u);  // 1, 9, 16 of 26
  EXPECT_EQ(choose(logits, 0.5, 0, 0.39), 3u);
  const std::vector<float> equal{1, 1, 1};
  EXPECT_EQ(choose(equal, 0, 0, 0.9), 0u);
  EXPECT_EQ(choose(equal, 1, 1, 0.9), 0u);
  const std::vector<float> broken{NAN, 1};
  EXPECT_THROW(choose(broken, 1, 0, 0.5), Error);
}

TEST(Sample, SequencesAreRepeatableAndOfTheLengthAsked) {
  Bigrams model(4, 69);
  const auto tokenizer = data::make_tokenizer("codon");
  SampleOptions o;
  o.length = 20;
  o.count = 3;
  o.prompt = "ATGAAA";
  const auto three = sample_sequences(model, *tokenizer, o);
  ASSERT_EQ(three.size(), 3u);
  for (const std::string& s : three) {
    EXPECT_EQ(s.size(), 20u);
    EXPECT_TRUE(s.starts_with("ATGAAA"));
    EXPECT_EQ(s.find_first_not_of("ACGT"), std::string::npos);
  }
  EXPECT_NE(three[0], three[1]);
  o.count = 1;
  EXPECT_EQ(sample_sequences(model, *tokenizer, o)[0], three[0]);
  o.seed = 2;
  EXPECT_NE(sample_sequences(model, *tokenizer, o)[0], three[0]);
  o.prompt = "ATGA";
  EXPECT_THROW(sample_sequences(model, *tokenizer, o), Error);
  o.prompt = "ATN";
  EXPECT_THROW(sample_sequences(model, *tokenizer, o), Error);
}

// Frequencies of pairs in a long sample against the table, within five standard deviations.
TEST(Sample, LongSamplesHaveTheModelsFrequencies) {
  Bigrams model(3, 9);
  const auto tokenizer = data::make_tokenizer("nucleotide");
  SampleOptions o;
  o.length = 20000;
  const std::string letters = sample_sequences(model, *tokenizer, o)[0];
  const auto ids = tokenizer->encode(letters);
  for (int64_t previous = 5; previous < 9; ++previous) {
    double sum = 0, seen = 0;
    for (int64_t next = 5; next < 9; ++next) sum += std::exp(model.logit(previous, next));
    for (size_t i = 0; i + 1 < ids.size(); ++i) seen += ids[i] == previous;
    for (int64_t next = 5; next < 9; ++next) {
      double count = 0;
      for (size_t i = 0; i + 1 < ids.size(); ++i) count += ids[i] == previous && ids[i + 1] == next;
      const double p = std::exp(model.logit(previous, next)) / sum;
      EXPECT_NEAR(count / seen, p, 5 * std::sqrt(p * (1 - p) / seen));
    }
  }
}

TEST(Import, TheVocabularyTellsTheTokens) {
  EXPECT_EQ(tokens_of_vocabulary(9).name, "nucleotide");
  EXPECT_EQ(tokens_of_vocabulary(69).name, "codon");
  EXPECT_EQ(tokens_of_vocabulary(4101).k, 6);
  EXPECT_EQ(tokens_of_vocabulary(50257).name, "byte");
  EXPECT_THROW(tokens_of_vocabulary(100), Error);
}

}  // namespace
}  // namespace ocoee::cli
