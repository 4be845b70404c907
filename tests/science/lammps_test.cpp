// SPDX-License-Identifier: Apache-2.0
// LAMMPS itself where it is installed (./dev test installs it), and a stand-in that crashes, hangs
// and prints NaN on request.
#include "science/atoms/lammps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "core/text.h"
#include "run/launcher.h"
#include "run/scratch.h"

namespace ocoee::atoms {
namespace {

using run::testing_support::Scratch;
using testing::HasSubstr;

Structure fcc(double a, std::vector<int> species = {0, 0, 0, 0},
              std::vector<std::string> names = {"Cu", "Au"}) {
  Structure s;
  s.cell = {{{a, 0, 0}, {0, a, 0}, {0, 0, a}}};
  s.positions = {{0, 0, 0}, {0.5, 0.5, 0}, {0.5, 0, 0.5}, {0, 0.5, 0.5}};
  s.species = std::move(species);
  s.species_names = std::move(names);
  return s;
}

LammpsConfig u3(std::vector<std::string> species) {
  LammpsConfig config;
  config.species = std::move(species);
  for (const std::string& name : config.species) config.potentials.push_back(name + "_u3.eam");
  return config;
}

class RealLammps : public testing::Test {
 protected:
  void SetUp() override {
    if (run::find_program("lmp").empty()) GTEST_SKIP() << "LAMMPS is not installed (lmp)";
  }
  Scratch scratch_;
  std::vector<Label> energies(const LammpsConfig& config,
                              const std::vector<Structure>& structures) {
    return Lammps(config, scratch_ / "cache", scratch_ / "run").energies(structures);
  }
};

// Cohesive energies that the potentials were fitted to: Foiles, Baskes and Daw, Phys. Rev. B 33
// (1986) 7983, table I, at the lattice constants that the files state.
TEST_F(RealLammps, CohesiveEnergiesOfTheUniversalPotentials) {
  const std::vector<std::string> metals = {"Ag", "Au", "Cu", "Ni", "Pd", "Pt"};
  const std::vector<double> a = {4.09, 4.08, 3.615, 3.52, 3.89, 3.92};
  const std::vector<double> e = {-2.85, -3.93, -3.54, -4.45, -3.91, -5.77};
  std::vector<Structure> structures;
  for (size_t i = 0; i < 6; ++i) {
    const int species = static_cast<int>(i);
    structures.push_back(fcc(a[i], {species, species, species, species}, metals));
  }
  const std::vector<Label> labels = energies(u3(metals), structures);
  for (size_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(labels[i].ok) << labels[i].problem;
    EXPECT_NEAR(labels[i].energy / 4, e[i], 0.005) << metals[i];
  }
}

// One crystal in five cells: cubic, primitive, skewed, left-handed, repeated.
TEST_F(RealLammps, EnergyDoesNotDependOnTheCell) {
  const Structure cubic = fcc(3.75, {1, 0, 0, 0});
  Structure skewed = cubic;  // a, b + 2a, c - b + a
  for (size_t i = 0; i < 3; ++i) {
    skewed.cell[1][i] += 2 * cubic.cell[0][i];
    skewed.cell[2][i] += cubic.cell[0][i] - cubic.cell[1][i];
  }
  const Matrix3 back = inverse(skewed.cell);
  for (size_t i = 0; i < 4; ++i)
    skewed.positions[i] = row_times(cartesian(cubic, static_cast<int64_t>(i)), back);
  Structure left = skewed;
  std::swap(left.cell[0], left.cell[2]);
  for (Vector3& x : left.positions) std::swap(x[0], x[2]);
  Structure turned = cubic;
  const double c = std::cos(0.4), s = std::sin(0.4);
  for (Vector3& v : turned.cell) v = {c * v[0] - s * v[2], v[1], s * v[0] + c * v[2]};
  ASSERT_LT(determinant(left.cell) * determinant(skewed.cell), 0);

  const std::vector<Label> labels =
      energies(u3({"Cu", "Au"}), {cubic, skewed, left, turned, repeated(cubic, {3, 2, 1})});
  for (size_t i = 0; i < labels.size(); ++i) {
    ASSERT_TRUE(labels[i].ok) << labels[i].problem;
    const double cells = i == 4 ? 6 : 1;
    EXPECT_NEAR(labels[i].energy / cells, labels[0].energy, 1e-9) << i;
    EXPECT_NEAR(labels[i].volume / cells, 3.75 * 3.75 * 3.75, 1e-9) << i;
  }
}

TEST_F(RealLammps, RelaxationFindsTheLatticeConstant) {
  LammpsConfig config = u3({"Cu", "Au"});
  const Structure wide = fcc(3.75);
  Structure pushed = fcc(3.615);
  pushed.positions[1][0] += 0.02;
  for (const char* relax : {"volume", "cell"}) {
    config.relax = relax;
    const Label label = energies(config, {wide})[0];
    ASSERT_TRUE(label.ok) << label.problem;
    EXPECT_NEAR(std::cbrt(label.volume), 3.615, 0.002);
    EXPECT_NEAR(label.energy / 4, -3.54, 0.005);
  }
  config.relax = "atoms";
  const Label label = energies(config, {pushed})[0];
  ASSERT_TRUE(label.ok) << label.problem;
  EXPECT_NEAR(label.energy / 4, -3.54, 0.005);
  EXPECT_LT(label.largest_force, 1e-3);
}

TEST_F(RealLammps, AtomsOnOneAnotherAreReportedAndTheRestGoesOn) {
  Structure broken = fcc(3.7);
  broken.positions[1] = broken.positions[0];
  const std::vector<Label> labels = energies(u3({"Cu", "Au"}), {fcc(3.6), broken, fcc(3.7)});
  EXPECT_TRUE(labels[0].ok);
  EXPECT_TRUE(labels[2].ok);
  EXPECT_FALSE(labels[1].ok);
  EXPECT_THAT(labels[1].problem, HasSubstr("LAMMPS"));
}

TEST_F(RealLammps, WhatIsMissingIsTold) {
  const auto told = [&](const std::function<void(LammpsConfig&)>& spoil) -> std::string {
    LammpsConfig config = u3({"Cu", "Au"});
    spoil(config);
    try {
      energies(config, {});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(told([](LammpsConfig& c) { c.program = "lmp-of-nobody"; }),
              HasSubstr("lmp-of-nobody: there is no such program in PATH\n    fix: apt-get"));
  EXPECT_THAT(told([](LammpsConfig& c) { c.program = "true"; }), HasSubstr("this is no LAMMPS"));
  EXPECT_THAT(told([](LammpsConfig& c) { c.potentials[1] = "Xx_u3.eam"; }),
              HasSubstr("Xx_u3.eam: there is no such potential"));
  EXPECT_THAT(told([](LammpsConfig& c) { c.potentials.pop_back(); }),
              HasSubstr("pair_style eam needs 2 potential files for Cu, Au, but 1 are given"));
}

// A stand-in: what it does with a structure is written in the structure's comment.
class StandIn : public testing::Test {
 protected:
  StandIn() {
    const std::filesystem::path program = scratch_ / "lmp";
    std::ofstream(program)
        << "#!/bin/sh\n"
           "[ \"$1\" = -h ] && { echo 'Massively Parallel Simulator - 1 Jan 2000'; exit; }\n"
           "n=$(ls | grep -c data$); i=0\n"
           "while [ $i -lt $n ]; do\n"
           "  what=$(head -n 1 $i.data)\n"
           "  echo \"$what\" >> " +
               (scratch_ / "computed").string() +
               "\n"
               "  case $what in\n"
               "    crash*) echo 'ERROR: planted (here.cpp:1)'; kill -SEGV $$;;\n"
               "    hang*) sleep 300;;\n"
               "    silent*) exit 0;;\n"
               "    nan*) echo \"$i -nan 10 0 0\" >> energies;;\n"
               "    garbage*) echo 'hello' >> energies;;\n"
               "    once*) [ -e " +
               (scratch_ / "been").string() + " ] || { touch " + (scratch_ / "been").string() +
               "; exit 9; }; echo \"$i -3 10 0 0\" >> energies;;\n"
               "    slow*) sleep 0.05; echo \"$i -2 10 0 0\" >> energies;;\n"
               "    *) echo \"$i -1.5 10 0.25 0\" >> energies;;\n"
               "  esac\n"
               "  i=$((i + 1))\n"
               "done\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    config_.program = program.string();
    config_.species = {"Cu"};
    config_.potentials = {(scratch_ / "Cu.eam").string()};
    std::ofstream(scratch_ / "Cu.eam") << "x\n";
    config_.timeout = 1;
  }
  std::vector<Structure> structures(const std::vector<std::string>& comments) {
    std::vector<Structure> out;
    for (const std::string& comment : comments) {
      Structure s = fcc(3.6, {0, 0, 0, 0}, {"Cu"});
      s.positions[1][0] += 1e-3 * static_cast<double>(out.size());
      s.comment = comment;
      out.push_back(s);
    }
    return out;
  }
  Lammps lammps() { return Lammps(config_, scratch_ / "cache", scratch_ / "run"); }
  std::vector<std::string> computed() {
    std::vector<std::string> lines = split(read_file(scratch_ / "computed"), '\n');
    lines.pop_back();
    return lines;
  }

  Scratch scratch_;
  LammpsConfig config_;
};

TEST_F(StandIn, APotentialOfAnotherElementIsRefused) {
  write_file_atomically(scratch_ / "gold.eam", "a title\n 79 196.97 4.08 FCC\n");
  config_.potentials = {(scratch_ / "gold.eam").string()};
  for (const char* other : {"Cu", "Xx"}) {  // the second is no element at all
    config_.species = {other};
    EXPECT_THROW(lammps(), Error) << other;
  }
  config_.species = {"Au"};
  EXPECT_NO_THROW(lammps());
}

TEST_F(StandIn, CrashHangNanAndSilenceAreToldAndTheRestGoesOn) {
  for (const int64_t workers : {1, 3}) {
    std::filesystem::remove_all(scratch_ / "cache");
    std::filesystem::remove(scratch_ / "been");
    config_.workers = workers;
    std::vector<int64_t> heard;
    const std::vector<Label> labels =
        lammps().energies(structures({"good", "crash", "good", "hang", "nan", "good", "silent",
                                      "garbage", "once", "good"}),
                          [&](int64_t done) { heard.push_back(done); });
    for (const size_t i : {0U, 2U, 5U, 9U}) {
      ASSERT_TRUE(labels[i].ok) << i << labels[i].problem;
      EXPECT_EQ(labels[i].energy, -1.5);
      EXPECT_EQ(labels[i].volume, 10);
      EXPECT_EQ(labels[i].largest_force, 0.25);
    }
    EXPECT_TRUE(labels[8].ok);  // the second attempt
    EXPECT_EQ(labels[8].energy, -3);
    EXPECT_THAT(labels[1].problem, HasSubstr("LAMMPS was killed by signal 11 (Segmentation fault): "
                                             "ERROR: planted (here.cpp:1) (its files: "));
    EXPECT_THAT(labels[3].problem, HasSubstr("LAMMPS hung: it was killed after"));
    EXPECT_THAT(labels[4].problem, HasSubstr("LAMMPS printed '-nan' for the energy"));
    EXPECT_THAT(labels[6].problem, HasSubstr("LAMMPS ended without an energy"));
    EXPECT_THAT(labels[7].problem, HasSubstr("LAMMPS said 'hello' where an energy was expected"));
    EXPECT_EQ(heard.back(), 10);
    EXPECT_TRUE(std::is_sorted(heard.begin(), heard.end()));
  }
}

TEST_F(StandIn, NothingIsComputedTwice) {
  const std::vector<Structure> all = structures({"a", "b", "c"});
  for (const Label& label : lammps().energies(all)) EXPECT_FALSE(label.cached);
  for (const Label& label : lammps().energies(all)) {
    EXPECT_TRUE(label.ok && label.cached);
    EXPECT_EQ(label.energy, -1.5);
  }
  EXPECT_EQ(computed().size(), 3U);
  // Another potential is another question, even under the same name.
  std::ofstream(scratch_ / "Cu.eam") << "y\n";
  EXPECT_FALSE(lammps().energies(all)[0].cached);
}

TEST_F(StandIn, AKilledBatchGoesOnWhereItWas) {
  std::vector<std::string> comments;
  for (int i = 0; i < 60; ++i) comments.push_back("slow " + std::to_string(i));
  config_.batch = 60;
  const pid_t driver = ::fork();
  if (driver == 0) {
    lammps().energies(structures(comments));
    ::_exit(0);
  }
  while (!std::filesystem::exists(scratch_ / "computed") || computed().size() < 40)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ::kill(driver, SIGKILL);
  ::waitpid(driver, nullptr, 0);
  for (const Label& label : lammps().energies(structures(comments))) EXPECT_TRUE(label.ok);
  std::map<std::string, int> times;
  for (const std::string& line : computed()) ++times[line];
  EXPECT_EQ(times.size(), 60U);
  // Only what was said within the last moment before the kill is asked again.
  EXPECT_LE(computed().size(), 75U);
}

TEST(LammpsData, TurnsTheCellAndShortensItsTilts) {
  Structure s = fcc(4, {0, 1, 1, 1}, {"Au", "Cu"});
  for (size_t i = 0; i < 3; ++i) s.cell[1][i] += 3 * s.cell[0][i];
  const std::string data = lammps_data(s, {"Cu", "Au"});
  EXPECT_THAT(
      data,
      HasSubstr("4 atoms\n2 atom types\n0 4 xlo xhi\n0 4 ylo yhi\n0 4 zlo zhi\n0 0 0 xy xz yz\n"));
  EXPECT_THAT(data, HasSubstr("1 63.546\n2 196.97\n"));
}

}  // namespace
}  // namespace ocoee::atoms
