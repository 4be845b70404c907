// SPDX-License-Identifier: Apache-2.0
#include "cli/model_sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace ocoee::cli {
namespace {

std::vector<int64_t> prompt_words(const data::Tokenizer& tokenizer, const std::string& prompt) {
  const auto letters = static_cast<size_t>(tokenizer.letters_per_token());
  if (prompt.size() % letters != 0)
    fail(ErrorKind::config,
         "--prompt has {} letters, but a {} token takes {}\n    fix: give a multiple of {}",
         prompt.size(), tokenizer.name(), letters, letters);
  std::vector<int64_t> words = tokenizer.encode(prompt);
  const auto unknown = std::find(words.begin(), words.end(), data::kUnknown);
  if (unknown != words.end())
    fail(ErrorKind::config,
         "--prompt: '{}' is no word that the model knows\n    fix: use A C G T only",
         prompt.substr(static_cast<size_t>(unknown - words.begin()) * letters, letters));
  return words;
}

}  // namespace

void check_sample_options(const data::Tokenizer& tokenizer, const SampleOptions& o) {
  prompt_words(tokenizer, o.prompt);
  if (static_cast<int64_t>(o.prompt.size()) > o.length)
    fail(
        ErrorKind::config,
        "--length {} is less than the {} letters of --prompt, which count\n    fix: --length {} or "
        "more",
        o.length, o.prompt.size(), o.prompt.size());
  if (!std::isfinite(o.temperature) || o.temperature < 0)
    fail(ErrorKind::config, "--temperature {}: expected a number from 0", o.temperature);
}

size_t choose(std::span<const float> logits, double temperature, int64_t top_k, double uniform) {
  OCOEE_CHECK(!logits.empty());
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto likelier = [&](size_t a, size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  if (temperature == 0) return *std::min_element(order.begin(), order.end(), likelier);
  if (top_k > 0 && static_cast<size_t>(top_k) < order.size()) {
    std::nth_element(order.begin(), order.begin() + top_k, order.end(), likelier);
    order.resize(static_cast<size_t>(top_k));
    std::sort(order.begin(), order.end());
  }
  double most = -std::numeric_limits<double>::infinity(), sum = 0;
  for (const size_t i : order) most = std::max(most, double{logits[i]});
  std::vector<double> cumulative;
  for (const size_t i : order)
    cumulative.push_back(sum += std::exp((double{logits[i]} - most) / temperature));
  if (!std::isfinite(sum))
    fail(ErrorKind::numerics, "the model's logits are not finite, so nothing can be drawn from it");
  const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), uniform * sum);
  return order[std::min(static_cast<size_t>(found - cumulative.begin()), order.size() - 1)];
}

std::vector<std::string> sample_sequences(LanguageModel& model, const data::Tokenizer& tokenizer,
                                          const SampleOptions& o) {
  check_sample_options(tokenizer, o);
  const std::vector<int64_t> prompt = prompt_words(tokenizer, o.prompt);
  const int64_t letters = tokenizer.letters_per_token();
  const auto words =
      std::max(static_cast<size_t>((o.length + letters - 1) / letters), prompt.size());
  const auto context = static_cast<size_t>(model.context());
  const auto vocabulary = static_cast<size_t>(model.vocabulary());
  const auto first_word = static_cast<size_t>(data::kSpecialTokens);
  const size_t word_count = static_cast<size_t>(tokenizer.vocabulary()) - first_word;

  std::vector<std::string> out;
  for (int64_t begin = 0; begin < o.count; begin += model.good_rows()) {
    const auto rows = static_cast<size_t>(std::min(model.good_rows(), o.count - begin));
    std::vector<std::vector<int64_t>> drawn(rows, prompt);
    std::vector<RandomStream> random;
    for (size_t r = 0; r < rows; ++r)
      random.emplace_back(o.seed, Purpose::sampling, 0, static_cast<uint64_t>(begin) + r);
    while (drawn[0].size() < words) {
      const size_t seen = std::min(drawn[0].size(), context - 1);
      std::vector<int64_t> tokens;
      for (const auto& row : drawn) {
        tokens.push_back(data::kBegin);
        tokens.insert(tokens.end(), row.end() - static_cast<std::ptrdiff_t>(seen), row.end());
      }
      const std::vector<float> logits =
          model.logits(tokens, static_cast<int64_t>(rows), /*only_last=*/true);
      for (size_t r = 0; r < rows; ++r) {
        const std::span<const float> all(logits.data() + r * vocabulary, vocabulary);
        const size_t word = choose(all.subspan(first_word, word_count), o.temperature, o.top_k,
                                   random[r].uniform());
        drawn[r].push_back(static_cast<int64_t>(first_word + word));
      }
    }
    for (const auto& row : drawn)
      out.push_back(tokenizer.decode(row).substr(0, static_cast<size_t>(o.length)));
  }
  return out;
}

}  // namespace ocoee::cli
