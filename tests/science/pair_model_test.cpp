// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/pair_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "run/scratch.h"

namespace ocoee::alloy {
namespace {

PairInteractions random_pairs(int species, int shells, uint64_t seed, bool integer) {
  RandomStream random(seed, Purpose::monte_carlo, 0, 0);
  std::vector<std::string> names;
  for (int a = 0; a < species; ++a) names.push_back(std::string(1, static_cast<char>('A' + a)));
  PairInteractions pairs(names, shells);
  const auto draw = [&] {
    return integer ? static_cast<double>(random.below(21)) - 10 : 0.1 * random.normal();
  };
  for (int s = 0; s < shells; ++s)
    for (int a = 0; a < species; ++a)
      for (int b = a; b < species; ++b) pairs.set(s, a, b, draw());
  for (int a = 0; a < species; ++a) pairs.point.push_back(draw());
  return pairs;
}

// The definition, over the explicit table of neighbours.
double energy_by_definition(const Lattice& lattice, const std::vector<Shell>& shells,
                            const PairInteractions& pairs, const Configuration& configuration) {
  const NeighbourTable table(lattice, shells);
  double sum = pairs.constant * static_cast<double>(lattice.sites());
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    if (!pairs.point.empty()) sum += pairs.point[static_cast<size_t>(configuration[site])];
    for (int s = 0; s < pairs.shells; ++s)
      for (const uint32_t other : table.of(site, s))
        sum += pairs.at(s, configuration[site], configuration[other]) / 2;
  }
  return sum;
}

void scatter(Configuration& configuration, int species, RandomStream& random) {
  for (int64_t site = 0; site < configuration.sites(); ++site)
    configuration.set(site, static_cast<int>(random.below(static_cast<uint64_t>(species))));
}

class PairModelOn : public testing::TestWithParam<std::tuple<std::string, CellIndex>> {};

// Small cells on purpose: images with multiplicity, sites that see themselves, neighbours swapped.
TEST_P(PairModelOn, ChangesEqualRecountsBitForBit) {
  const auto& [kind, repeats] = GetParam();
  const Lattice lattice(lattice_cell(kind, 1, 1.6), repeats);
  const std::vector<Shell> shells = find_shells(lattice.cell(), 4);
  for (const bool integer : {true, false}) {
    const PairInteractions pairs = random_pairs(3, 4, 5, integer);
    const PairModel model(lattice, shells, pairs);
    Configuration configuration(model.grid());
    RandomStream random(7, Purpose::monte_carlo, 1, 0);
    scatter(configuration, 3, random);
    const double definition = energy_by_definition(lattice, shells, pairs, configuration);
    EXPECT_NEAR(model.value(model.total(configuration)), definition,
                integer ? 0 : 1e-8 * static_cast<double>(lattice.sites()));
    std::vector<double> local(static_cast<size_t>(lattice.sites()));
    model.local_energies(configuration, local);
    double sum = 0;
    for (const double energy : local) sum += energy;
    EXPECT_NEAR(sum, definition, 1e-8 * static_cast<double>(lattice.sites()));

    Energy energy = model.total(configuration);
    const auto sites = static_cast<uint64_t>(lattice.sites());
    for (int move = 0; move < 600; ++move) {
      if (move % 2 == 0) {
        const Swap swap{static_cast<int64_t>(random.below(sites)),
                        static_cast<int64_t>(random.below(sites))};
        if (configuration[swap.a] == configuration[swap.b]) continue;
        const std::vector<uint8_t> before = configuration.species();
        energy += model.change_by_swap(configuration, swap);
        ASSERT_EQ(configuration.species(), before) << "asking must not change anything";
        configuration.swap(swap.a, swap.b);
      } else {
        const auto site = static_cast<int64_t>(random.below(sites));
        const int to = static_cast<int>(random.below(3));
        energy += model.change_by_flip(configuration, site, to);
        configuration.set(site, to);
      }
      ASSERT_EQ(energy, model.total(configuration)) << "after move " << move;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Lattices, PairModelOn,
                         testing::Combine(testing::Values("square", "bcc", "fcc", "hcp", "diamond"),
                                          testing::Values(CellIndex{1, 1, 1}, CellIndex{2, 2, 2},
                                                          CellIndex{1, 3, 2}, CellIndex{5, 4, 6})),
                         [](const auto& tested) {
                           const CellIndex& r = std::get<1>(tested.param);
                           return fmt::format("{}_{}_{}_{}", std::get<0>(tested.param), r[0], r[1],
                                              r[2]);
                         });

// Six shells of four species with whole couplings, in a cell so small that images count several
// times: the change of each of 10^6 swaps is the difference of two full counts of all bonds.
TEST(PairModel, EachOfAMillionMovesEqualsAFullRecount) {
  const Lattice lattice(lattice_cell("bcc"), {3, 2, 2});
  const PairModel model(lattice, find_shells(lattice.cell(), 6), random_pairs(4, 6, 3, true));
  Configuration configuration(model.grid());
  RandomStream random(2, Purpose::monte_carlo, 0, 0);
  scatter(configuration, 4, random);
  Energy energy = model.total(configuration);
  const auto sites = static_cast<uint64_t>(lattice.sites());
  for (int64_t move = 0; move < 1'000'000; ++move) {
    Swap swap;
    do {
      swap = {static_cast<int64_t>(random.below(sites)), static_cast<int64_t>(random.below(sites))};
    } while (configuration[swap.a] == configuration[swap.b]);
    const Energy change = model.change_by_swap(configuration, swap);
    configuration.swap(swap.a, swap.b);
    const Energy after = model.total(configuration);
    ASSERT_EQ(change, after - energy) << "move " << move;
    energy = after;
  }
}

// 10^6 swaps in a crystal: each change is what the bonds of the two sites say by the explicit table
// of neighbours, whole couplings in doubles, and the sum is a full count all along.
TEST(PairModel, AMillionMovesInACrystalAreExact) {
  const Lattice lattice(lattice_cell("bcc"), {8, 8, 8});
  const std::vector<Shell> shells = find_shells(lattice.cell(), 6);
  const PairInteractions pairs = random_pairs(4, 6, 3, true);
  const PairModel model(lattice, shells, pairs);
  const NeighbourTable table(lattice, shells);
  Configuration configuration(model.grid());
  RandomStream random(2, Purpose::monte_carlo, 0, 0);
  scatter(configuration, 4, random);
  std::vector<uint8_t> species = configuration.species();
  // Bonds of both sites, that between them once.
  const auto around = [&](const Swap& swap) {
    double sum = 0;
    for (const int64_t site : {swap.a, swap.b})
      for (int s = 0; s < 6; ++s)
        for (const uint32_t other : table.of(site, s)) {
          const double bond = pairs.at(s, species[static_cast<size_t>(site)], species[other]);
          sum += other == swap.a || other == swap.b ? bond / 2 : bond;
        }
    return sum;
  };
  Energy energy = model.total(configuration);
  const auto sites = static_cast<uint64_t>(lattice.sites());
  for (int64_t move = 1; move <= 1'000'000; ++move) {
    const Swap swap{static_cast<int64_t>(random.below(sites)),
                    static_cast<int64_t>(random.below(sites))};
    const Energy change = model.change_by_swap(configuration, swap);
    const double before = around(swap);
    configuration.swap(swap.a, swap.b);
    std::swap(species[static_cast<size_t>(swap.a)], species[static_cast<size_t>(swap.b)]);
    ASSERT_EQ(static_cast<double>(change) * model.quantum(), around(swap) - before)
        << "move " << move;
    energy += change;
    if (move % 2000 == 0) {
      ASSERT_EQ(energy, model.total(configuration)) << "move " << move;
    }
  }
}

TEST(PairModel, BondsOfAShellAddUp) {
  const Lattice lattice(lattice_cell("fcc"), {3, 2, 1});
  const std::vector<Shell> shells = find_shells(lattice.cell(), 5);
  const PairModel model(lattice, shells, random_pairs(4, 2, 1, true), 5);
  Configuration configuration(model.grid());
  RandomStream random(3, Purpose::monte_carlo, 0, 0);
  scatter(configuration, 4, random);
  const BondCounts bonds = model.count_bonds(configuration);
  ASSERT_EQ(bonds.shells, 5);
  for (int s = 0; s < 5; ++s) {
    int64_t sum = 0;
    for (int a = 0; a < 4; ++a)
      for (int b = a; b < 4; ++b) sum += bonds.at(s, a, b);
    EXPECT_EQ(2 * static_cast<double>(sum),
              static_cast<double>(lattice.sites()) * shells[static_cast<size_t>(s)].coordination());
  }
}

TEST(Interactions, TheUnlikePairGaugeChangesNoEnergy) {
  const Lattice lattice(lattice_cell("bcc"), {3, 3, 2});
  const std::vector<Shell> shells = find_shells(lattice.cell(), 3);
  const PairInteractions pairs = random_pairs(3, 3, 9, true);
  const PairInteractions gauged = to_unlike_gauge(pairs, {8, 6, 12});
  for (int a = 0; a < 3; ++a) EXPECT_EQ(gauged.at(1, a, a), 0);
  const PairModel one(lattice, shells, pairs), other(lattice, shells, gauged);
  Configuration configuration(one.grid());
  RandomStream random(4, Purpose::monte_carlo, 0, 0);
  scatter(configuration, 3, random);
  EXPECT_EQ(one.value(one.total(configuration)), other.value(other.total(configuration)));
}

TEST(Interactions, TheirFilesSayWhatIsWrong) {
  const run::testing_support::Scratch scratch;
  PairInteractions pairs = random_pairs(3, 2, 6, false);
  pairs.constant = -1.25;
  write_pairs(scratch / "pairs.json", pairs);
  const PairInteractions back = read_pairs(scratch / "pairs.json");
  EXPECT_EQ(back.values, pairs.values);
  EXPECT_EQ(back.point, pairs.point);
  EXPECT_EQ(back.constant, pairs.constant);
  const auto refused = [&](const std::string& text, const std::string& part) {
    write_file_atomically(scratch / "bad.json", text);
    try {
      read_pairs(scratch / "bad.json");
      ADD_FAILURE() << "was read: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  const std::string head = R"({"format": "ocoee pair interactions", "version": 1, )";
  refused("{", "is no JSON");
  refused("{}", "format");
  refused(head + R"("species": ["A", "B"], "shells": [{"A-C": 1}]})", "names species \"C\"");
  refused(head + R"("species": ["A", "B"], "shells": [{"AB": 1}]})", "is no pair");
  refused(head + R"("species": ["A", "B"], "shells": [{"A-B": null}]})", "bad.json");
  refused(head + R"("species": ["A", "B"], "point": [1], "shells": []})", "1 point energies");
  refused(head + R"("species": ["A"], "unit": "Ry", "shells": []})", "unit");
}

}  // namespace
}  // namespace ocoee::alloy
