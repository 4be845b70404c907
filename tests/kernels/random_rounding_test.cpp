// SPDX-License-Identifier: Apache-2.0
// Optimizer states in bfloat16, rounded at random.
#include "kernels/random_rounding.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"
#include "kernels/optimizer_step.h"

namespace ocoee::kernels::test {
namespace {

// A piece of one update on the test device; without decay.
class Step {
 public:
  explicit Step(int64_t update)
      : memory_(sizeof(StepScalars), device::Memory::Where::device, test_device()) {
    scalars.learning_rate = 1e-3;
    scalars.updates = update;
    device::copy(memory_.data(), test_device(), &scalars, {}, sizeof scalars, test_stream());
    device::synchronize(test_stream());
  }
  FlatPiece piece(const Array& master, const Array& gradient, int64_t id = 0) const {
    FlatPiece p;
    p.count = master.count(), p.master = master.data(), p.gradient = gradient.data();
    p.scalars = static_cast<const StepScalars*>(memory_.data());
    p.bf16_states = true, p.id = id;
    return p;
  }
  StepScalars scalars;

 private:
  device::Memory memory_;
};

// Without momentum the velocity is the gradient: what is kept of it is its rounding.
std::vector<double> kept(const std::vector<double>& numbers, int64_t update, int64_t id) {
  const Array master(DType::f32, std::vector<double>(numbers.size(), 0)),
      gradient(DType::f32, numbers), velocity(DType::bf16, std::vector<double>(numbers.size(), 0));
  const Step step(update);
  sgd({step.piece(master, gradient, id), velocity.data(), 0}, test_stream());
  return velocity.read();
}

double towards_zero(double x) {
  const auto bits = bits_as<uint32_t>(static_cast<float>(x));
  return static_cast<double>(bits_as<float>(bits & 0xffff0000u));
}
double away_from_zero(double x) {
  const auto bits = bits_as<uint32_t>(static_cast<float>(x));
  const uint32_t up = (bits & 0xffffu) == 0 ? bits : (bits & 0xffff0000u) + 0x10000u;
  return static_cast<double>(bits_as<float>(up));
}

// Numbers of every size and sign, subnormal ones too.
const std::vector<double> kNumbers =
    rounded(DType::f32,
            {1.001, -1.003, 3.1415926, 0.99999, 1e-3, -7.7e-12, 2.5e20, 1.5e-38, 3e-39, -1e-40});

TEST(RandomRounding, GivesANeighbourAndIsTheNumberOnAverage) {
  constexpr int64_t kUpdates = 400, kCopies = 200;
  std::vector<double> all;
  for (const double x : kNumbers) all.insert(all.end(), kCopies, x);
  std::vector<double> ups(all.size());  // how often an element was rounded away from zero
  for (int64_t update = 1; update <= kUpdates; ++update) {
    const std::vector<double> got = kept(all, update, 0);
    for (size_t i = 0; i < all.size(); ++i) {
      const double low = towards_zero(all[i]), high = away_from_zero(all[i]);
      ASSERT_TRUE(got[i] == low || got[i] == high) << all[i] << " became " << got[i];
      ups[i] += got[i] == high && high != low;
    }
  }
  for (size_t n = 0; n < kNumbers.size(); ++n) {
    const double x = kNumbers[n], low = towards_zero(x), high = away_from_zero(x);
    const double share = (x - low) / (high - low);
    // Of one element over the updates, and of all its copies; five deviations.
    double sum = 0;
    for (size_t c = 0; c < kCopies; ++c) {
      const double of_one = ups[n * kCopies + c];
      EXPECT_NEAR(of_one, kUpdates * share, 5 * std::sqrt(kUpdates * share * (1 - share)) + 1) << x;
      sum += of_one;
    }
    const double draws = static_cast<double>(kUpdates * kCopies);
    EXPECT_NEAR(sum, draws * share, 5 * std::sqrt(draws * share * (1 - share))) << x;
  }
}

TEST(RandomRounding, LeavesWhatBfloat16HoldsAndWhatIsNoNumber) {
  const double largest = 0x1.fep127, infinity = INFINITY;
  const std::vector<double> exact = {0, 1, -0.5, 3, largest, -largest, infinity, -infinity};
  std::vector<double> nearly(64, 0x1.fffffep127);  // above the largest bfloat16
  for (int64_t update = 1; update <= 50; ++update) {
    EXPECT_EQ(kept(exact, update, 7), exact);
    for (const double x : kept(nearly, update, 0)) EXPECT_TRUE(x == largest || x == infinity) << x;
  }
  for (uint32_t random = 0; random < 65536; random += 4369) {
    for (const uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xffffffffu, 0xff800001u, 0x7fc00000u}) {
      const BFloat16 got = bfloat16_at_random(bits_as<float>(bits), random);
      EXPECT_NE(widen(got), widen(got));
      EXPECT_EQ(got.bits >> 15, bits >> 31);
    }
  }
  const std::vector<double> gone = kept({std::nan("")}, 1, 0);
  EXPECT_NE(gone[0], gone[0]);
}

// Numbers that are part of every result: a run that goes on draws those that it would have drawn.
TEST(RandomRounding, DrawsTheSameForEver) {
  const RoundingBits bits = RoundingBits::of_step(3);
  EXPECT_EQ(bits.word(0), 1912066588u);
  EXPECT_EQ(bits.word(12345), 1044238443u);
  EXPECT_EQ(RoundingBits::of_step(4).word(12345), 718117241u);
}

// Words are even over their bits, and bits have nothing to do with those of the neighbour, of the
// step after, or of the other state.
TEST(RandomRounding, BitsAreIndependent) {
  constexpr int64_t kDraws = 200'000;
  const RoundingBits now = RoundingBits::of_step(1), next = RoundingBits::of_step(2);
  for (int bit = 0; bit < 32; ++bit) {
    int64_t ones = 0, as_neighbour = 0, as_next = 0, as_other = 0;
    for (int64_t i = 0; i < kDraws; ++i) {
      const auto id = static_cast<uint32_t>(i);
      const auto of = [bit](uint32_t word) { return (word >> bit) & 1u; };
      const uint32_t word = now.word(id);
      ones += of(word);
      as_neighbour += of(word) == of(now.word(id + 1));
      as_next += of(word) == of(next.word(id));
      as_other += of(word) == of(word >> 16 | word << 16);
    }
    const double limit = 5 * std::sqrt(kDraws / 4.0);
    for (const int64_t count : {ones, as_neighbour, as_next, as_other})
      EXPECT_NEAR(static_cast<double>(count), kDraws / 2.0, limit) << bit;
  }
}

struct States {
  std::vector<double> p, g, m, v;
  explicit States(int64_t n)
      : p(rounded(DType::f32, normal_values(n, 1))),
        g(rounded(DType::f32, normal_values(n, 2))),
        m(rounded(DType::bf16, normal_values(n, 3, 0.1))),
        v(rounded(DType::bf16, normal_values(n, 4, 0.1))) {
    for (double& x : v) x = x * x;
    v = rounded(DType::bf16, v);
  }
};

// Decays of a half, so that no product rounds and it is the same whether or not multiply and add
// are fused: each element as the host computes it, to the bit, on any device.
TEST(RandomRounding, StatesHaveTheSameBitsOnAnyDevice) {
  for (const int64_t count : {1, 7, 64, 6007}) {
    for (const int64_t shift : {0, 1, 4}) {
      States s(count);
      const Array p(DType::f32, s.p), g(DType::f32, s.g, shift), m(DType::bf16, s.m, shift),
          v(DType::bf16, s.v), value(DType::bf16, count);
      const Step step(9);
      AdamW a{step.piece(p, g, (int64_t{1} << 32) - 1000), m.data(), v.data(), 0.5, 0.5};
      a.piece.value = value.data();
      adamw(a, test_stream());
      const auto numbers = AdamWNumbers<float>::from(a, step.scalars);
      for (size_t i = 0; i < s.p.size(); ++i) {
        BFloat16 first = bfloat16_from(static_cast<float>(s.m[i])),
                 second = bfloat16_from(static_cast<float>(s.v[i]));
        s.p[i] = static_cast<double>(
            numbers.update(static_cast<float>(s.p[i]), static_cast<float>(s.g[i]), first, second,
                           1.0f, static_cast<uint32_t>(a.piece.id) + static_cast<uint32_t>(i)));
        s.m[i] = static_cast<double>(widen(first)), s.v[i] = static_cast<double>(widen(second));
      }
      EXPECT_EQ(m.read(), s.m);
      EXPECT_EQ(v.read(), s.v);
      EXPECT_NEAR_ARRAY(p.read(), s.p, 1e-6);
      EXPECT_EQ(value.read(), rounded(DType::bf16, p.read()));
    }
  }
}

// Whatever the cut, and wherever a piece lies, as long as ids go with the elements.
TEST(RandomRounding, PiecesEqualTheWhole) {
  const int64_t count = 6007;
  const States s(count);
  const auto run = [&](const std::vector<int64_t>& cuts, int64_t first_id) {
    const Array p(DType::f32, s.p), g(DType::f32, s.g), m(DType::bf16, s.m), v(DType::bf16, s.v);
    const Step step(2);
    for (size_t c = 0; c + 1 < cuts.size(); ++c) {
      const int64_t at = cuts[c];
      FlatPiece piece = step.piece(p, g, first_id + at);
      piece.begin = at, piece.count = cuts[c + 1] - at;
      piece.master = p.as<float>() + at, piece.gradient = g.as<float>() + at;
      adamw({piece, m.as<BFloat16>() + at, v.as<BFloat16>() + at}, test_stream());
    }
    std::vector<unsigned char> bits;
    for (const Array* array : {&p, &m, &v})
      for (const unsigned char b : array->bits()) bits.push_back(b);
    return bits;
  };
  const auto whole = run({0, count}, 100);
  EXPECT_EQ(whole, run({0, 5, 11, 777, 778, 4500, count}, 100));
  EXPECT_EQ(whole, run({0, 1024, 2048, 4096, count}, 100));
  EXPECT_NE(whole, run({0, count}, 101));
  expect_same_bits([&] { return run({0, count}, 100); });
}

}  // namespace
}  // namespace ocoee::kernels::test
