// SPDX-License-Identifier: Apache-2.0
// Orderings on lattices that no name tells: strained, primitive, skewed and turned cells.
#include "science/alloy/sublattices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/error.h"
#include "science/alloy/order.h"
#include "science/atoms/structure.h"

namespace ocoee::alloy {
namespace {

// The same crystal, its vectors turned about an axis that is none of its own.
UnitCell turned(UnitCell cell) {
  const double c = std::cos(0.4), s = std::sin(0.4);
  const atoms::Matrix3 about_z{{{c, s, 0}, {-s, c, 0}, {0, 0, 1}}},
      about_x{{{1, 0, 0}, {0, c, s}, {0, -s, c}}};
  for (Vector& edge : cell.edges) edge = atoms::row_times(atoms::row_times(edge, about_z), about_x);
  return cell;
}

// Perfect in the lattice's own crystal: one, and one domain. Half the other way round: half.
void expect_order(const std::string& name, const Lattice& lattice) {
  SCOPED_TRACE(name + " on " + lattice.cell().name);
  const Ordering one = ordering(name);
  const std::vector<uint8_t> perfect = arrange(one, lattice);
  const auto minority = std::accumulate(one.species.begin(), one.species.end(), 0.0) /
                        static_cast<double>(one.species.size());
  EXPECT_NEAR(std::accumulate(perfect.begin(), perfect.end(), 0.0),
              minority * static_cast<double>(lattice.sites()), 1e-9);
  const OrderParameter order(name, lattice);
  Configuration configuration(std::make_shared<const Grid>(lattice, std::array<int, 3>{}));
  configuration.assign(perfect);
  EXPECT_NEAR(order.of(configuration, 2), 1, 1e-12);
  const Domains domains(one, lattice);
  EXPECT_EQ(domains.sizes(perfect), std::vector<int64_t>{lattice.sites()});
  std::vector<uint8_t> other = perfect;
  for (uint8_t& s : other) s ^= 1;
  EXPECT_EQ(domains.sizes(other), std::vector<int64_t>{lattice.sites()}) << "species exchanged";
}

TEST(Sublattices, OfStrainedPrimitiveAndTurnedCells) {
  const UnitCell primitive_bcc{
      "primitive bcc", {{{-1.5, 1.5, 1.5}, {1.5, -1.5, 1.5}, {1.5, 1.5, -1.5}}}, {{0.2, 0.1, 0.7}}};
  const UnitCell primitive_fcc{"primitive fcc", {{{0, 2, 2}, {2, 0, 2}, {2, 2, 0}}}, {{0, 0, 0}}};
  for (const double ratio : {0.9, 1.0, 1.1})
    for (const char* name : {"B2", "D0_3", "B32"}) {
      expect_order(name, {lattice_cell("bct", 3, ratio), {4, 4, 4}});
      expect_order(name, {turned(lattice_cell("bct", 3, ratio)), {2, 4, 2}});
    }
  for (const char* name : {"B2", "D0_3", "B32"}) expect_order(name, {primitive_bcc, {4, 4, 4}});
  for (const char* name : {"L1_0", "L1_2"}) {
    expect_order(name, {primitive_fcc, {4, 4, 2}});
    expect_order(name, {turned(primitive_fcc), {2, 4, 4}});
    // A bct cell of c/a = sqrt(2) is fcc; the L1_0 of FePt has 0.96 of that.
    expect_order(name, {lattice_cell("bct", 2.7, 0.96 * std::sqrt(2.0)), {4, 4, 4}});
    expect_order(name, {lattice_cell(name, 3.8, 0.93), {2, 3, 2}});
  }
  for (const char* name : {"B2", "D0_3", "B32"})
    expect_order(name, {lattice_cell(name), {2, 2, 2}});
}

TEST(Sublattices, SayInOneLineWhyThereAreNone) {
  const auto reason = [](const std::string& order, const UnitCell& cell) -> std::string {
    try {
      OrderParameter(order, Lattice(cell, {2, 2, 2}));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
      return error.what();
    }
    return "";
  };
  for (const char* kind : {"sc", "hcp", "diamond", "fcc"})
    EXPECT_THAT(reason("B2", lattice_cell(kind)),
                testing::HasSubstr(std::string("B2 orders bcc sites: the sites of ") + kind +
                                   " are no bcc lattice"));
  EXPECT_THAT(reason("L1_2", lattice_cell("bct", 1, 1.1)),
              testing::HasSubstr("are no fcc lattice"));
  UnitCell shifted = lattice_cell("bcc");
  shifted.sites[1][0] += 0.05;
  shifted.name = "POSCAR";
  EXPECT_THAT(reason("B2", shifted), testing::HasSubstr("site 2 lies off it"));
  EXPECT_THAT(reason("D0_3", lattice_cell("bcc")), testing::IsEmpty());
  EXPECT_THROW(arrange(ordering("D0_3"), Lattice(lattice_cell("bcc"), {2, 3, 2})), Error);
}

// Names are lattices with the sites of their parent.
TEST(Sublattices, PrototypesByName) {
  for (const std::string& name : ordering_names()) {
    const Ordering one = ordering(name);
    const UnitCell cell = lattice_cell(name), parent = lattice_cell(one.parent);
    EXPECT_EQ(cell.name, name);
    const auto shells = find_shells(cell, 4), of_parent = find_shells(parent, 4);
    for (size_t s = 0; s < 4; ++s) {
      EXPECT_NEAR(shells[s].distance, of_parent[s].distance, 1e-12);
      EXPECT_EQ(shells[s].coordination(), of_parent[s].coordination());
    }
  }
  EXPECT_NEAR(lattice_cell("L1_0", 2, 0.9).edges[2][2], 1.8, 1e-12);
  EXPECT_NEAR(lattice_cell("hcp", 2).edges[2][2], 2 * std::sqrt(8.0 / 3), 1e-12) << "ideal";
  EXPECT_EQ(find_shells(lattice_cell("hcp"), 1)[0].coordination(), 12);
}

}  // namespace
}  // namespace ocoee::alloy
