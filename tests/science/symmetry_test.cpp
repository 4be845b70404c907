// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/symmetry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "science/atoms/formats.h"

namespace ocoee::atoms {
namespace {

Structure fcc(const std::vector<int>& species) {
  Structure s;
  s.cell = {{{4, 0, 0}, {0, 4, 0}, {0, 0, 4}}};
  s.positions = {{0, 0, 0}, {0.5, 0.5, 0}, {0.5, 0, 0.5}, {0, 0.5, 0.5}};
  s.species = species;
  s.species_names = {"Cu", "Au"};
  return s;
}

// International Tables: fcc Fm-3m, L1_2 Pm-3m, L1_0 P4/mmm.
TEST(Symmetry, SpaceGroupsOfOrderings) {
  const SpaceGroup fcc_group = space_group(fcc({0, 0, 0, 0}));
  EXPECT_EQ(fcc_group.number, 225);
  EXPECT_EQ(fcc_group.symbol, "Fm-3m");
  EXPECT_EQ(fcc_group.operations.size(), 192U);  // 48 rotations, 4 centrings
  EXPECT_EQ(fcc_group.orbit, (std::vector<int>{0, 0, 0, 0}));

  const SpaceGroup l12 = space_group(fcc({1, 0, 0, 0}));
  EXPECT_EQ(l12.number, 221);
  EXPECT_EQ(l12.point_group, "m-3m");
  EXPECT_EQ(l12.operations.size(), 48U);
  EXPECT_EQ(l12.orbit, (std::vector<int>{0, 1, 1, 1}));

  EXPECT_EQ(space_group(fcc({0, 0, 1, 1})).number, 123);
}

TEST(Symmetry, OperationsCarryAtomsOntoTheirLike) {
  const Structure big = repeated(fcc({1, 0, 0, 0}), {2, 1, 1});
  for (const SymmetryOperation& operation : space_group(big).operations) {
    const std::vector<int> to = permutation_of(big, operation);
    EXPECT_EQ(std::set<int>(to.begin(), to.end()).size(), to.size());
    for (size_t site = 0; site < to.size(); ++site)
      EXPECT_EQ(big.species[static_cast<size_t>(to[site])], big.species[site]);
  }
}

TEST(Symmetry, PrimitiveCells) {
  EXPECT_EQ(primitive_cell(fcc({0, 0, 0, 0})).size(), 1);
  const Structure l10 = primitive_cell(repeated(fcc({0, 0, 1, 1}), {2, 3, 1}));
  EXPECT_EQ(l10.size(), 2);
  EXPECT_NEAR(volume(l10), 32, 1e-9);
  EXPECT_EQ(species_counts(l10), (std::vector<int64_t>{1, 1}));
}

TEST(Symmetry, AtomsOnOneAnotherAreRefused) {
  Structure s = fcc({0, 0, 0, 0});
  s.positions[1] = {1e-6, 0, 0};
  try {
    space_group(s, 1e-4, "POSCAR");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.what(), testing::HasSubstr("POSCAR: no symmetry was found"));
  }
}

}  // namespace
}  // namespace ocoee::atoms
