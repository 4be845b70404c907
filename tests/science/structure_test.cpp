// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/structure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"

namespace ocoee::atoms {
namespace {

Structure cell_of_two() {
  Structure s;
  s.cell = {{{2, 0, 0}, {0.5, 3, 0}, {0, 0.25, 4}}};
  s.positions = {{0, 0, 0}, {0.5, 0.25, 0.75}};
  s.species = {1, 0};
  s.species_names = {"Au", "Cu"};
  return s;
}

TEST(Structure, InverseAndVolume) {
  const Structure s = cell_of_two();
  EXPECT_DOUBLE_EQ(volume(s), 24);
  const Matrix3 back = inverse(s.cell);
  for (size_t i = 0; i < 3; ++i) {
    const Vector3 unit = row_times(s.cell[i], back);
    for (size_t j = 0; j < 3; ++j) EXPECT_NEAR(unit[j], i == j ? 1 : 0, 1e-15);
  }
  const Vector3 x = cartesian(s, 1);
  EXPECT_DOUBLE_EQ(x[0], 1.125);
  EXPECT_DOUBLE_EQ(x[1], 0.9375);
  EXPECT_DOUBLE_EQ(x[2], 3);
}

TEST(Structure, RepeatedKeepsPlacesAndSpecies) {
  const Structure s = cell_of_two(), big = repeated(s, {2, 1, 3});
  ASSERT_EQ(big.size(), 12);
  EXPECT_DOUBLE_EQ(volume(big), 6 * volume(s));
  for (int64_t site = 0; site < 2; ++site) {
    for (int i = 0; i < 2; ++i) {
      for (int k = 0; k < 3; ++k) {
        const int64_t copy = site * 6 + i * 3 + k;
        EXPECT_EQ(big.species[static_cast<size_t>(copy)], s.species[static_cast<size_t>(site)]);
        for (size_t axis = 0; axis < 3; ++axis) {
          EXPECT_NEAR(cartesian(big, copy)[axis],
                      cartesian(s, site)[axis] + i * s.cell[0][axis] + k * s.cell[2][axis], 1e-12);
        }
      }
    }
  }
}

TEST(Structure, SpeciesAreFoundByName) {
  const Structure s = with_species_names(cell_of_two(), {"Cu", "Ni", "Au"}, "cell");
  EXPECT_EQ(s.species, (std::vector<int>{0, 2}));
  EXPECT_EQ(species_counts(s), (std::vector<int64_t>{1, 0, 1}));
  try {
    with_species_names(cell_of_two(), {"Cu", "Ni"}, "cell");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_STREQ(error.what(), "cell: species 'Au' is not one of Cu, Ni");
  }
}

TEST(Structure, WhatIsUnsoundIsTold) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<std::string, std::function<void(Structure&)>>> cases = {
      {"there are no atoms", [](Structure& s) { s.positions.clear(); }},
      {"2 positions but 1 species", [](Structure& s) { s.species.pop_back(); }},
      {"span no volume",
       [](Structure& s) {
         s.cell[2] = {1, 3, 0};
       }},
      {"cell vector is not finite", [nan](Structure& s) { s.cell[0][1] = nan; }},
      {"position of atom 2 is not finite", [nan](Structure& s) { s.positions[1][2] = nan; }},
      {"atom 1 has species number 2", [](Structure& s) { s.species[0] = 2; }},
      {"listed twice", [](Structure& s) { s.species_names[1] = "Au"; }},
      {"cannot be the name", [](Structure& s) { s.species_names[1] = "C u"; }},
  };
  require_sound(cell_of_two(), "cell");
  for (const auto& [text, spoil] : cases) {
    Structure s = cell_of_two();
    spoil(s);
    try {
      require_sound(s, "here");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("here: "));
      EXPECT_THAT(error.what(), testing::HasSubstr(text));
    }
  }
}

TEST(Structure, Elements) {
  EXPECT_EQ(atomic_number("Au"), 79);
  EXPECT_EQ(atomic_number("A"), 0);
  for (int z = 1; z <= 118; ++z) EXPECT_EQ(atomic_number(*element_symbol(z)), z);
  EXPECT_FALSE(element_symbol(0).has_value());
  EXPECT_FALSE(element_symbol(119).has_value());
  EXPECT_NEAR(atomic_mass(29), 63.546, 1e-9);
}

}  // namespace
}  // namespace ocoee::atoms
