// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

#include <numeric>
#include <set>

#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::message_of;

TEST(Tokenizer, Nucleotides) {
  const auto tokenizer = make_tokenizer("nucleotide");
  EXPECT_EQ(tokenizer->vocabulary(), 9);
  EXPECT_EQ(tokenizer->letters_per_token(), 1);
  EXPECT_EQ(tokenizer->encode("ACGTNR"), (std::vector<int64_t>{5, 6, 7, 8, kUnknown, kUnknown}));
  const std::vector<int64_t> ids = {kBegin, 5, 8, kUnknown, kPad, 99, -1};
  EXPECT_EQ(tokenizer->decode(ids), "ATN");
}

TEST(Tokenizer, CodonsAreThoseOfGenslm) {
  const auto tokenizer = make_tokenizer("codon");
  EXPECT_EQ(tokenizer->vocabulary(), 69);
  EXPECT_EQ(tokenizer->encode("GGCGCCATGTAGNAA"), (std::vector<int64_t>{5, 6, 10, 68, kUnknown}));
  EXPECT_EQ(tokenizer->encode("GGCG"), (std::vector<int64_t>{5}));
  std::set<std::string> words;
  for (int64_t id = kSpecialTokens; id < 69; ++id) words.insert(tokenizer->word(id));
  EXPECT_EQ(words.size(), 64u);
}

// Counts made with GenSLM's own table; it gives the last single base the id of unknown, 0.
TEST(Tokenizer, CodonIdsOfTheGenome) {
  const auto records = read_fasta(testing::genome_file());
  const auto ids = make_tokenizer("codon")->encode(records.at(0).bases);
  EXPECT_EQ(ids.size(), 1546558u);
  EXPECT_EQ(std::accumulate(ids.begin(), ids.end(), int64_t{0}), 53616439);
  EXPECT_EQ(std::vector<int64_t>(ids.begin(), ids.begin() + 8),
            (std::vector<int64_t>{41, 51, 57, 30, 67, 12, 49, 50}));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kUnknown), 0);
}

TEST(Tokenizer, KmersAreAlphabetical) {
  const auto tokenizer = make_tokenizer("kmer", 6);
  EXPECT_EQ(tokenizer->vocabulary(), 4096 + 5);
  EXPECT_EQ(tokenizer->encode("AAAAAAAAAAACTTTTTTAAANAA"),
            (std::vector<int64_t>{5, 6, 4100, kUnknown}));
  EXPECT_EQ(make_tokenizer("kmer", 10)->vocabulary(), 1048576 + 5);
}

TEST(Tokenizer, BytesAreKept) {
  const auto tokenizer = make_tokenizer("byte");
  EXPECT_EQ(tokenizer->vocabulary(), 261);
  std::string all(256, '\0');
  std::iota(all.begin(), all.end(), '\0');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(all)), all);
}

TEST(Tokenizer, DecodeInvertsEncode) {
  const std::string bases = testing::random_bases(420, 3);
  for (const std::string& name : tokenizer_names()) {
    for (const int k : {1, 2, 4, 7}) {
      const auto tokenizer = make_tokenizer(name, k);
      const auto ids = tokenizer->encode(bases);
      EXPECT_EQ(tokenizer->decode(ids), bases) << name << k;
      for (const int64_t id : ids)
        EXPECT_TRUE(id >= kSpecialTokens && id < tokenizer->vocabulary());
    }
  }
}

TEST(Tokenizer, UnknownNamesAndSizes) {
  EXPECT_EQ(message_of([] { make_tokenizer("codons"); }, ErrorKind::config),
            "no tokenizer is called 'codons'; expected one of nucleotide, codon, kmer, byte. Did "
            "you mean "
            "'codon'?");
  EXPECT_EQ(message_of([] { make_tokenizer("bpe"); }, ErrorKind::config),
            "no tokenizer is called 'bpe'; expected one of nucleotide, codon, kmer, byte");
  EXPECT_EQ(message_of([] { make_tokenizer("kmer", 11); }, ErrorKind::config),
            "k of the kmer tokenizer is 11; expected 1 to 10 (the vocabulary is 4^k + 5)");
}

}  // namespace
}  // namespace ocoee::data
