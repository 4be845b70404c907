// SPDX-License-Identifier: Apache-2.0
// The square of 6 x 3 sites with 9 + 9 atoms, two link cells at once: a great many samples against
// the enumeration of its 48,620 arrangements.
#include <bit>
#include <cmath>
#include <cstdio>
#include <map>

#include "alloys_gpu/alloys_gpu.h"
#include "kernels/alloy_swap.h"
#include "kernels/chi_square.h"

namespace ocoee::bench {

void exact_samples(const device::Stream& stream, double samples) {
  using namespace kernels;
  constexpr int64_t kReplicas = 1 << 20;
  constexpr double kBeta = 0.35;
  AlloyLattice lattice;
  lattice.cells[0] = 6, lattice.cells[1] = 3, lattice.replicas = kReplicas;
  const AlloyRules rules(lattice, alloy_bonds("square", 1), 2, {-1, 1, 1, -1});

  // Energy by the 18 bits of an arrangement, -100 where there are not nine atoms.
  std::vector<int> energy(1 << 18, -100);
  std::map<int, double> weight;
  for (uint32_t bits = 0; bits < energy.size(); ++bits) {
    if (std::popcount(bits) != 9) continue;
    const auto at = [&](int x, int y) { return (bits >> (y % 3 * 6 + x % 6)) & 1u; };
    int e = 0;
    for (int y = 0; y < 3; ++y)
      for (int x = 0; x < 6; ++x)
        e += (at(x, y) == at(x + 1, y) ? -1 : 1) + (at(x, y) == at(x, y + 1) ? -1 : 1);
    energy[bits] = e;
    weight[e] += std::exp(-kBeta * e);
  }
  double norm = 0;
  for (const auto& [e, w] : weight) norm += w;

  std::vector<uint32_t> start;
  for (int64_t r = 0; r < kReplicas; ++r) start.insert(start.end(), {0x2a, 0x15, 0x2a});
  const OnDevice<uint32_t> words(stream, start);
  const OnDevice<int32_t> tables(stream, rules.tables());
  const OnDevice<float> beta(stream, std::vector<float>(kReplicas, static_cast<float>(kBeta)));
  const OnDevice<AlloySums> sums(stream, kReplicas * AlloySums::kSlots);
  AlloySwap a;
  a.lattice = lattice, a.geometry = rules.geometry(), a.tables = tables.data();
  a.beta = beta.data(), a.words = words.data(), a.sums = sums.data();
  a.trials = 4, a.seed = 5, a.link_layers = 1;
  const auto run = [&](int steps) {
    for (int s = 0; s < steps; ++s, ++a.step) alloy_swap(a, stream);
  };
  run(300);
  std::map<int, int64_t> seen;
  double taken = 0;
  while (taken < samples) {
    run(40);
    const auto now = words.read();
    for (int64_t r = 0; r < kReplicas; ++r) {
      const auto* row = now.data() + 3 * r;
      ++seen[energy[row[0] | row[1] << 6 | row[2] << 12]];
    }
    taken += static_cast<double>(kReplicas);
  }
  std::vector<double> probability;
  std::vector<int64_t> counts;
  double worst = 0;
  for (const auto& [e, w] : weight) {
    probability.push_back(w / norm), counts.push_back(seen[e]);
    const double expected = w / norm * taken;
    if (expected > 1000)
      worst = std::max(worst, std::abs(static_cast<double>(seen[e]) / expected - 1));
    seen.erase(e);
  }
  std::printf(
      "exact: square 6x3, 9 + 9, two link cells at once, %.3e samples: chi-square p = %.3f, "
      "largest relative deviation %.1e, impossible states %zu\n",
      taken, ocoee::test::chi_square_p(probability, counts), worst, seen.size());
  std::fflush(stdout);
}

}  // namespace ocoee::bench
