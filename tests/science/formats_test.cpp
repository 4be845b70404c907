// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace ocoee::atoms {
namespace {

using testing::HasSubstr;

template <class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    return error.what();
  }
  return "";
}

void expect_near(const Vector3& a, const Vector3& b) {
  for (size_t axis = 0; axis < 3; ++axis) EXPECT_NEAR(a[axis], b[axis], 1e-12);
}

const char* const kPoscar =
    "Cu3Au, L1_2\n3.75\n1 0 0\n0 1 0\n0 0 1\nAu Cu\n1 3\nDirect\n"
    "0 0 0\n0.5 0.5 0\n0.5 0 0.5\n0 0.5 0.5\n";

TEST(Poscar, ReadsDirect) {
  const Structure s = read_poscar(kPoscar, "POSCAR");
  EXPECT_EQ(s.comment, "Cu3Au, L1_2");
  EXPECT_EQ(s.species_names, (std::vector<std::string>{"Au", "Cu"}));
  EXPECT_EQ(s.species, (std::vector<int>{0, 1, 1, 1}));
  EXPECT_NEAR(volume(s), 3.75 * 3.75 * 3.75, 1e-12);
  EXPECT_EQ(s.positions[2], (Vector3{0.5, 0, 0.5}));
}

TEST(Poscar, CartesianSelectiveVolumeAndPseudopotentialNames) {
  const Structure s = read_poscar(
      "x\r\n-54\r\n1 0 0\r\n0 2 0\r\n0 0 1\r\nMo_pv Nb/5e3\r\n1 1\r\nSelective dynamics\r\n"
      "Cartesian\r\n0 0 0 T T T\r\n0.5 1 0.25 F F F\r\n\r\n0 0 0\r\n",
      "POSCAR");
  EXPECT_NEAR(volume(s), 54, 1e-12);
  EXPECT_EQ(s.species_names, (std::vector<std::string>{"Mo", "Nb"}));
  expect_near(s.positions[1], {0.5, 0.5, 0.25});
  const Structure three =
      read_poscar("x\n1 2 3\n1 0 0\n0 1 0\n0 0 1\nAl\n1\nC\n0.5 0.5 0.5\n", "p");
  EXPECT_NEAR(volume(three), 6, 1e-12);
  expect_near(three.positions[0], {0.5, 0.5, 0.5});
}

TEST(Poscar, SpeciesThatComeTwiceAreOne) {
  const Structure s = read_poscar(
      "x\n1\n2 0 0\n0 2 0\n0 0 2\nCu Au Cu\n1 1 1\nDirect\n0 0 0\n0.5 0 0\n0 0.5 0\n", "p");
  EXPECT_EQ(s.species, (std::vector<int>{0, 1, 0}));
  const Structure again = read_poscar(write_poscar(s), "again");
  EXPECT_EQ(again.species, (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(again.positions[1], s.positions[2]);
  EXPECT_EQ(read_poscar(write_poscar(again), "again"), again);
}

TEST(Poscar, WhatIsBrokenIsTold) {
  const std::string good = kPoscar;
  const auto spoiled = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return message_of([&] { read_poscar(text, "POSCAR"); });
  };
  EXPECT_THAT(spoiled("Au Cu\n", ""),
              HasSubstr("POSCAR:6: species names were expected, found '1'"));
  EXPECT_THAT(spoiled("1 3\n", "1 -3\n"), HasSubstr("POSCAR:7: '-3' is not a number of atoms"));
  EXPECT_THAT(spoiled("1 3\n", "1\n"), HasSubstr("2 species are named, but there are 1 numbers"));
  EXPECT_THAT(spoiled("1 3\n", "1 999999999999\n"), HasSubstr("more than the file holds"));
  EXPECT_THAT(spoiled("Direct", "direkt?"), testing::IsEmpty());  // the first letter decides
  EXPECT_THAT(spoiled("Direct", "Fractional"), HasSubstr("POSCAR:8: Direct or Cartesian"));
  EXPECT_THAT(spoiled("0 1 0", "2 0 0"), HasSubstr("span no volume"));
  EXPECT_THAT(spoiled("0.5 0.5 0\n", "0.5 nan 0\n"), HasSubstr("POSCAR:10: 'nan' is not a number"));
  EXPECT_THAT(spoiled("\n0 0.5 0.5\n", "\n"),
              HasSubstr("POSCAR:12: the file ends where the position of an atom should stand"));
  EXPECT_THAT(spoiled("3.75", "0"), HasSubstr("POSCAR:2: the scale factor is 0"));
}

const char* const kXyz =
    "2\n"
    "Lattice=\"3.6 0 0 0 3.6 0 0 0 3.6\" Properties=species:S:1:pos:R:3:forces:R:3 energy=-6.25 "
    "config_type='b2 \\'x' virial=[1,2] tag pbc=\"T T T\"\n"
    "Cu 0 0 0 0.1 0.2 0.3\n"
    "Zn 1.8 1.8 1.8 -0.1 -0.2 -0.3\n"
    "\n"
    "1\n"
    "Properties=Z:I:1:species:S:1:pos:R:3 Lattice=\"1 0 0 0 1 0 0 0 1\"\n"
    "13 Al 0.5 0 0\n";

TEST(Extxyz, ReadsFrames) {
  const std::vector<Frame> frames = read_extxyz(kXyz, "x.extxyz");
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].energy, -6.25);
  EXPECT_EQ(frames[0].info.at("config_type"), "b2 'x");
  EXPECT_EQ(frames[0].info.at("virial"), "1,2");
  EXPECT_EQ(frames[0].info.at("tag"), "T");
  EXPECT_EQ(frames[0].structure.species_names, (std::vector<std::string>{"Cu", "Zn"}));
  expect_near(frames[0].structure.positions[1], {0.5, 0.5, 0.5});
  EXPECT_FALSE(frames[1].energy.has_value());
  expect_near(frames[1].structure.positions[0], {0.5, 0, 0});
}

TEST(Extxyz, WhatIsWrittenIsReadBack) {
  Frame frame = read_extxyz(kXyz, "x")[0];
  frame.structure.comment = "a \"quoted\" \\ word";
  const Frame again = read_extxyz(write_extxyz(frame), "again")[0];
  EXPECT_EQ(again.energy, frame.energy);
  EXPECT_EQ(again.info, frame.info);
  EXPECT_EQ(again.structure.comment, frame.structure.comment);
  EXPECT_EQ(again.structure.cell, frame.structure.cell);
  EXPECT_EQ(again.structure.species, frame.structure.species);
  for (size_t i = 0; i < 2; ++i)
    expect_near(again.structure.positions[i], frame.structure.positions[i]);
}

TEST(Extxyz, WhatIsBrokenIsTold) {
  const std::string good = kXyz;
  const auto spoiled = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return message_of([&] { read_extxyz(text, "x"); });
  };
  EXPECT_THAT(spoiled("2\n", "two\n"), HasSubstr("x:1: a number of atoms was expected"));
  EXPECT_THAT(spoiled("2\n", "3\n"), HasSubstr("x:5: 7 columns were expected, found 0"));
  EXPECT_THAT(spoiled("2\n", "99999999\n"), HasSubstr("more than the file holds"));
  EXPECT_THAT(spoiled("Lattice", "lattice"), HasSubstr("x:2: Lattice needs nine numbers, found 0"));
  EXPECT_THAT(spoiled("T T T", "T T F"), HasSubstr("periodic along all three"));
  EXPECT_THAT(spoiled("pos:R:3:", "xyz:R:3:"), HasSubstr("must hold species:S:1 and pos:R:3"));
  EXPECT_THAT(spoiled("-6.25", "inf"), HasSubstr("x:2: 'inf' is not a number (energy)"));
  EXPECT_THAT(spoiled("T T T\"", "T T T"), HasSubstr("a value begins with \" and does not end"));
  EXPECT_THAT(message_of([] { read_extxyz("\n \n", "x"); }), HasSubstr("there is no structure"));
}

// Two lines as LSMS prints them, 18 columns; with the first line of newer versions and without.
const char* const kEvec =
    " 29        0      0.000000000000000      0.000000000000000      0.000000000000000     "
    "29.123000      0.000000000000000      0.000000000000000      0.000000000000000      "
    "1.000000000000000   -1.00      0.000000000000000      0.000000000000000      "
    "0.000000000000000    0.0000      0.000000000000000      0.000000000000000      "
    "1.000000000000000\n"
    " 30        1      3.409000000000000      3.409000000000000      3.409000000000000     "
    "29.877000      0.250000000000000      0.000000000000000      0.000000000000000      "
    "1.000000000000000   -1.00      0.000000000000000      0.000000000000000      "
    "0.000000000000000    0.0000      0.000000000000000      0.000000000000000      "
    "1.000000000000000\n";

TEST(Lsms, ReadsAndWritesInfoEvec) {
  const double a = 6.818 * kBohr;
  const Matrix3 cell = {{{a, 0, 0}, {0, a, 0}, {0, 0, a}}};
  for (const bool has_energies : {false, true}) {
    const LsmsOutput out = read_info_evec(
        (has_energies ? " -6891.770446542628 -12.5 0.246274519089\n" : "") + std::string(kEvec),
        cell, "info_evec_out");
    EXPECT_EQ(out.energies.has_value(), has_energies);
    if (has_energies) {
      EXPECT_DOUBLE_EQ((*out.energies)[0], -6891.770446542628);
    }
    EXPECT_EQ(out.structure.species_names, (std::vector<std::string>{"Cu", "Zn"}));
    expect_near(out.structure.positions[1], {0.5, 0.5, 0.5});
    EXPECT_DOUBLE_EQ(out.atoms[1].charge, 29.877);
    EXPECT_DOUBLE_EQ(out.atoms[1].moment, 0.25);
    EXPECT_EQ(out.atoms[1].rest.size(), 8U);
    const LsmsOutput again = read_info_evec(write_info_evec(out), cell, "again");
    EXPECT_EQ(again.atoms, out.atoms);
    EXPECT_EQ(again.energies, out.energies);
    EXPECT_EQ(again.structure.species, out.structure.species);
    expect_near(again.structure.positions[1], out.structure.positions[1]);
  }
}

TEST(Lsms, WhatIsBrokenIsTold) {
  const Matrix3 cell = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  const auto told = [&](const std::string& text) {
    return message_of([&] { read_info_evec(text, cell, "e"); });
  };
  EXPECT_THAT(told(""), HasSubstr("there are no atoms"));
  EXPECT_THAT(told("29 0 0 0 0\n"), HasSubstr("e:1: an atom has 10 to 18 columns"));
  EXPECT_THAT(told("129 0 0 0 0 1 1 0 0 1\n"), HasSubstr("'129' is not an atomic number"));
  EXPECT_THAT(told("29 0 0 x 0 1 1 0 0 1\n"), HasSubstr("e:1: 'x' is not a number"));
}

}  // namespace
}  // namespace ocoee::atoms
