// SPDX-License-Identifier: Apache-2.0
// Ranks that share a crystal make the moves that one rank makes alone, and go on from each other's
// checkpoints.
#include "science/alloy/link_cell.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "comm/backend.h"
#include "core/random.h"
#include "support/mpi_world.h"

namespace ocoee::alloy {
namespace {

LinkCellSetup setup(const std::string& lattice, std::array<int64_t, 3> cells, int species,
                    int shells) {
  LinkCellSetup s;
  s.lattice = lattice, s.cells = cells, s.species = species, s.shells = shells;
  s.energies.resize(static_cast<size_t>(shells * species * species));
  for (int shell = 0; shell < shells; ++shell)
    for (int a = 0; a < species; ++a)
      for (int b = 0; b < species; ++b)
        s.energies[static_cast<size_t>((shell * species + a) * species + b)] =
            a == b ? 0 : 0.01 * ((a + b) % 3 - 1) / (1 + shell);
  s.temperatures = {0.02, 0.05};
  s.seed = 8;
  return s;
}

std::vector<LinkCellSetup> setups() {
  return {setup("square", {13, 5, 1}, 2, 1), setup("sc", {14, 5, 4}, 3, 1),
          setup("bcc", {12, 4, 5}, 4, 2), setup("bcc", {17, 5, 6}, 4, 6),
          setup("fcc", {15, 4, 3}, 5, 2)};
}

TEST(LinkCellRanks, MoveAsOne) {
  const auto ranks = testing_support::world().host();
  for (const LinkCellSetup& s : setups()) {
    if (s.shells == 6 && ranks->size() > 4) continue;
    SCOPED_TRACE(s.lattice);
    LinkCellSampler alone(s, comm::make_self_communicator("alone", ranks->rank()), {}),
        together(s, ranks, {});
    const std::vector<double> shares(static_cast<size_t>(s.species), 1.0);
    alone.fill(shares), together.fill(shares);
    EXPECT_EQ(alone.species(0), together.species(0));
    for (int part = 0; part < 3; ++part) {
      alone.advance(10), together.advance(10);
      for (int64_t r = 0; r < 2; ++r) {
        EXPECT_EQ(alone.species(r), together.species(r));
        EXPECT_EQ(alone.energy(r), together.energy(r));
        EXPECT_EQ(alone.bonds(r).counts, together.bonds(r).counts);
        EXPECT_EQ(alone.tally(r).trials, together.tally(r).trials);
        EXPECT_EQ(alone.tally(r).accepted, together.tally(r).accepted);
        EXPECT_EQ(alone.tally(r).change, together.tally(r).change);
      }
    }
    EXPECT_GT(alone.tally(0).accepted, 0);
  }
}

TEST(LinkCellRanks, GoOnFromOneRanksCheckpoint) {
  const auto ranks = testing_support::world().host();
  const LinkCellSetup s = setups()[2];
  LinkCellSampler alone(s, comm::make_self_communicator("alone", ranks->rank()), {}),
      together(s, ranks, {});
  alone.fill({1, 1, 1, 1});
  alone.advance(7);
  run::State from, to;
  alone.add_state("mc", from);
  together.add_state("mc", to);
  for (const run::Piece& whole : from.arrays[0].pieces) {
    std::vector<uint8_t> bytes(static_cast<size_t>(whole.box.elements()));
    whole.save(bytes.data());
    for (const run::Piece& part : to.arrays[0].pieces) {
      if (part.box.offset[0] != whole.box.offset[0]) continue;
      std::vector<uint8_t> own(static_cast<size_t>(part.box.elements()));
      run::copy_overlap(whole.box, bytes.data(), part.box, own.data(), 1);
      part.load(own.data());
    }
  }
  together.loaded("mc", from.values);
  alone.advance(6), together.advance(6);
  for (int64_t r = 0; r < 2; ++r) {
    EXPECT_EQ(alone.species(r), together.species(r));
    EXPECT_EQ(alone.tally(r).change, together.tally(r).change);
  }
}

}  // namespace
}  // namespace ocoee::alloy
