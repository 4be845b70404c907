// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

#include <array>

#include "core/error.h"
#include "core/text.h"
#include "data/nucleotide.h"

namespace ocoee::data {
namespace {

// In the order of their ids, which GenSLM took from the codon frequencies of its training genes.
constexpr std::string_view kCodons =
    "GGCGCCATCGACGAAATGGTGCTGGTCGCGGATAAAGGTAAGGAGACC"
    "AACGTTATTGCACTCCGCGCTCAGCCGTTCGTATCGGGAAATTACCTT"
    "TTGACGTCCGGGAGCCCCACAACTTCTTTACGTTATCAACGGTTTCAC"
    "CCTCCATGGATATCATGCAGTAGACATTGTCTAAGGTAACGATGATAG";

// Words of k letters A C G T, numbered by base 4; `table` may permute the numbers.
class WordTokenizer final : public Tokenizer {
 public:
  WordTokenizer(std::string name, int k)
      : name_(std::move(name)), k_(k), words_(int64_t{1} << 2 * k) {}

  // Gives word i of `order` the id kSpecialTokens + i.
  void permute(std::string_view order) {
    OCOEE_CHECK(static_cast<int64_t>(order.size()) == words_ * k_);
    id_of_.assign(static_cast<size_t>(words_), -1);
    for (int64_t i = 0; i < words_; ++i) {
      const std::string_view letters =
          order.substr(static_cast<size_t>(i * k_), static_cast<size_t>(k_));
      int64_t number = 0;
      for (const char c : letters) number = 4 * number + base_code(c);
      id_of_[static_cast<size_t>(number)] = kSpecialTokens + i;
      number_of_.push_back(number);
    }
  }

  std::string name() const override { return name_; }
  int64_t vocabulary() const override { return kSpecialTokens + words_; }
  int letters_per_token() const override { return k_; }

  using Tokenizer::encode;
  void encode(std::string_view letters, int64_t* ids) const override {
    const int64_t words = static_cast<int64_t>(letters.size()) / k_;
    const char* at = letters.data();
    for (int64_t i = 0; i < words; ++i) {
      int64_t number = 0;
      bool known = true;
      for (int j = 0; j < k_; ++j) {
        const uint8_t code = base_code(*at++);
        known &= code != kNotABase;
        number = 4 * number + (code & 3);
      }
      if (!known) {
        ids[i] = kUnknown;
      } else {
        ids[i] = id_of_.empty() ? kSpecialTokens + number : id_of_[static_cast<size_t>(number)];
      }
    }
  }

  std::string word(int64_t id) const override {
    if (id == kUnknown) return std::string(static_cast<size_t>(k_), 'N');
    if (id < kSpecialTokens || id >= vocabulary()) return {};
    int64_t number = id - kSpecialTokens;
    if (!number_of_.empty()) number = number_of_[static_cast<size_t>(number)];
    std::string letters(static_cast<size_t>(k_), 'A');
    for (int j = k_ - 1; j >= 0; --j, number /= 4) {
      letters[static_cast<size_t>(j)] = "ACGT"[number % 4];
    }
    return letters;
  }

 private:
  std::string name_;
  int k_;
  int64_t words_;
  std::vector<int64_t> id_of_, number_of_;  // empty: alphabetical
};

class ByteTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "byte"; }
  int64_t vocabulary() const override { return kSpecialTokens + 256; }
  int letters_per_token() const override { return 1; }

  using Tokenizer::encode;
  void encode(std::string_view letters, int64_t* ids) const override {
    for (const char c : letters) *ids++ = kSpecialTokens + static_cast<unsigned char>(c);
  }
  std::string word(int64_t id) const override {
    if (id == kUnknown) return "?";
    if (id < kSpecialTokens || id >= vocabulary()) return {};
    return std::string(1, static_cast<char>(id - kSpecialTokens));
  }
};

}  // namespace

std::vector<int64_t> Tokenizer::encode(std::string_view letters) const {
  std::vector<int64_t> ids(letters.size() / static_cast<size_t>(letters_per_token()));
  encode(letters, ids.data());
  return ids;
}

std::string Tokenizer::decode(std::span<const int64_t> ids) const {
  std::string letters;
  for (const int64_t id : ids) letters += word(id);
  return letters;
}

std::vector<std::string> tokenizer_names() {
  return {"nucleotide", "codon", "kmer", "byte"};
}

std::shared_ptr<const Tokenizer> make_tokenizer(const std::string& name, int k) {
  if (name == "nucleotide") return std::make_shared<WordTokenizer>(name, 1);
  if (name == "byte") return std::make_shared<ByteTokenizer>();
  if (name == "codon") {
    auto tokenizer = std::make_shared<WordTokenizer>(name, 3);
    tokenizer->permute(kCodons);
    return tokenizer;
  }
  if (name == "kmer") {
    if (k < 1 || k > 10) {
      fail(ErrorKind::config,
           "k of the kmer tokenizer is {}; expected 1 to 10 (the vocabulary is 4^k + {})", k,
           kSpecialTokens);
    }
    return std::make_shared<WordTokenizer>(name, k);
  }
  const std::string near = nearest(name, tokenizer_names());
  fail(ErrorKind::config, "no tokenizer is called '{}'; expected one of {}{}", name,
       join(tokenizer_names(), ", "),
       near.empty() ? "" : fmt::format(". Did you mean '{}'?", near));
}

}  // namespace ocoee::data
