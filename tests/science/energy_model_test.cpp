// SPDX-License-Identifier: Apache-2.0
// What every energy model offers beside totals and single changes, and the special cases.
#include "science/alloy/energy_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"
#include "science/alloy/cluster_model.h"
#include "science/alloy/moves.h"
#include "science/samplers.h"

namespace ocoee::alloy {
namespace {

using testing_support::pair_model;

std::vector<Swap> some_swaps(int64_t sites) {
  RandomStream random(4, Purpose::noise, 0, 0);
  std::vector<Swap> out;
  for (int k = 0; k < 60; ++k)
    out.push_back({static_cast<int64_t>(random.below(static_cast<uint64_t>(sites))),
                   static_cast<int64_t>(random.below(static_cast<uint64_t>(sites)))});
  return out;
}

// Each of a batch is what it is alone, as the difference of two recounts, and nothing has moved.
void expect_batched(const EnergyModel& model, const std::vector<int64_t>& atoms) {
  Configuration configuration(model.grid());
  configuration.assign(random_arrangement(atoms, 2, 0));
  const std::vector<uint8_t> before = configuration.species();
  const Energy total = model.total(configuration);
  const std::vector<Swap> swaps = some_swaps(configuration.sites());
  std::vector<Energy> changes(swaps.size());
  model.changes_by_swap(configuration, swaps, changes);
  EXPECT_EQ(configuration.species(), before);
  for (size_t k = 0; k < swaps.size(); ++k) {
    configuration.swap(swaps[k].a, swaps[k].b);
    EXPECT_EQ(changes[k], model.total(configuration) - total) << k;
    configuration.swap(swaps[k].a, swaps[k].b);
  }
}

TEST(EnergyModel, ChangesInABatchAreThoseOfEachAlone) {
  PairInteractions pairs({"A", "B", "C"}, 2);
  pairs.set(0, 0, 1, -3), pairs.set(0, 1, 2, 2), pairs.set(1, 0, 2, 1);
  expect_batched(*pair_model("bcc", {3, 2, 1}, pairs), {4, 4, 4});

  ClusterInteractions clusters;
  clusters.pairs = PairInteractions({"A", "B"}, 1);
  clusters.pairs.set(0, 0, 1, -0.1);
  clusters.triplets = clusters.quadruplets = 1;
  const Lattice lattice(lattice_cell("fcc"), {2, 2, 3});
  const std::vector<Shell> shells = find_shells(lattice.cell(), 1);
  double value = 0.02;
  for (const int size : {3, 4})
    for (const Orbit& orbit : find_orbits(lattice.cell(), shells, size, 1))
      for (const std::string& name : cluster_names(orbit, {"A", "B"})) {
        clusters.names.push_back(name);
        clusters.values.push_back(value *= -0.7);
        clusters.errors.push_back(0);
      }
  expect_batched(ClusterModel(lattice, shells, clusters), {30, 18});
}

// A fit's standard deviations: of one bond's energy, times how many there are; independent ones add
// in squares.
TEST(EnergyModel, UncertaintyFollowsFromTheErrorsOfInteractions) {
  PairInteractions pairs({"A", "B"}, 2);
  EXPECT_EQ(pair_model("sc", {2, 2, 2}, pairs)
                ->uncertainty(Configuration(pair_model("sc", {2, 2, 2}, pairs)->grid())),
            0);
  pairs.errors.assign(pairs.values.size(), 0);
  for (const size_t at : {1, 2}) pairs.errors[at] = 0.01;  // A-B of the first shell
  for (const size_t at : {5, 6}) pairs.errors[at] = 0.02;  // and of the second
  const auto model = pair_model("sc", {4, 4, 4}, pairs);
  Configuration configuration(model->grid());
  EXPECT_EQ(model->uncertainty(configuration), 0) << "no unlike pairs, nothing uncertain";
  configuration.set(5, 1);  // 6 unlike pairs at the first distance, 12 at the second
  EXPECT_NEAR(model->uncertainty(configuration), std::hypot(6 * 0.01, 12 * 0.02), 1e-12);
}

// delta(s, s') = (1 + s s') / 2 for two states.
TEST(EnergyModel, PottsOfTwoStatesIsIsing) {
  const auto two = pair_model("square", {5, 4, 1}, potts(2, 1.0)),
             spins = pair_model("square", {5, 4, 1}, ising(0.5));
  Configuration one(two->grid()), other(spins->grid());
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const std::vector<uint8_t> species = random_arrangement({11, 9}, seed, 0);
    one.assign(species), other.assign(species);
    EXPECT_EQ(two->value(two->total(one)), spins->value(spins->total(other)) - 0.5 * 40);
  }
}

TEST(EnergyModel, LinearMixingKnowsTheCompositionAlone) {
  const Lattice lattice(lattice_cell("fcc"), {2, 2, 2});
  const PairModel model(lattice, find_shells(lattice.cell(), 1),
                        linear_mixing({"Cu", "Au"}, {-3.5, -4.0}));
  Configuration configuration(model.grid());
  configuration.assign(random_arrangement({24, 8}, 1, 0));
  EXPECT_NEAR(model.value(model.total(configuration)), -24 * 3.5 - 8 * 4.0, 1e-6);
  EXPECT_EQ(model.change_by_swap(configuration, {3, 17}), 0);
  const int to = 1 - configuration[4];
  EXPECT_NEAR(static_cast<double>(model.change_by_flip(configuration, 4, to)) * model.quantum(),
              to == 1 ? -0.5 : 0.5, 1e-6);
}

}  // namespace
}  // namespace ocoee::alloy
