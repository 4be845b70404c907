// SPDX-License-Identifier: Apache-2.0
// The multi-spin Ising kernel: against a sweep written out spin by spin, against the exact
// distribution of a narrow strip, and against Onsager.
#include "kernels/alloy_ising.h"

#include <gtest/gtest.h>

#include "kernels/alloy_model.h"
#include "kernels/chi_square.h"

namespace ocoee::kernels::test {
namespace {

class Spins {
 public:
  Spins(int64_t width, int64_t height, uint32_t pattern)
      : width_(width),
        height_(height),
        colours_{colour(pattern), colour(pattern)},
        sums_(std::vector<uint64_t>(2)) {}
  void randomise(uint64_t seed) {
    for (size_t c = 0; c < 2; ++c) {
      RandomStream random(seed, Purpose::noise, c, 0);
      std::vector<uint32_t> words(static_cast<size_t>(width_ * height_ / 64));
      for (uint32_t& word : words) word = random.next32();
      colours_[c].write(words);
    }
  }
  void sweep(double beta, uint64_t seed, int sweeps = 1) {
    for (int s = 0; s < sweeps; ++s) {
      Ising a;
      a.width = width_, a.height = height_, a.beta = beta, a.seed = seed;
      a.sweep = sweeps_++;
      a.spins[0] = colours_[0].data(), a.spins[1] = colours_[1].data();
      ising_sweep(a, test_stream());
    }
  }
  struct Measured {
    double energy, magnetisation;  // of all spins
  };
  Measured measure() const {
    sums_.write({0, 0});
    ising_measure({width_, height_, {colours_[0].data(), colours_[1].data()}, sums_.data()},
                  test_stream());
    const auto sums = sums_.read();
    const auto n = static_cast<double>(width_ * height_);
    return {2 * static_cast<double>(sums[1]) - 2 * n, 2 * static_cast<double>(sums[0]) - n};
  }
  std::vector<std::vector<int>> spins() const {  // [y][x]
    std::vector<std::vector<int>> all(static_cast<size_t>(height_),
                                      std::vector<int>(static_cast<size_t>(width_)));
    for (int64_t c = 0; c < 2; ++c) {
      const auto words = colours_[static_cast<size_t>(c)].read();
      for (int64_t y = 0; y < height_; ++y)
        for (int64_t k = 0; k < width_ / 2; ++k)
          all[static_cast<size_t>(y)][static_cast<size_t>(2 * k + (y + c) % 2)] =
              (words[static_cast<size_t>(y * width_ / 64 + k / 32)] >> (k % 32)) & 1 ? 1 : -1;
    }
    return all;
  }

 private:
  DeviceArray<uint32_t> colour(uint32_t pattern) const {
    return DeviceArray<uint32_t>(
        std::vector<uint32_t>(static_cast<size_t>(width_ * height_ / 64), pattern));
  }
  int64_t width_, height_;
  DeviceArray<uint32_t> colours_[2];
  DeviceArray<uint64_t> sums_;
  uint64_t sweeps_ = 0;
};

// From the definition: 40-bit numbers, spin by spin.
void plain_sweep(std::vector<std::vector<int>>& s, double beta, uint64_t seed, uint64_t sweep) {
  const auto height = static_cast<int64_t>(s.size()), width = static_cast<int64_t>(s[0].size());
  const PhiloxKey key = random_key(seed, Purpose::monte_carlo, sweep);
  const auto p40 = [](double p) {
    return std::min<uint64_t>(static_cast<uint64_t>(std::llround(p * 0x1p40)), (1ull << 40) - 1);
  };
  const auto at = [&](int64_t x, int64_t y) -> int& {
    return s[static_cast<size_t>((y + height) % height)][static_cast<size_t>((x + width) % width)];
  };
  for (int64_t c = 0; c < 2; ++c) {
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t q = 0; q < width / 256; ++q) {
        const auto id = static_cast<uint64_t>(2 * (y * width / 256 + q) + c);
        uint64_t open = 0;
        for (int64_t k = 0; k < 128; ++k) {
          const int64_t x = 2 * (128 * q + k) + (y + c) % 2;
          const int field = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
          const int change = 2 * at(x, y) * field;
          bool flip = change <= 0;
          if (!flip) {
            const uint64_t p = p40(std::exp(-beta * change));
            uint64_t high = 0;
            for (uint64_t t = 0; t < 8; ++t)
              high = 2 * high + ((random_bits(key, id, t).v[k / 32] >> (k % 32)) & 1);
            flip = high < p >> 32;
            if (high == p >> 32) {
              const uint32_t word = random_bits(key, id, 8 + open / 4).v[open % 4];
              flip = word < (p & 0xffffffff), ++open;
            }
          }
          if (flip) at(x, y) = -at(x, y);
        }
      }
    }
  }
}

TEST(Ising, EqualsTheSweepWrittenOut) {
  for (const auto& [width, height] :
       std::vector<std::pair<int64_t, int64_t>>{{256, 2}, {256, 6}, {768, 4}, {1024, 34}}) {
    for (const double beta : {0.0, 0.1, 0.44, 2.0}) {
      Spins spins(width, height, 0);
      spins.randomise(4);
      auto plain = spins.spins();
      for (uint64_t sweep = 0; sweep < 4; ++sweep) plain_sweep(plain, beta, 7, sweep);
      spins.sweep(beta, 7, 4);
      ASSERT_EQ(spins.spins(), plain) << width << " x " << height << ", beta " << beta;
      double energy = 0, magnetisation = 0;
      for (size_t y = 0; y < plain.size(); ++y)
        for (size_t x = 0; x < plain[0].size(); ++x) {
          energy -= plain[y][x] *
                    (plain[y][(x + 1) % plain[0].size()] + plain[(y + 1) % plain.size()][x]);
          magnetisation += plain[y][x];
        }
      EXPECT_EQ(spins.measure().energy, energy);
      EXPECT_EQ(spins.measure().magnetisation, magnetisation);
    }
  }
}

// Energies of the strip of two rows and 256 columns by transfer matrix: the weight of every energy.
std::vector<double> strip_distribution(double beta) {
  const int columns = 256;  // levels: satisfied bonds, of 4 a column
  const auto bonds_between = [](int a, int b) {
    return ((a ^ b) & 1 ? 0 : 1) + ((a ^ b) & 2 ? 0 : 1);
  };
  // A column's two vertical bonds (up and down lead to the same spin).
  const auto bonds_within = [](int a) { return (a == 0 || a == 3) ? 2 : 0; };
  const size_t levels = static_cast<size_t>(4 * columns) + 1;
  std::vector<double> total(levels);
  for (int first = 0; first < 4; ++first) {
    std::vector<std::vector<double>> weight(4, std::vector<double>(levels));
    weight[static_cast<size_t>(first)][static_cast<size_t>(bonds_within(first))] = 1;
    for (int column = 1; column <= columns; ++column) {
      std::vector<std::vector<double>> next(4, std::vector<double>(levels));
      for (int a = 0; a < 4; ++a)
        for (int b = 0; b < 4; ++b) {
          if (column == columns && b != first) continue;
          const auto more =
              static_cast<size_t>(bonds_between(a, b) + (column == columns ? 0 : bonds_within(b)));
          // e^(beta (satisfied - broken)) of the 4 bonds, scaled down.
          const double factor = std::exp(2 * beta * (static_cast<double>(more) - 4));
          for (size_t e = 0; e + more < levels; ++e)
            next[static_cast<size_t>(b)][e + more] += factor * weight[static_cast<size_t>(a)][e];
        }
      weight = next;
    }
    const double own = std::exp(2 * beta * bonds_within(first));
    for (size_t e = 0; e < levels; ++e) total[e] += own * weight[static_cast<size_t>(first)][e];
  }
  double norm = 0;
  for (const double w : total) norm += w;
  for (double& w : total) w /= norm;
  return total;
}

double strip_p(double beta, double simulated) {
  const std::vector<double> probability = strip_distribution(beta);
  std::vector<int64_t> seen(probability.size());
  Spins spins(256, 2, 0xffffffff);
  spins.sweep(simulated, 12, 200);
  for (int sample = 0; sample < 4000; ++sample) {
    spins.sweep(simulated, 12, 12);
    // E = 2 (broken) - bonds, with 4 x 256 bonds: satisfied = (1024 - E) / 2.
    ++seen[static_cast<size_t>((1024 - spins.measure().energy) / 2)];
  }
  return ocoee::test::chi_square_p(probability, seen);
}

TEST(Ising, EnergiesOfAStripAreThoseOfTheEnsemble) {
  for (const double beta : {0.25, 0.5}) {
    EXPECT_GT(strip_p(beta, beta), 1e-4);
    EXPECT_LT(strip_p(beta, 1.05 * beta), 1e-6) << "a wrong acceptance rule";
  }
}

// Onsager (1944), Yang (1952): u and m per site, J = 1.
double onsager_energy(double temperature) {
  const double k = 1 / temperature, q = 2 * std::sinh(2 * k) / std::pow(std::cosh(2 * k), 2);
  // The complete elliptic integral of the first kind by the arithmetic-geometric mean.
  double a = 1, b = std::sqrt(1 - q * q);
  while (std::abs(a - b) > 1e-15) {
    const double mean = (a + b) / 2;
    b = std::sqrt(a * b), a = mean;
  }
  const double integral = M_PI / (2 * a), t = std::tanh(2 * k);
  return -1 / t * (1 + 2 / M_PI * (2 * t * t - 1) * integral);
}

TEST(Ising, Onsager) {
  const OneThread one;
  EXPECT_NEAR(onsager_energy(1.5), -1.9511165731, 1e-9);
  EXPECT_NEAR(onsager_energy(3.0), -0.8173095925, 1e-9);
  const int64_t size = on_gpu() ? 4096 : 256;
  for (const double temperature : {1.5, 2.0, 3.0}) {
    Spins spins(size, size, 0xffffffff);
    const int sweeps = on_gpu() ? 1000 : 1500, blocks = 20;
    spins.sweep(1 / temperature, 3, 300);
    std::vector<double> u(blocks), m(blocks), with_sign(blocks);
    const auto n = static_cast<double>(size * size);
    for (int b = 0; b < blocks; ++b)
      for (int s = 0; s < sweeps / blocks; ++s) {
        spins.sweep(1 / temperature, 3, on_gpu() ? 4 : 1);
        const auto measured = spins.measure();
        u[static_cast<size_t>(b)] += measured.energy / n / (sweeps / blocks);
        m[static_cast<size_t>(b)] += std::abs(measured.magnetisation) / n / (sweeps / blocks);
        with_sign[static_cast<size_t>(b)] += measured.magnetisation / n / (sweeps / blocks);
      }
    const auto check = [&](const std::vector<double>& x, double exact, const char* what,
                           double bound) {
      double mean = 0, variance = 0;
      for (const double v : x) mean += v / blocks;
      for (const double v : x) variance += (v - mean) * (v - mean) / (blocks - 1) / blocks;
      const double error = std::sqrt(variance);
      std::printf("T %.1f %s %.7f exact %.7f error %.1e\n", temperature, what, mean, exact, error);
      EXPECT_LT(std::abs(mean - exact), 4 * error) << what << " at T = " << temperature;
      EXPECT_LT(std::abs(mean - exact), bound);
    };
    check(u, onsager_energy(temperature), "u", on_gpu() ? 2e-5 : 2e-3);
    if (temperature < 2.2)
      check(m, std::pow(1 - std::pow(std::sinh(2 / temperature), -4.0), 0.125), "m",
            on_gpu() ? 2e-5 : 2e-3);
    else  // above the transition all signs are alike
      check(with_sign, 0, "m", on_gpu() ? 2e-4 : 8e-3);
  }
}

}  // namespace
}  // namespace ocoee::kernels::test
