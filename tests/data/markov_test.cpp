// SPDX-License-Identifier: Apache-2.0
#include "data/markov.h"

#include <cmath>

#include "data/nucleotide.h"
#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::message_of;

// Counts by strings and maps: slow and plain.
double reference(const std::vector<std::string>& training, const std::string& held_out,
                 size_t order, double alpha) {
  const auto count = [&](const std::string& word) {
    double n = 0;
    for (const std::string& text : training) {
      for (const std::string& strand : {text, reverse_complement(text)}) {
        for (size_t i = 0; i + word.size() <= strand.size(); ++i) {
          n += strand.compare(i, word.size(), word) == 0;
        }
      }
    }
    return n;
  };
  double bits = 0, bases = 0;
  size_t known = 0;
  for (size_t i = 0; i < held_out.size(); ++i) {
    if (base_code(held_out[i]) == kNotABase) {
      known = 0;
      continue;
    }
    const std::string context = held_out.substr(i - std::min(known, order), std::min(known, order));
    double total = 0;
    for (const char base : {'A', 'C', 'G', 'T'}) total += count(context + base);
    bits -= std::log2((count(context + held_out[i]) + alpha) / (total + 4 * alpha));
    ++bases;
    ++known;
  }
  return bits / bases;
}

TEST(Markov, EqualsAPlainReference) {
  std::string a = testing::random_bases(150, 1), b = testing::random_bases(80, 2);
  std::string held_out = testing::random_bases(60, 3);
  a[40] = 'N';
  held_out[20] = 'R';
  const auto training = whole(Corpus::from_records({{"a", "", a}, {"b", "", b}}));
  const auto scores =
      markov_baselines(training, whole(Corpus::from_records({{"h", "", held_out}})), 4);
  ASSERT_EQ(scores.size(), 5u);
  for (size_t order = 0; order <= 4; ++order) {
    double best = 99;
    for (const double alpha : {0.1, 1.0, 4.0, 16.0}) {
      best = std::min(best, reference({a, b}, held_out, order, alpha));
    }
    EXPECT_NEAR(scores[order].bits_per_base, best, 1e-12) << order;
    EXPECT_EQ(scores[order].order, static_cast<int>(order));
  }
}

TEST(Markov, StrandsOfTheTrainingPartDoNotMatter) {
  const std::string bases = testing::random_bases(2000, 1);
  const auto held_out = whole(Corpus::from_records({{"h", "", testing::random_bases(500, 2)}}));
  const auto forward =
      markov_baselines(whole(Corpus::from_records({{"a", "", bases}})), held_out, 5);
  const auto reverse = markov_baselines(
      whole(Corpus::from_records({{"a", "", reverse_complement(bases)}})), held_out, 5);
  for (size_t k = 0; k <= 5; ++k) {
    EXPECT_DOUBLE_EQ(forward[k].bits_per_base, reverse[k].bits_per_base);
  }
}

TEST(Markov, TheGenome) {
  const double expected[] = {1.9997, 1.9828, 1.9644, 1.9522, 1.9441, 1.9374, 1.9328,
                             1.9305, 1.9329, 1.9432, 1.9590, 1.9697, 1.9763};
  const testing::TemporaryFolder folder;
  const Split split = split_last(Corpus::from_fasta({testing::genome_file()}, folder.path), 0.1);
  const auto scores = markov_baselines(split.training, split.held_out);
  ASSERT_EQ(scores.size(), 13u);
  for (size_t k = 0; k < 13; ++k) {
    EXPECT_NEAR(scores[k].bits_per_base, expected[k], 0.0001) << k;
    std::printf("order %zu: %.5f bits per base, alpha %g\n", k, scores[k].bits_per_base,
                scores[k].alpha);
  }
  EXPECT_EQ(best_of(scores).order, 7);
}

TEST(Markov, PartsWithoutBases) {
  const auto bases = whole(Corpus::from_records({{"a", "", "ACGT"}}));
  const auto none = whole(Corpus::from_records({{"a", "", "NNNN"}}));
  EXPECT_EQ(message_of([&] { markov_baselines(none, bases); }),
            "the training part has no base A C G T to count");
  EXPECT_EQ(message_of([&] { markov_baselines(bases, none); }),
            "the held-out part has no base A C G T to count");
}

}  // namespace
}  // namespace ocoee::data
