// SPDX-License-Identifier: Apache-2.0
// Ranks that share a crystal make the moves that one rank makes alone, and go on from each other's
// checkpoints.
#include "science/alloy/link_cell.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "comm/backend.h"
#include "comm/mesh.h"
#include "core/random.h"
#include "science/alloy/link_cell_moves.h"
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

// The ranks of `mesh` share crystals on its GPUs; each compares them with one that it moves on the
// CPU alone.
void expect_moves_of_one_cpu(comm::Mesh& mesh) {
  const int ranks = mesh.size(comm::Axis::spatial), rank = mesh.coordinate(comm::Axis::spatial);
  for (const LinkCellSetup& s : setups()) {
    if (s.shells == 6 && ranks > 4) continue;
    SCOPED_TRACE(s.lattice);
    LinkCellSampler cpu(s, comm::make_self_communicator("alone", rank), {}),
        together(s, mesh.shared_axis(comm::Axis::spatial), mesh.device());
    const std::vector<double> shares(static_cast<size_t>(s.species), 1.0);
    cpu.fill(shares), together.fill(shares);
    for (int part = 0; part < 3; ++part) {
      cpu.advance(10), together.advance(10);
      for (int64_t r = 0; r < 2; ++r) {
        EXPECT_EQ(cpu.species(r), together.species(r));
        EXPECT_EQ(cpu.energy(r), together.energy(r));
        EXPECT_EQ(cpu.tally(r).change, together.tally(r).change);
      }
    }
    EXPECT_GT(cpu.tally(0).accepted, 0);
  }
}

// Ranks that share one GPU: through the host.
TEST(LinkCellGpuRanks, MoveAsOneCpu) {
  if (device::cuda_device_count() == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
  comm::World& world = testing_support::world();
  comm::Shape shape;
  shape[comm::Axis::spatial] = world.size();
  comm::Mesh mesh(world, shape, {device::Kind::cuda, 0}, comm::Backend::host_staged);
  expect_moves_of_one_cpu(mesh);
}

// A GPU each, as the program takes them: NCCL where it is built with it.
TEST(LinkCellGpuRanks, MoveAsOneCpuOnAGpuEach) {
  comm::World& world = testing_support::world();
  const int gpus = device::cuda_device_count();
  if (gpus == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
  if (world.size() < 2) GTEST_SKIP() << "one rank exchanges nothing";
  if (gpus < world.local_size())
    GTEST_SKIP() << world.local_size() << " ranks have " << gpus << " GPU"
                 << (gpus == 1 ? "" : "s");
  comm::Shape shape;
  shape[comm::Axis::spatial] = world.size();
  comm::Mesh mesh(world, shape, {device::Kind::cuda, world.local_rank()});
  EXPECT_EQ(mesh.axis(comm::Axis::spatial).capturable(), comm::nccl_available()) << "by NCCL";
  expect_moves_of_one_cpu(mesh);
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

// A ladder dealt out to ranks: the moves of a replica do not depend on who holds it.
TEST(LinkCellRanks, ALadderMovesAsOne) {
  const auto ranks = testing_support::world().host();
  const auto alone = comm::make_self_communicator("alone", ranks->rank());
  const Lattice lattice(lattice_cell("bcc"), {4, 3, 5});
  const PairInteractions pairs = ising(-1);
  const auto model = std::make_shared<PairModel>(lattice, find_shells(lattice.cell(), 1), pairs);
  const std::vector<double> temperatures{5, 6, 7, 8, 9};
  const auto energies = [&](comm::Communicator& group) {
    const Share share(5, group.rank(), group.size());
    TemperingSettings settings;
    for (const double t : temperatures) settings.betas.push_back(1 / t);
    LinkCellSetup cells = link_cell_setup("bcc", lattice.repeats(), pairs,
                                          std::vector<double>(static_cast<size_t>(share.count), 1));
    cells.first_replica = share.first;
    if (share.count > 0)
      settings.mover = std::make_shared<LinkCellMoves>(std::move(cells), device::Device{});
    std::vector<std::vector<uint8_t>> start;
    for (int64_t row = 0; row < share.count; ++row)
      start.push_back(random_arrangement({60, 60}, 1, static_cast<uint64_t>(share.first + row)));
    Tempering ladder(model, settings, group, start);
    for (int k = 0; k < 12; ++k) ladder.advance(3);
    std::vector<double> mine;
    for (int64_t row = 0; row < share.count; ++row)
      mine.push_back(model->value(ladder.energy(row)));
    std::vector<double> all = gather_rows(group, share, mine);
    for (const int64_t t : ladder.temperature()) all.push_back(static_cast<double>(t));
    return all;
  };
  EXPECT_EQ(energies(*ranks), energies(*alone));
}

}  // namespace
}  // namespace ocoee::alloy
