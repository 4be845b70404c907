// SPDX-License-Identifier: Apache-2.0
// Letters to token ids and back. All tokenizers share five special ids, so that a trained model can
// be moved between them in form; words follow from id 5:
//
//   name        letters a token   ids of words
//   nucleotide  1                 A C G T: 5 6 7 8
//   codon       3                 GenSLM's table of 64 codons by frequency (Zvyagin et al. 2023)
//   kmer        k = 1..10         the 4^k words in alphabetical order
//   byte        1                 5 + value of the byte
//
// A word that holds a letter other than A C G T is `kUnknown`.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ocoee::data {

// GenSLM calls them [UNK] [CLS] [SEP] [PAD] [MASK].
inline constexpr int64_t kUnknown = 0, kBegin = 1, kSeparator = 2, kPad = 3, kMask = 4;
inline constexpr int64_t kSpecialTokens = 5;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;       // "codon"
  virtual int64_t vocabulary() const = 0;     // ids are 0 .. vocabulary - 1, special ones included
  virtual int letters_per_token() const = 0;  // bases, or bytes of text

  // ids[i] of the i-th word of `letters`; letters.size() / letters_per_token() words, a shorter
  // piece at the end is left out.
  virtual void encode(std::string_view letters, int64_t* ids) const = 0;
  std::vector<int64_t> encode(std::string_view letters) const;

  // The letters of one word; kUnknown gives N's, other special ids and ids out of range "".
  virtual std::string word(int64_t id) const = 0;
  std::string decode(std::span<const int64_t> ids) const;
};

std::vector<std::string> tokenizer_names();

// Throws Error(config) on an unknown name (with the nearest) and on k out of range. `k` is used by
// kmer.
std::shared_ptr<const Tokenizer> make_tokenizer(const std::string& name, int k = 3);

}  // namespace ocoee::data
