// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/lattice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "science/alloy/pair_model.h"
#include "science/alloy/sublattices.h"

namespace ocoee::alloy {
namespace {

std::vector<double> coordination(const std::string& kind, int shells, double c_over_a = 1) {
  std::vector<double> out;
  for (const Shell& shell : find_shells(lattice_cell(kind, 3.1, c_over_a), shells))
    out.push_back(shell.coordination());
  return out;
}

TEST(Shells, OfTheKnownLattices) {
  using List = std::vector<double>;
  EXPECT_EQ(coordination("square", 4), (List{4, 4, 4, 8}));
  EXPECT_EQ(coordination("sc", 4), (List{6, 12, 8, 6}));
  EXPECT_EQ(coordination("bcc", 6), (List{8, 6, 12, 24, 8, 6}));
  EXPECT_EQ(coordination("fcc", 6), (List{12, 6, 24, 12, 24, 8}));
  EXPECT_EQ(coordination("diamond", 3), (List{4, 12, 12}));
  EXPECT_EQ(coordination("hcp", 4, std::sqrt(8.0 / 3)), (List{12, 6, 2, 18}));
  EXPECT_EQ(coordination("hcp", 4, 1.58), (List{6, 6, 6, 2}));  // the first shell is two
  EXPECT_EQ(coordination("bct", 4, 1), (List{8, 6, 12, 24}));
  EXPECT_EQ(coordination("bct", 3, 1.05), (List{8, 4, 2}));
}

// A square that lacks every fourth site: one of its three sites has four neighbours, two have two.
TEST(Shells, TheMeanOverUnlikeSitesIsNoWholeNumber) {
  const UnitCell cell{
      "lieb", {{{2, 0, 0}, {0, 2, 0}, {0, 0, 9}}}, {{0, 0, 0}, {0.5, 0, 0}, {0, 0.5, 0}}};
  EXPECT_NEAR(find_shells(cell, 1)[0].coordination(), 8.0 / 3, 1e-12);
  // Energies that say so are taken there, and nowhere else.
  PairInteractions pairs({"A", "B"}, 1);
  pairs.coordination = {8.0 / 3};
  EXPECT_NO_THROW(PairModel(Lattice(cell, {2, 2, 1}), find_shells(cell, 1), pairs));
  pairs.coordination = {2};
  EXPECT_THROW(PairModel(Lattice(cell, {2, 2, 1}), find_shells(cell, 1), pairs), Error);
}

TEST(Shells, ToleranceJoinsShellsThatNearlyCoincide) {
  const UnitCell cell = lattice_cell("bct", 3, 1.003);
  EXPECT_EQ(find_shells(cell, 2, 1e-4)[1].coordination(), 4);
  EXPECT_EQ(find_shells(cell, 2, 0.01)[1].coordination(), 6);
}

TEST(Shells, EveryBondIsSeenFromBothEnds) {
  for (const std::string& kind : lattice_kinds()) {
    const UnitCell cell = lattice_cell(kind, 1, 1.6);
    for (const Shell& shell : find_shells(cell, 4)) {
      int64_t forward = 0, all = 0;
      for (int from = 0; from < static_cast<int>(cell.sites.size()); ++from) {
        for (const Bond& bond : shell.bonds[static_cast<size_t>(from)]) {
          EXPECT_THAT(shell.bonds[static_cast<size_t>(bond.to)],
                      testing::Contains(reverse(bond, from)));
          EXPECT_NE(is_forward(bond, from), is_forward(reverse(bond, from), bond.to));
          forward += is_forward(bond, from);
          ++all;
        }
      }
      EXPECT_EQ(2 * forward, all) << kind;
    }
  }
}

TEST(Lattice, SitesAndCellsAreEachOthersInverse) {
  const Lattice lattice(lattice_cell("fcc", 2), {3, 4, 5});
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    EXPECT_EQ(lattice.site(lattice.cell_of(site), lattice.basis_of(site)), site);
    const CellIndex at = lattice.cell_of(site);
    EXPECT_EQ(lattice.site({at[0] - 3, at[1] + 8, at[2] - 10}, lattice.basis_of(site)), site);
  }
  EXPECT_EQ(lattice.position(lattice.site({1, 2, 3}, 1)), (Vector{2, 5, 7}));
}

// By brute force over the images of the supercell: how often each site is met at each distance.
TEST(NeighbourTable, CountsImagesInSmallCells) {
  for (const std::string& kind : lattice_kinds()) {
    for (const CellIndex repeats : {CellIndex{1, 1, 1}, {2, 2, 2}, {1, 2, 3}, {4, 1, 2}}) {
      const UnitCell cell = lattice_cell(kind, 1, 1.6);
      const Lattice lattice(cell, repeats);
      const std::vector<Shell> shells = find_shells(cell, 5);
      const NeighbourTable table(lattice, shells);
      const auto edges = lattice.edges();
      for (int64_t a = 0; a < lattice.sites(); ++a) {
        for (int s = 0; s < 5; ++s) {
          std::vector<int> met(static_cast<size_t>(lattice.sites()), 0), expected = met;
          for (const uint32_t b : table.of(a, s)) ++met[b];
          for (int64_t b = 0; b < lattice.sites(); ++b) {
            for (int x = -6; x <= 6; ++x) {
              for (int y = -6; y <= 6; ++y) {
                for (int z = -6; z <= 6; ++z) {
                  double square = 0;
                  for (size_t d = 0; d < 3; ++d)
                    square += std::pow(lattice.position(b)[d] - lattice.position(a)[d] +
                                           x * edges[0][d] + y * edges[1][d] + z * edges[2][d],
                                       2);
                  expected[static_cast<size_t>(b)] +=
                      std::abs(std::sqrt(square) - shells[static_cast<size_t>(s)].distance) < 1e-6;
                }
              }
            }
          }
          ASSERT_EQ(met, expected) << kind << " site " << a << " shell " << s;
        }
        if (kind == "fcc" || kind == "diamond") break;  // brute force is slow; one site shows it
      }
    }
  }
}

double warren_cowley(const BondCounts& bonds, const std::vector<int64_t>& atoms, int shell) {
  const auto bonds_of = [&](int a, int b) { return static_cast<double>(bonds.at(shell, a, b)); };
  const double all = bonds_of(0, 0) + bonds_of(0, 1) + bonds_of(1, 1);
  const double sites = static_cast<double>(atoms[0] + atoms[1]);
  const double c0 = static_cast<double>(atoms[0]) / sites, c1 = 1 - c0;
  return 1 - bonds_of(0, 1) / all / (2 * c0 * c1);
}

TEST(Orderings, HaveTheWarrenCowleyParametersOfPerfectOrder) {
  const std::vector<std::tuple<std::string, double, double>> known{{"B2", -1, 1},
                                                                   {"L1_0", -1.0 / 3, 1},
                                                                   {"L1_2", -1.0 / 3, 1},
                                                                   {"D0_3", -1.0 / 3, -1.0 / 3},
                                                                   {"B32", 0, -1}};
  for (const auto& [name, first, second] : known) {
    for (const int64_t cells : {2, 4}) {
      const Ordering order = ordering(name);
      const Lattice lattice(lattice_cell(order.parent), {cells, cells, cells});
      const std::vector<Shell> shells = find_shells(lattice.cell(), 2);
      const PairModel model(lattice, shells, PairInteractions({"A", "B"}, 2));
      Configuration configuration(model.grid());
      configuration.assign(arrange(order, lattice));
      const BondCounts bonds = model.count_bonds(configuration);
      const std::vector<int64_t> atoms = configuration.composition(2);
      EXPECT_NEAR(warren_cowley(bonds, atoms, 0), first, 1e-14) << name;
      EXPECT_NEAR(warren_cowley(bonds, atoms, 1), second, 1e-14) << name;
    }
  }
  EXPECT_THROW(arrange(ordering("D0_3"), Lattice(lattice_cell("bcc"), {3, 2, 2})), Error);
  EXPECT_THROW(arrange(ordering("B2"), Lattice(lattice_cell("fcc"), {2, 2, 2})), Error);
}

TEST(Lattice, SaysWhatItCannotBe) {
  EXPECT_THROW(lattice_cell("bbc"), Error);
  EXPECT_THROW(ordering("L2_1"), Error);
  EXPECT_THROW(Lattice(lattice_cell("sc"), {0, 1, 1}), Error);
  UnitCell flat = lattice_cell("sc");
  flat.edges[2] = flat.edges[1];
  EXPECT_THROW(Lattice(flat, {1, 1, 1}), Error);
  UnitCell twice = lattice_cell("sc");
  twice.sites.push_back({1e-9, 0, 0});
  EXPECT_THROW(find_shells(twice, 1), Error);
}

}  // namespace
}  // namespace ocoee::alloy
