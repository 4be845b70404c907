// SPDX-License-Identifier: Apache-2.0
#include "data/windows.h"

#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "data/nucleotide.h"
#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::message_of;
using testing::random_bases;

std::vector<int64_t> tokens_of(const Source& source, int64_t position) {
  std::vector<int64_t> tokens(static_cast<size_t>(source.fields()[0].elements()));
  std::vector<float> weights(tokens.size());
  source.fill(position, {tokens.data(), weights.data()});
  return tokens;
}

std::string letters_of(const Tokenizer& tokenizer, const Source& source, int64_t position) {
  return tokenizer.decode(tokens_of(source, position));
}

TEST(WindowSource, EachSampleIsAPieceOfOneStrandOfOneRecord) {
  const std::vector<FastaRecord> records = {{"a", "", random_bases(500, 1)},
                                            {"b", "", random_bases(30, 2)},
                                            {"c", "", random_bases(90, 3)}};
  const auto part = whole(Corpus::from_records(records));
  for (const std::string& name : tokenizer_names()) {
    const auto tokenizer = make_tokenizer(name);
    const WindowSource source(part, tokenizer, {.seed = 3, .context = 20});
    int forward = 0, reverse = 0;
    for (int64_t p = 0; p < 400; ++p) {
      EXPECT_EQ(tokens_of(source, p)[0], kBegin);
      const std::string window = letters_of(*tokenizer, source, p);
      const std::string other = reverse_complement(window);
      ASSERT_EQ(window.size(), 20u * static_cast<size_t>(tokenizer->letters_per_token()));
      bool on_forward = false, on_reverse = false;
      for (const FastaRecord& record : records) {
        on_forward |= record.bases.find(window) != std::string::npos;
        on_reverse |= record.bases.find(other) != std::string::npos;
      }
      EXPECT_TRUE(on_forward || on_reverse);
      forward += on_forward;
      reverse += on_reverse;
    }
    EXPECT_GT(forward, 150) << name;
    EXPECT_GT(reverse, 150) << name;
  }
}

TEST(WindowSource, ASampleIsAFunctionOfSeedAndPosition) {
  const auto part = whole(Corpus::from_records({{"a", "", random_bases(5000, 1)}}));
  const auto tokenizer = make_tokenizer("codon");
  const WindowSource one(part, tokenizer, {.seed = 1, .context = 16});
  const WindowSource same(part, tokenizer, {.seed = 1, .context = 16});
  const WindowSource other(part, tokenizer, {.seed = 2, .context = 16});
  int equal = 0;
  for (int64_t p = 99; p >= 0; --p) {
    EXPECT_EQ(tokens_of(one, p), tokens_of(same, p));
    equal += tokens_of(one, p) == tokens_of(other, p);
  }
  EXPECT_LT(equal, 3);
}

// The order of the data is part of every published result: these samples may never change.
TEST(WindowSource, TheStreamIsStable) {
  const auto part = whole(Corpus::from_records({{"a", "", random_bases(5000, 1)}}));
  const auto tokenizer = make_tokenizer("nucleotide");
  const WindowSource source(part, tokenizer, {.seed = 1, .context = 24});
  std::string got;
  for (const int64_t p : {0, 1, 2, 1000000}) got += letters_of(*tokenizer, source, p) + " ";
  EXPECT_EQ(got,
            "GAGGTCCCATGAACGGCCTGGGTA TAGCAGGCTCGGTCTTAACAGTAT GCCTCCCTGCAAGAGACTCGTAGA "
            "CTCCCGATCCGTAATACAAGGGAG ");
}

TEST(WindowSource, EveryPlaceIsEquallyLikely) {
  // Records of 13 and 9 letters have 10 and 6 places for a window of 4; the one of 3 has none.
  const std::string bases = "ACGTTGCATAACGGACTCTAGC";
  const auto part = whole(Corpus::from_records(
      {{"a", "", bases.substr(0, 13)}, {"b", "", "CCC"}, {"c", "", bases.substr(13)}}));
  const auto tokenizer = make_tokenizer("nucleotide");
  const WindowSource source(part, tokenizer, {.seed = 1, .context = 4, .both_strands = false});
  EXPECT_EQ(source.places(), 16);
  EXPECT_EQ(source.letters_skipped(), 3);
  std::map<std::string, int> seen;
  const int draws = 16000;
  for (int64_t p = 0; p < draws; ++p) ++seen[letters_of(*tokenizer, source, p)];
  EXPECT_EQ(seen.size(), 16u);
  double chi_square = 0;
  for (const auto& [window, count] : seen)
    chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_square, 37.7);  // 15 degrees of freedom, 0.001
}

TEST(WindowSource, ReadsTheSameFromSeveralThreads) {
  const auto part = whole(Corpus::from_records({{"a", "", random_bases(5000, 1)}}));
  const WindowSource source(part, make_tokenizer("kmer", 4), {.seed = 1, .context = 16});
  std::vector<std::vector<int64_t>> expected(64);
  for (int64_t p = 0; p < 64; ++p) expected[static_cast<size_t>(p)] = tokens_of(source, p);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int64_t p = 0; p < 64; ++p)
        EXPECT_EQ(tokens_of(source, p), expected[static_cast<size_t>(p)]);
    });
  }
}

TEST(WindowSource, SaysWhenNothingIsLongEnough) {
  const auto part = whole(Corpus::from_records({{"a", "", random_bases(50, 1)}}));
  EXPECT_EQ(message_of([&] { WindowSource(part, make_tokenizer("codon"), {.context = 17}); }),
            "no training record is as long as a window: 17 tokens of 3 letters are 51 letters, the "
            "longest piece of the training data has 50\n    fix: a smaller context "
            "(model.context), or longer records");
  EXPECT_EQ(message_of([&] { WindowSource(part, make_tokenizer("codon"), {.context = 0}); },
                       ErrorKind::config),
            "context is 0; expected 1 token or more");
}

TEST(HeldOutSource, EveryWordIsScoredOnce) {
  const std::vector<FastaRecord> records = {
      {"a", "", random_bases(1000, 1)}, {"tiny", "", "AC"}, {"b", "", random_bases(301, 2)}};
  for (const std::string& name : tokenizer_names()) {
    const auto tokenizer = make_tokenizer(name);
    const auto k = static_cast<size_t>(tokenizer->letters_per_token());
    const HeldOutSource source(whole(Corpus::from_records(records)), tokenizer, 16);
    std::map<std::string, std::string> scored;
    double weight = 0;
    for (int64_t p = 0; p < source.size() + 3; ++p) {
      std::vector<int64_t> tokens(17);
      std::vector<float> weights(16);
      source.fill(p, {tokens.data(), weights.data()});
      EXPECT_EQ(tokens[0], kBegin);
      weight += std::accumulate(weights.begin(), weights.end(), 0.0);
      for (size_t i = 0; i < 16; ++i) {
        EXPECT_EQ(tokens[i + 1] == kPad, weights[i] == 0.0F);
        if (weights[i] == 0.0F) continue;
        const Segment& segment = source.part().segments[source.segment_of(p)];
        scored[segment.record] += tokenizer->word(tokens[i + 1]);
      }
    }
    std::map<std::string, std::string> expected;
    int64_t letters = 0;
    for (const FastaRecord& record : records) {
      const std::string words = record.bases.substr(0, record.bases.size() / k * k);
      if (!words.empty()) expected[record.name] = words;
      letters += static_cast<int64_t>(words.size());
    }
    EXPECT_EQ(scored, expected) << name;
    EXPECT_EQ(source.letters_scored(), letters);
    EXPECT_EQ(source.letters_left_out(), 1303 - letters);
    EXPECT_DOUBLE_EQ(weight * static_cast<double>(k), static_cast<double>(letters));
  }
}

TEST(HeldOutSource, UnknownWordsAreNotScored) {
  const HeldOutSource source(whole(Corpus::from_records({{"a", "", "ACGNNNTTTACRAC"}})),
                             make_tokenizer("codon"), 8);
  std::vector<int64_t> tokens(9);
  std::vector<float> weights(8);
  source.fill(0, {tokens.data(), weights.data()});
  EXPECT_EQ(weights, (std::vector<float>{1, 0, 1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(tokens[2], kUnknown);
  EXPECT_EQ(source.letters_scored(), 6);
  EXPECT_EQ(source.letters_left_out(), 8);
}

TEST(HeldOutSource, UnknownWordsOfALongRecordAreCounted) {
  std::string bases = random_bases(500001, 1);
  for (size_t at = 0; at < bases.size(); at += 1000) bases[at] = 'N';
  const HeldOutSource source(whole(Corpus::from_records({{"a", "", bases}})),
                             make_tokenizer("codon"), 8);
  EXPECT_EQ(source.letters_scored(), 500001 - 3 * 501);
}

TEST(HeldOutSource, OfTheGenomeIsTheLastTenth) {
  const testing::TemporaryFolder folder;
  const auto corpus = Corpus::from_fasta({testing::genome_file()}, folder.path);
  const Split split = split_last(corpus, 0.1);
  EXPECT_EQ(split.training.letters(), 4175707);
  EXPECT_EQ(split.held_out.letters(), 463968);
  const HeldOutSource source(split.held_out, make_tokenizer("codon"), 256);
  EXPECT_EQ(source.size(), 605);
  EXPECT_EQ(source.letters_scored(), 463968);
  EXPECT_EQ(source.letters_left_out(), 0);
}

TEST(HeldOutSource, NothingToScore) {
  const auto corpus = Corpus::from_records({{"a", "", "ACGT"}});
  EXPECT_EQ(
      message_of([&] { HeldOutSource(split_last(corpus, 0).held_out, make_tokenizer("codon"), 8); },
                 ErrorKind::config),
      "nothing is held out to be scored (0 letters)\n    fix: a larger held_out, such as 0.1");
}

// ---- a rank's pieces of a window

// Tokens of the whole window, cut as a reader of pieces gets them.
template <class T>
std::vector<T> cut(const std::vector<T>& whole, const WindowPieces& pieces, int64_t more) {
  std::vector<T> out;
  for (const auto& [first, last] : pieces)
    out.insert(out.end(), whole.begin() + first, whole.begin() + last + more);
  return out;
}

std::vector<WindowPieces> some_pieces() {
  return {{{0, 8}}, {{8, 16}}, {{0, 4}, {12, 16}}, {{4, 8}, {8, 12}}, {{0, 16}}};
}

TEST(WindowSource, PiecesAreThoseOfTheWholeWindow) {
  std::vector<FastaRecord> records = {{"a", "", random_bases(300, 1)},
                                      {"b", "", random_bases(50, 2)}};
  const auto part = whole(Corpus::from_records(records));
  for (const std::string name : {"codon", "nucleotide"}) {
    const auto tokenizer = make_tokenizer(name);
    WindowOptions options{.seed = 3, .context = 16};
    const WindowSource all(part, tokenizer, options);
    for (const WindowPieces& pieces : some_pieces()) {
      options.pieces = pieces;
      const WindowSource some(part, tokenizer, options);
      for (int64_t p = 0; p < 200; ++p)
        ASSERT_EQ(tokens_of(some, p), cut(tokens_of(all, p), pieces, 1)) << name << " " << p;
    }
  }
}

TEST(HeldOutSource, PiecesAreThoseOfTheWholeWindow) {
  std::string bases = random_bases(3 * 16 * 3 + 25, 1);
  bases[31] = 'N';
  const auto part = whole(Corpus::from_records({{"a", "", bases}}));
  const auto tokenizer = make_tokenizer("codon");
  const HeldOutSource all(part, tokenizer, 16);
  const auto read = [](const HeldOutSource& source, int64_t position) {
    std::vector<int64_t> tokens(static_cast<size_t>(source.fields()[0].elements()));
    std::vector<float> weights(static_cast<size_t>(source.fields()[1].elements()));
    source.fill(position, {tokens.data(), weights.data()});
    return std::pair(tokens, weights);
  };
  for (const WindowPieces& pieces : some_pieces()) {
    const HeldOutSource some(part, tokenizer, 16, pieces);
    EXPECT_EQ(some.size(), all.size());
    for (int64_t p = 0; p < all.size() + 2; ++p) {
      const auto [tokens, weights] = read(all, p);
      EXPECT_EQ(read(some, p), std::pair(cut(tokens, pieces, 1), cut(weights, pieces, 0))) << p;
    }
  }
}

}  // namespace
}  // namespace ocoee::data
