// SPDX-License-Identifier: Apache-2.0
#include "core/random.h"

#include <gtest/gtest.h>

#include <vector>

namespace ocoee {
namespace {

struct KnownAnswer {
  PhiloxCounter counter;
  PhiloxKey key;
  PhiloxCounter expected;
};

// From Random123's kat_vectors, philox4x32 with 10 rounds.
const KnownAnswer kKnownAnswers[] = {
    {{{0, 0, 0, 0}}, {{0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
    {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
     {{0xffffffff, 0xffffffff}},
     {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
    {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
     {{0xa4093822, 0x299f31d0}},
     {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
};

TEST(Philox, MatchesRandom123KnownAnswers) {
  for (const KnownAnswer& answer : kKnownAnswers) {
    const PhiloxCounter got = philox4x32_10(answer.counter, answer.key);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(got.v[i], answer.expected.v[i]);
  }
}

TEST(RandomStream, IsAFunctionOfItsAddressAlone) {
  RandomStream a(1, Purpose::dropout, 7, 42), b(1, Purpose::dropout, 7, 42),
      c(1, Purpose::noise, 7, 42);
  std::vector<uint32_t> from_a, from_b, from_c;
  for (int i = 0; i < 9; ++i)
    from_a.push_back(a.next32()), from_b.push_back(b.next32()), from_c.push_back(c.next32());
  EXPECT_EQ(from_a, from_b);
  EXPECT_NE(from_a, from_c);
}

TEST(RandomStream, BelowIsUniform) {
  RandomStream stream(3, Purpose::sampling, 0, 0);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts[stream.below(7)];
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi_square, 22.46);  // 6 degrees of freedom, 0.001
}

TEST(RandomStream, NormalHasUnitVariance) {
  RandomStream stream(4, Purpose::noise, 0, 0);
  double sum = 0, square = 0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double x = stream.normal();
    sum += x;
    square += x * x;
  }
  EXPECT_NEAR(sum / n, 0, 0.015);
  EXPECT_NEAR(square / n, 1, 0.02);
}

}  // namespace
}  // namespace ocoee
