// SPDX-License-Identifier: Apache-2.0
// The link-cell sampler draws from exp(-beta E): energies (or whole arrangements) of independent
// replicas against a full enumeration, in crystals where several link cells move at once. A sampler
// that is wrong on purpose is found out by the same test.
#include <gtest/gtest.h>

#include <map>

#include "kernels/alloy_model.h"
#include "kernels/chi_square.h"

namespace ocoee::kernels::test {
namespace {

struct ExactCase {
  const char* name;
  AlloyCase alloy;
  float beta;
  bool pinned;  // one atom of the last species: all its places are alike, so it may stay at site 0
};

std::vector<ExactCase> exact_cases() {
  return {
      {"square 6x3, binary 9 + 9",
       {"square", {6, 3, 1}, 1, 2, 1, {9, 9}, {-1, 1, 1, -1}},
       0.35f,
       false},
      {"square 6x3, 13 + 3 + 2, two shells",
       {"square", {6, 3, 1}, 2, 3, 2, {13, 3, 2}, random_energies(2, 3, 4, 11)},
       0.45f,
       false},
      {"square 4x6, 20 + 2 + 2, two shells, other cores",
       {"square", {4, 6, 1}, 2, 3, 4, {20, 2, 2}, random_energies(2, 3, 4, 12), {3, 2, 1}},
       0.6f,
       false},
      {"bcc 6x3x3, 104 + 2 + 1 + 1, two shells",
       {"bcc", {6, 3, 3}, 2, 4, 2, {104, 2, 1, 1}, random_energies(2, 4, 6, 13)},
       0.5f,
       true},
      {"fcc 3x6x3, 213 + 2 + 1, two shells",
       {"fcc", {3, 6, 3}, 2, 3, 2, {213, 2, 1}, random_energies(2, 3, 6, 14)},
       0.25f,
       true},
      {"bcc 4x4x8, 253 + 2 + 1, six shells",
       {"bcc", {4, 4, 8}, 6, 3, 2, {253, 2, 1}, random_energies(6, 3, 5, 15)},
       0.25f,
       true},
  };
}

// Arrangements by energy.
std::map<int64_t, double> enumerate(const ExactCase& c) {
  const PlainAlloy plain(c.alloy);
  std::vector<uint8_t> species(plain.sites(), 0);
  std::map<int64_t, double> counts;
  std::vector<uint8_t> atoms;  // those of species 1 and more
  for (size_t s = c.alloy.atoms.size(); s-- > 1;)
    atoms.insert(atoms.end(), static_cast<size_t>(c.alloy.atoms[s]), static_cast<uint8_t>(s));
  const auto put = [&](size_t site, uint8_t s) {
    int64_t change = 0;
    for (const auto& n : plain.neighbours(site))
      change += plain.pair(n.shell, s, species[n.site]) - plain.pair(n.shell, 0, species[n.site]);
    species[site] = s;
    return change;
  };
  const auto place = [&](auto&& self, size_t k, size_t first, int64_t energy) -> void {
    if (k == atoms.size()) {
      counts[energy] += 1;
      return;
    }
    const size_t last = k == 0 && c.pinned ? 1 : species.size();
    for (size_t site = first; site < last; ++site) {
      if (species[site]) continue;
      const int64_t change = put(site, atoms[k]);
      const bool same = k + 1 < atoms.size() && atoms[k + 1] == atoms[k];
      self(self, k + 1, same ? site + 1 : 0, energy + change);
      species[site] = 0;
    }
  };
  place(place, 0, 0, plain.energy(species));
  return counts;
}

// Mistakes that one could make: a temperature 10 % too low; the bond between the two atoms that
// swap counted from both of its ends.
enum class Fault { none, temperature, double_bond };

// A core's sites know in which shell they see each other, since their common bond would count twice
// otherwise. Here those of the last shell do not know.
std::vector<int32_t> with_double_bonds(const AlloyRules& rules) {
  const AlloyGeometry& g = rules.geometry();
  std::vector<int32_t> tables = rules.tables();
  int32_t last = 0;
  const auto first = tables.begin() + g.pair_shell, end = first + g.core_sites * g.core_sites;
  for (auto shell = first; shell != end; ++shell) last = std::max(last, *shell);
  std::replace(first, end, last, 0);
  return tables;
}

double p_of(const ExactCase& c, Fault fault) {
  const PlainAlloy plain(c.alloy);
  const std::map<int64_t, double> exact = enumerate(c);
  std::vector<double> probability;
  std::map<int64_t, size_t> place;
  double norm = 0;
  for (const auto& [energy, count] : exact) {
    place[energy] = probability.size();
    probability.push_back(count * std::exp(-static_cast<double>(c.beta) *
                                           static_cast<double>(energy - exact.begin()->first)));
    norm += probability.back();
  }
  for (double& p : probability) p /= norm;

  // Random starts, so that a few hundred steps forget them.
  const size_t replicas = on_gpu() ? 32768 : 1536;
  std::vector<std::vector<uint8_t>> starts;
  for (size_t r = 0; r < replicas; ++r) starts.push_back(plain.shuffled(r));
  RunningAlloy alloy(
      c.alloy, starts,
      std::vector<float>(replicas, fault == Fault::temperature ? 1.1f * c.beta : c.beta));
  const AlloyGeometry& g = alloy.rules().geometry();
  EXPECT_GE(g.links[0] * g.links[1] * g.links[2], 2) << "several link cells move at once";
  if (fault == Fault::double_bond) alloy.use_tables(with_double_bonds(alloy.rules()));
  std::vector<int64_t> seen(probability.size());
  const bool dilute = c.alloy.atoms[0] > 100;
  const OneThread one;  // steps are too small for a team
  alloy.run(dilute ? 200 : 100, g.core_sites, 21);
  for (int sample = 0; sample < 4; ++sample) {
    alloy.run(50, g.core_sites, 21);
    for (const auto& species : alloy.species()) {
      const auto found = place.find(plain.energy(species));
      if (found == place.end()) return ADD_FAILURE() << "an energy that no arrangement has", 0;
      ++seen[found->second];
    }
  }
  return ocoee::test::chi_square_p(probability, seen);
}

// Seeds are fixed, so these are no tests of luck: at 24 tests, Holm's first step at 0.001.
TEST(AlloyExact, EnergiesAreThoseOfTheEnsemble) {
  for (const ExactCase& c : exact_cases()) {
    const double p = p_of(c, Fault::none);
    EXPECT_GT(p, 0.001 / 24) << c.name;
    std::printf("%-52s p = %.3f\n", c.name, p);
  }
}

TEST(AlloyExact, AWrongAcceptanceRuleIsFound) {
  for (const ExactCase& c : exact_cases()) {
    const double colder = p_of(c, Fault::temperature), twice = p_of(c, Fault::double_bond);
    std::printf("%-52s p = %.1e 10 %% colder, %.1e with double bonds\n", c.name, colder, twice);
    EXPECT_LT(colder, 1e-6) << c.name;
    EXPECT_LT(twice, 1e-6) << c.name;
  }
}

// Every single arrangement of two atoms, far or near, across cores and gaps.
double p_of_arrangements(Fault fault) {
  AlloyCase c{"square", {6, 3, 1}, 2, 3, 2, {16, 1, 1}, random_energies(2, 3, 3, 16)};
  const float beta = 0.6f;
  const PlainAlloy plain(c);
  std::vector<double> probability(18 * 18);
  double norm = 0;
  for (size_t i = 0; i < 18; ++i)
    for (size_t j = 0; j < 18; ++j) {
      if (i == j) continue;
      std::vector<uint8_t> species(18, 0);
      species[i] = 1, species[j] = 2;
      norm += probability[i * 18 + j] =
          std::exp(-static_cast<double>(beta) * static_cast<double>(plain.energy(species)));
    }
  for (double& p : probability) p /= norm;
  std::vector<std::vector<uint8_t>> starts;
  for (size_t r = 0; r < 4096; ++r) starts.push_back(plain.shuffled(r));
  RunningAlloy alloy(
      c, starts,
      std::vector<float>(starts.size(), fault == Fault::temperature ? 1.1f * beta : beta));
  if (fault == Fault::double_bond) alloy.use_tables(with_double_bonds(alloy.rules()));
  std::vector<int64_t> seen(probability.size());
  const OneThread one;
  alloy.run(100, 4, 31);
  for (int sample = 0; sample < 40; ++sample) {
    alloy.run(30, 4, 31);
    for (const auto& species : alloy.species()) {
      const auto at = [&](int s) {
        return static_cast<size_t>(std::find(species.begin(), species.end(), s) - species.begin());
      };
      ++seen[at(1) * 18 + at(2)];
    }
  }
  return ocoee::test::chi_square_p(probability, seen);
}

TEST(AlloyExact, EveryArrangementHasItsShare) {
  const double right = p_of_arrangements(Fault::none),
               colder = p_of_arrangements(Fault::temperature),
               twice = p_of_arrangements(Fault::double_bond);
  std::printf("every arrangement: p = %.3f, %.1e 10 %% colder, %.1e with double bonds\n", right,
              colder, twice);
  EXPECT_GT(right, 0.001 / 24);
  EXPECT_LT(colder, 1e-6);
  EXPECT_LT(twice, 1e-6);
}

TEST(ChiSquare, KnownTails) {
  EXPECT_NEAR(ocoee::test::chi_square_tail(3.841458820694124, 1), 0.05, 1e-12);
  EXPECT_NEAR(ocoee::test::chi_square_tail(18.307038053275146, 10), 0.05, 1e-12);
  EXPECT_NEAR(ocoee::test::chi_square_tail(149.449252779, 100), 0.001, 1e-9);
}

}  // namespace
}  // namespace ocoee::kernels::test
