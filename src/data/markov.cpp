// SPDX-License-Identifier: Apache-2.0
#include "data/markov.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/stop_signals.h"
#include "data/nucleotide.h"

namespace ocoee::data {
namespace {

constexpr std::array<double, 4> kAlphas = {0.1, 1, 4, 16};
constexpr size_t kBetweenLooks = size_t{1} << 24;  // at signals
using Costs = std::array<double, kAlphas.size()>;  // bits, for each alpha

// Base codes of all segments, with kNotABase between them, so that no word crosses a border.
std::vector<uint8_t> codes_of(const Part& part, const char* what) {
  std::vector<uint8_t> codes;
  codes.reserve(static_cast<size_t>(part.letters()) + part.segments.size());
  bool any = false;
  for (const Segment& segment : part.segments) {
    for (const char letter : segment.letters) {
      codes.push_back(base_code(letter));
      any |= codes.back() != kNotABase;
    }
    codes.push_back(kNotABase);
  }
  if (!any) fail(ErrorKind::data, "the {} part has no base A C G T to count", what);
  return codes;
}

// counts[w] of the words w of `order` + 1 bases (base 4, first base most significant), on both
// strands.
template <class Count>
std::vector<Count> count_words(const std::vector<uint8_t>& codes, int order) {
  std::vector<Count> counts(size_t{1} << 2 * (order + 1));
  const uint64_t mask = counts.size() - 1;
  uint64_t forward = 0, reverse = 0;
  int known = 0;
  for (const uint8_t& code : codes) {
    if (static_cast<size_t>(&code - codes.data()) % kBetweenLooks == 0) stop_if_signalled();
    if (code == kNotABase) {
      known = 0;
      continue;
    }
    forward = ((forward << 2) | code) & mask;
    reverse = (reverse >> 2) | (uint64_t{3} - code) << 2 * order;
    if (++known > order) {
      ++counts[forward];
      ++counts[reverse];
    }
  }
  return counts;
}

struct HeldOutCosts {
  Costs full{};     // of the bases with at least `order` known bases before them
  Costs limited{};  // of those among them with exactly `order`: longer orders fall back on this one
  int64_t bases = 0;
};

template <class Count>
HeldOutCosts score(const std::vector<Count>& counts, const std::vector<uint8_t>& codes, int order) {
  HeldOutCosts costs;
  const uint64_t mask = counts.size() - 1;
  uint64_t word = 0;
  int known = 0;
  for (const uint8_t& code : codes) {
    if (static_cast<size_t>(&code - codes.data()) % kBetweenLooks == 0) stop_if_signalled();
    if (code == kNotABase) {
      known = 0;
      continue;
    }
    ++costs.bases;
    word = ((word << 2) | code) & mask;
    if (known >= order) {
      const Count* row = &counts[word & ~uint64_t{3}];
      const auto total = static_cast<double>(row[0]) + static_cast<double>(row[1]) +
                         static_cast<double>(row[2]) + static_cast<double>(row[3]);
      for (size_t a = 0; a < kAlphas.size(); ++a) {
        const double bits =
            std::log2((total + 4 * kAlphas[a]) / (static_cast<double>(row[code]) + kAlphas[a]));
        costs.full[a] += bits;
        if (known == order) costs.limited[a] += bits;
      }
    }
    ++known;
  }
  return costs;
}

}  // namespace

std::vector<MarkovScore> markov_baselines(const Part& training, const Part& held_out,
                                          int max_order) {
  OCOEE_CHECK(max_order >= 0 && max_order <= 13, "order {}", max_order);
  const std::vector<uint8_t> counted = codes_of(training, "training");
  const std::vector<uint8_t> scored = codes_of(held_out, "held-out");
  const bool small = counted.size() < std::numeric_limits<uint32_t>::max() / 2;
  std::vector<MarkovScore> scores;
  Costs shorter{};  // bits of the bases that have fewer known bases before them than the order
  for (int order = 0; order <= max_order; ++order) {
    const HeldOutCosts costs = small ? score(count_words<uint32_t>(counted, order), scored, order)
                                     : score(count_words<uint64_t>(counted, order), scored, order);
    MarkovScore best{order, 0, std::numeric_limits<double>::infinity()};
    for (size_t a = 0; a < kAlphas.size(); ++a) {
      const double bits = (costs.full[a] + shorter[a]) / static_cast<double>(costs.bases);
      if (bits < best.bits_per_base) best = {order, kAlphas[a], bits};
      shorter[a] += costs.limited[a];
    }
    scores.push_back(best);
  }
  return scores;
}

MarkovScore best_of(const std::vector<MarkovScore>& scores) {
  OCOEE_CHECK(!scores.empty());
  return *std::min_element(scores.begin(), scores.end(), [](const auto& a, const auto& b) {
    return a.bits_per_base < b.bits_per_base;
  });
}

}  // namespace ocoee::data
