// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/cluster_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "run/scratch.h"
#include "science/alloy/features.h"
#include "science/alloy/sublattices.h"

namespace ocoee::alloy {
namespace {

std::vector<uint8_t> random_species(int64_t sites, int count, uint64_t seed) {
  RandomStream random(seed, Purpose::plugin_first, 0, 0);
  std::vector<uint8_t> out;
  for (int64_t i = 0; i < sites; ++i)
    out.push_back(static_cast<uint8_t>(random.below(static_cast<uint64_t>(count))));
  return out;
}

// Each site of fcc is in 24 triangles of nearest neighbours and 8 tetrahedra. bcc falls into
// tetrahedra of four first and two second neighbours: 12 a cubic cell.
TEST(Clusters, ElementaryCounts) {
  const UnitCell fcc = lattice_cell("fcc"), bcc = lattice_cell("bcc");
  const std::vector<Shell> fcc_shells = find_shells(fcc, 2), bcc_shells = find_shells(bcc, 2);
  const std::vector<Orbit> triangles = find_orbits(fcc, fcc_shells, 3, 1);
  ASSERT_EQ(triangles.size(), 1U);
  EXPECT_EQ(triangles[0].per_site, 8);
  EXPECT_EQ(triangles[0].symmetry.size(), 6U);
  const std::vector<Orbit> tetrahedra = find_orbits(fcc, fcc_shells, 4, 1);
  ASSERT_EQ(tetrahedra.size(), 1U);
  EXPECT_EQ(tetrahedra[0].per_site, 2);
  EXPECT_EQ(tetrahedra[0].symmetry.size(), 24U);

  EXPECT_TRUE(find_orbits(bcc, bcc_shells, 3, 1).empty());  // bipartite
  const std::vector<Orbit> isosceles = find_orbits(bcc, bcc_shells, 3, 2);
  ASSERT_EQ(isosceles.size(), 1U);
  EXPECT_EQ(isosceles[0].per_site, 12);
  EXPECT_EQ(isosceles[0].shells, (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(isosceles[0].symmetry.size(), 2U);
  const std::vector<Orbit> irregular = find_orbits(bcc, bcc_shells, 4, 2);
  ASSERT_EQ(irregular.size(), 1U);
  EXPECT_EQ(irregular[0].per_site, 6);
}

TEST(Clusters, DecorationsUpToSymmetry) {
  const UnitCell fcc = lattice_cell("fcc");
  const std::vector<Shell> shells = find_shells(fcc, 1);
  const Orbit triangle = find_orbits(fcc, shells, 3, 1)[0],
              tetrahedron = find_orbits(fcc, shells, 4, 1)[0];
  EXPECT_EQ(Decorations(triangle, 2).count(), 1);
  EXPECT_EQ(Decorations(triangle, 4).count(), 10);    // multisets of 3 out of 3
  EXPECT_EQ(Decorations(tetrahedron, 3).count(), 5);  // multisets of 4 out of 2
  EXPECT_EQ(Decorations(triangle, 2).name(0), (std::vector<int>{0, 0, 0}));
}

TEST(Clusters, CountsOfPerfectOrder) {
  // L1_2 with the minority as species 0: no two minority atoms are neighbours. With the majority as
  // species 0: of the four triangles of a tetrahedron one is pure.
  const Lattice lattice(lattice_cell("fcc"), {2, 2, 2});
  const std::vector<Orbit> triangles =
      find_orbits(lattice.cell(), find_shells(lattice.cell(), 1), 3, 1);
  std::vector<uint8_t> l12 = arrange(ordering("L1_2"), lattice);
  const auto minority = static_cast<uint8_t>(
      std::accumulate(l12.begin(), l12.end(), 0) * 2 < lattice.sites() ? 1 : 0);
  for (uint8_t& s : l12) s = s == minority ? 0 : 1;
  EXPECT_EQ(count_clusters(lattice, triangles, 2, l12), (std::vector<int64_t>{0}));
  for (uint8_t& s : l12) s = static_cast<uint8_t>(1 - s);
  EXPECT_EQ(count_clusters(lattice, triangles, 2, l12),
            (std::vector<int64_t>{2 * lattice.sites()}));
}

ClusterInteractions some_interactions(const FeatureSpace& space, int shells, uint64_t seed) {
  Fit fit;
  RandomStream random(seed, Purpose::plugin_first, 1, 0);
  for (int64_t j = 0; j < space.columns(); ++j) fit.coefficients.push_back(0.03 * random.normal());
  fit.errors.assign(fit.coefficients.size(), 1e-3);
  return space.interactions(fit, shells);
}

struct Case {
  std::string kind;
  CellIndex repeats;
  int species, shells, triplets, quadruplets;
};

// Names of tests say which, not where it lies in memory.
void PrintTo(const Case& one, std::ostream* out) {
  *out << fmt::format("{} {} of {} species", one.kind, fmt::join(one.repeats, "x"), one.species);
}

class ClusterModels : public testing::TestWithParam<Case> {};

// The energy is what the features say, and each move's change is a full recount, to the bit.
TEST_P(ClusterModels, TotalAndChanges) {
  const Case& c = GetParam();
  std::vector<std::string> names;
  for (int a = 0; a < c.species; ++a) names.push_back(std::string(1, static_cast<char>('A' + a)));
  const Lattice lattice(lattice_cell(c.kind, 3, c.kind == "hcp" ? 1.6 : 1), c.repeats);
  const FeatureSpace space(lattice.cell(), names, c.shells, c.triplets, c.quadruplets);
  const ClusterInteractions interactions = some_interactions(space, c.shells, 1);
  const ClusterModel model(lattice, find_shells(lattice.cell(), c.shells), interactions);
  Configuration configuration(model.grid());
  configuration.assign(random_species(lattice.sites(), c.species, 2));

  std::vector<double> coefficients = interactions.pairs.point;
  for (int shell = 0; shell < c.shells; ++shell) {
    for (int a = 0; a < c.species; ++a) {
      for (int b = a + 1; b < c.species; ++b)
        coefficients.push_back(interactions.pairs.at(shell, a, b));
    }
  }
  coefficients.insert(coefficients.end(), interactions.values.begin(), interactions.values.end());
  const std::vector<double> features = space.of(lattice, configuration.species());
  ASSERT_EQ(features.size(), coefficients.size());
  const double expected =
      std::inner_product(features.begin(), features.end(), coefficients.begin(), 0.0);
  const auto sites = static_cast<double>(lattice.sites());
  EXPECT_NEAR(model.value(model.total(configuration)) / sites, expected, 1e-6);
  std::vector<double> local(static_cast<size_t>(lattice.sites()));
  model.local_energies(configuration, local);
  EXPECT_NEAR(std::accumulate(local.begin(), local.end(), 0.0) / sites, expected, 1e-6);

  RandomStream random(3, Purpose::plugin_first, 0, 0);
  Energy energy = model.total(configuration);
  for (int move = 0; move < 400; ++move) {
    const auto a = static_cast<int64_t>(random.below(static_cast<uint64_t>(lattice.sites())));
    const auto b = static_cast<int64_t>(random.below(static_cast<uint64_t>(lattice.sites())));
    if (move % 2 == 0) {
      energy += model.change_by_swap(configuration, {a, b});
      configuration.swap(a, b);
    } else {
      const auto species = static_cast<int>(random.below(static_cast<uint64_t>(c.species)));
      energy += model.change_by_flip(configuration, a, species);
      configuration.set(a, species);
    }
    ASSERT_EQ(energy, model.total(configuration)) << move;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lattices, ClusterModels,
    testing::Values(Case{"fcc", {4, 4, 4}, 2, 2, 2, 1}, Case{"fcc", {3, 3, 3}, 4, 3, 2, 1},
                    Case{"fcc", {1, 1, 1}, 3, 2, 2, 2}, Case{"fcc", {1, 2, 3}, 2, 2, 1, 1},
                    Case{"bcc", {4, 3, 4}, 3, 3, 3, 2}, Case{"bcc", {1, 1, 1}, 2, 2, 2, 2},
                    Case{"hcp", {4, 4, 3}, 3, 3, 2, 2}, Case{"diamond", {2, 2, 2}, 2, 2, 2, 2}));

TEST(Features, ASkewedOrPrimitiveCellSaysTheSame) {
  const Lattice lattice(lattice_cell("fcc", 3.7), {2, 2, 2});
  const std::vector<std::string> names = {"Cu", "Au"};
  const FeatureSpace space(lattice.cell(), names, 4, 2, 1);
  const std::vector<uint8_t> l12 = arrange(ordering("L1_2"), lattice);
  const std::vector<double> expected = space.of(lattice, l12);
  atoms::Structure s = structure_of(lattice, l12, names);
  // another lattice constant; another cell of the same crystal
  for (atoms::Vector3& v : s.cell) {
    for (double& x : v) x *= 1.1;
  }
  atoms::Structure skewed = s;
  for (size_t i = 0; i < 3; ++i) skewed.cell[1][i] += s.cell[0][i];
  const atoms::Matrix3 back = atoms::inverse(skewed.cell);
  for (size_t i = 0; i < s.positions.size(); ++i)
    skewed.positions[i] = atoms::row_times(atoms::cartesian(s, static_cast<int64_t>(i)), back);
  for (const atoms::Structure& given : {s, skewed}) {
    const std::vector<double> features = space.of(given, "given");
    for (size_t j = 0; j < expected.size(); ++j)
      EXPECT_NEAR(features[j], expected[j], 1e-12) << space.names()[j];
  }
}

TEST(Features, AnotherLatticeIsRefused) {
  const FeatureSpace space(lattice_cell("fcc"), {"A", "B"}, 2);
  const Lattice bcc(lattice_cell("bcc", 3), {2, 2, 2});
  try {
    space.of(structure_of(bcc, random_species(16, 2, 1), {"A", "B"}), "POSCAR");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.what(),
                testing::HasSubstr("POSCAR: it is no arrangement of the lattice fcc"));
  }
}

// Energies of triplets keep their digits where all pairs are zero.
TEST(ClusterInteractions, AloneWithoutPairs) {
  const UnitCell cell = lattice_cell("fcc");
  const FeatureSpace space(cell, {"A", "B"}, 1, 1, 0);
  ClusterInteractions c = some_interactions(space, 1, 5);
  for (double& value : c.pairs.values) value = 0;
  for (double& value : c.pairs.point) value = 0;
  c.pairs.constant = 0;
  c.values.assign(c.values.size(), 0.01);
  const ClusterModel model({cell, {2, 2, 2}}, find_shells(cell, 1), c);
  Configuration all(model.grid());
  all.assign(std::vector<uint8_t>(32, 0));
  const double pure = model.value(model.total(all));
  all.assign(std::vector<uint8_t>(32, 1));
  const double other = model.value(model.total(all));
  EXPECT_NEAR(std::abs(pure - other), 8 * 32 * 0.01, 1e-6) << "8 triangles a site";
}

TEST(ClusterInteractions, WrittenAndRead) {
  const run::testing_support::Scratch scratch;
  const FeatureSpace space(lattice_cell("fcc"), {"A", "B", "C"}, 2, 2, 1);
  const ClusterInteractions c = some_interactions(space, 2, 5);
  write_interactions(scratch / "c.json", c);
  const ClusterInteractions again = read_interactions(scratch / "c.json");
  EXPECT_EQ(again.values, c.values);
  EXPECT_EQ(again.errors, c.errors);
  EXPECT_EQ(again.names, c.names);
  EXPECT_EQ(again.pairs.values, c.pairs.values);
  EXPECT_EQ(again.quadruplets, 1);
  // Pairs alone are a file of pairs; clusters are never taken for one.
  EXPECT_THROW(read_pairs(scratch / "c.json"), Error);
  ClusterInteractions pairs;
  pairs.pairs = c.pairs;
  write_interactions(scratch / "p.json", pairs);
  EXPECT_EQ(read_pairs(scratch / "p.json").values, c.pairs.values);
  EXPECT_FALSE(read_interactions(scratch / "p.json").has_clusters());
  for (const char* broken : {"", "[]", "{\"format\": \"ocoee cluster interactions\"}"}) {
    write_file_atomically(scratch / "broken.json", broken);
    EXPECT_THROW(read_interactions(scratch / "broken.json"), Error);
  }
}

}  // namespace
}  // namespace ocoee::alloy
