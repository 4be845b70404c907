// SPDX-License-Identifier: Apache-2.0
// The link-cell sampler of one rank: site numbers, bonds and energies against a plain count, a
// restart to the bit, messages.
#include "science/alloy/link_cell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "comm/backend.h"
#include "core/error.h"
#include "core/random.h"
#include "science/alloy/link_cell_moves.h"
#include "science/alloy/pair_model.h"

namespace ocoee::alloy {
namespace {

LinkCellSetup setup(const std::string& lattice, std::array<int64_t, 3> cells, int species,
                    int shells) {
  LinkCellSetup s;
  s.lattice = lattice, s.cells = cells, s.species = species, s.shells = shells;
  s.energies.resize(static_cast<size_t>(shells * species * species));
  RandomStream random(4, Purpose::noise, 0, 0);
  for (int shell = 0; shell < shells; ++shell)
    for (int a = 0; a < species; ++a)
      for (int b = 0; b <= a; ++b)
        s.energies[static_cast<size_t>((shell * species + a) * species + b)] =
            s.energies[static_cast<size_t>((shell * species + b) * species + a)] =
                0.04 * (random.uniform() - 0.5);
  s.temperatures = {0.05, 0.1};
  s.seed = 3;
  return s;
}
std::shared_ptr<comm::Communicator> alone() {
  return comm::make_self_communicator("alone", 0);
}
std::vector<uint8_t> random_species(int64_t sites, int species) {
  std::vector<uint8_t> all(static_cast<size_t>(sites));
  RandomStream random(5, Purpose::noise, 1, 0);
  for (uint8_t& s : all) s = static_cast<uint8_t>(random.below(static_cast<uint64_t>(species)));
  return all;
}

// Distances between sites, numbered and placed as alloy::Lattice has them.
double plain_energy(const LinkCellSetup& s, const std::vector<uint8_t>& species) {
  using Site = std::array<int64_t, 3>;  // in halves of an edge
  std::vector<Site> basis{{0, 0, 0}};
  if (s.lattice == "bcc") basis = {{0, 0, 0}, {1, 1, 1}};
  if (s.lattice == "fcc") basis = {{0, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0}};
  const std::vector<int64_t> squares = s.lattice == "bcc"   ? std::vector<int64_t>{3, 4}
                                       : s.lattice == "fcc" ? std::vector<int64_t>{2, 4}
                                                            : std::vector<int64_t>{4, 8};
  std::vector<Site> sites;
  for (int64_t x = 0; x < s.cells[0]; ++x)
    for (int64_t y = 0; y < s.cells[1]; ++y)
      for (int64_t z = 0; z < s.cells[2]; ++z)
        for (const Site& b : basis) sites.push_back({2 * x + b[0], 2 * y + b[1], 2 * z + b[2]});
  double energy = 0;
  for (size_t i = 0; i < sites.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      int64_t squared = 0;
      for (size_t d = 0; d < 3; ++d) {
        const int64_t n = 2 * s.cells[d];
        int64_t step = std::abs(sites[i][d] - sites[j][d]) % n;
        step = std::min(step, n - step);
        squared += step * step;
      }
      for (int shell = 0; shell < s.shells; ++shell)
        if (squared == squares[static_cast<size_t>(shell)])
          energy += s.energies[static_cast<size_t>((shell * s.species + species[i]) * s.species +
                                                   species[j])];
    }
  return energy;
}

TEST(LinkCell, EnergiesAreThoseOfTheLattice) {
  for (const LinkCellSetup& s : {setup("square", {9, 7, 1}, 2, 1), setup("sc", {5, 6, 7}, 2, 2),
                                 setup("bcc", {5, 7, 6}, 4, 2), setup("fcc", {5, 7, 6}, 5, 2)}) {
    SCOPED_TRACE(s.lattice);
    LinkCellSampler sampler(s, alone(), {});
    const std::vector<uint8_t> start = random_species(sampler.sites(), s.species);
    for (int64_t r = 0; r < 2; ++r) sampler.assign(r, start);
    EXPECT_EQ(sampler.species(1), start);
    const double sites = static_cast<double>(sampler.sites());
    EXPECT_NEAR(static_cast<double>(sampler.energy(0)) * sampler.quantum(), plain_energy(s, start),
                1e-6 * sites);
    const int64_t before = sampler.energy(1);
    sampler.advance(20);
    const auto tally = sampler.tally(1);
    EXPECT_GT(tally.accepted, 0);
    EXPECT_LE(tally.trials, 20 * sampler.trials_a_step());
    EXPECT_EQ(sampler.energy(1) - before, tally.change);
    EXPECT_NEAR(static_cast<double>(sampler.energy(1)) * sampler.quantum(),
                plain_energy(s, sampler.species(1)), 1e-6 * sites);
    auto sorted = sampler.species(0), original = start;
    std::sort(sorted.begin(), sorted.end()), std::sort(original.begin(), original.end());
    EXPECT_EQ(sorted, original) << "the composition stays";
    const BondCounts counts = sampler.bonds(0);
    int64_t bonds = 0;
    for (int shell = 0; shell < s.shells; ++shell)
      for (int a = 0; a < s.species; ++a)
        for (int b = a; b < s.species; ++b) bonds += counts.at(shell, a, b);
    const int z = s.lattice == "square" ? 4 : s.lattice == "sc" ? 18 : s.lattice == "bcc" ? 14 : 18;
    EXPECT_EQ(bonds, sampler.sites() * z / 2);
  }
}

// Sites, bonds and energies are those of the sequential samplers' model.
TEST(LinkCell, CountsBondsAsPairModelsDo) {
  for (const LinkCellSetup& s : {setup("square", {9, 7, 1}, 2, 2), setup("sc", {5, 6, 7}, 2, 3),
                                 setup("bcc", {5, 7, 6}, 4, 6), setup("fcc", {4, 7, 6}, 5, 4)}) {
    SCOPED_TRACE(s.lattice);
    PairInteractions pairs(std::vector<std::string>(static_cast<size_t>(s.species), "X"), s.shells);
    pairs.values = s.energies;
    LinkCellSampler sampler(link_cell_setup(s.lattice, s.cells, pairs, {700.0}), alone(), {});
    const Lattice lattice(lattice_cell(s.lattice), s.cells);
    const PairModel model(lattice, find_shells(lattice.cell(), s.shells), pairs);
    Configuration configuration(model.grid());
    sampler.assign(0, random_species(sampler.sites(), s.species));
    sampler.advance(30);
    configuration.assign(sampler.species(0));
    EXPECT_EQ(sampler.bonds(0).counts, model.count_bonds(configuration).counts);
    EXPECT_NEAR(static_cast<double>(sampler.energy(0)) * sampler.quantum(),
                model.value(model.total(configuration)),
                1e-6 * static_cast<double>(sampler.sites()));
  }
}

TEST(LinkCell, GoesOnFromACheckpointToTheBit) {
  const LinkCellSetup s = setup("bcc", {7, 6, 5}, 3, 2);
  LinkCellSampler through(s, alone(), {}), first(s, alone(), {}), second(s, alone(), {});
  for (LinkCellSampler* sampler : {&through, &first}) sampler->fill({0.5, 0.3, 0.2});
  through.advance(9);
  first.advance(4);
  run::State from, to;
  first.add_state("mc", from);
  second.add_state("mc", to);
  ASSERT_EQ(from.arrays[0].pieces.size(), to.arrays[0].pieces.size());
  for (size_t p = 0; p < from.arrays[0].pieces.size(); ++p) {
    const run::Piece& piece = from.arrays[0].pieces[p];
    std::vector<uint8_t> bytes(static_cast<size_t>(piece.box.elements()));
    piece.save(bytes.data());
    to.arrays[0].pieces[p].load(bytes.data());
  }
  second.loaded("mc", from.values);
  second.advance(5);
  EXPECT_EQ(second.steps(), 9);
  for (int64_t r = 0; r < 2; ++r) {
    EXPECT_EQ(second.species(r), through.species(r));
    EXPECT_EQ(second.tally(r).change, through.tally(r).change);
    EXPECT_EQ(second.tally(r).trials, through.tally(r).trials);
  }
  EXPECT_NE(first.species(0), through.species(0));
}

TEST(LinkCell, TheSameMovesOnAGpu) {
  if (device::cuda_device_count() == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
  for (const LinkCellSetup& s : {setup("square", {9, 40, 1}, 2, 1), setup("sc", {5, 6, 7}, 5, 2),
                                 setup("bcc", {12, 9, 40}, 4, 6), setup("fcc", {5, 7, 6}, 3, 2)}) {
    SCOPED_TRACE(s.lattice);
    LinkCellSampler cpu(s, alone(), {}), gpu(s, alone(), {device::Kind::cuda, 0});
    cpu.fill(std::vector<double>(static_cast<size_t>(s.species), 1));
    gpu.fill(std::vector<double>(static_cast<size_t>(s.species), 1));
    cpu.advance(25), gpu.advance(25);
    for (int64_t r = 0; r < 2; ++r) {
      EXPECT_EQ(cpu.species(r), gpu.species(r));
      EXPECT_EQ(cpu.energy(r), gpu.energy(r));
      EXPECT_EQ(cpu.tally(r).change, gpu.tally(r).change);
    }
  }
}

// A ladder that link cells move has the energies of one that single far swaps move.
TEST(LinkCell, ALadderAgreesWithTheSequentialOne) {
  const Lattice lattice(lattice_cell("bcc"), {4, 4, 4});
  const PairInteractions pairs = ising(-1);
  const auto model = std::make_shared<PairModel>(lattice, find_shells(lattice.cell(), 1), pairs);
  const std::vector<double> temperatures{7, 8, 10};
  const auto mean_energies = [&](bool link_cells) {
    TemperingSettings settings;
    for (const double t : temperatures) settings.betas.push_back(1 / t);
    settings.seed = 6;
    if (link_cells)
      settings.mover = std::make_shared<LinkCellMoves>(
          link_cell_setup("bcc", {4, 4, 4}, pairs, temperatures), device::Device{});
    const auto ranks = alone();
    Tempering ladder(model, settings, *ranks,
                     std::vector<std::vector<uint8_t>>(3, random_arrangement({64, 64}, 6, 1)));
    ladder.advance(50);
    constexpr int kBlocks = 20, kSamples = 40;
    std::vector<std::pair<double, double>> means;  // with errors, by temperature
    std::vector<std::vector<double>> blocks(3, std::vector<double>(kBlocks));
    for (int block = 0; block < kBlocks; ++block)
      for (int sample = 0; sample < kSamples; ++sample) {
        ladder.advance(5);
        for (int64_t r = 0; r < 3; ++r)
          blocks[static_cast<size_t>(ladder.temperature()[static_cast<size_t>(r)])]
                [static_cast<size_t>(block)] += model->value(ladder.energy(r)) / 128 / kSamples;
      }
    for (const auto& one : blocks) {
      double mean = 0, variance = 0;
      for (const double v : one) mean += v / kBlocks;
      for (const double v : one) variance += (v - mean) * (v - mean) / (kBlocks - 1) / kBlocks;
      means.emplace_back(mean, std::sqrt(variance));
    }
    EXPECT_GT(ladder.tally().accepted, 0);
    EXPECT_GT(ladder.exchanged()[0], 0);
    return means;
  };
  const auto sequential = mean_energies(false), cells = mean_energies(true);
  for (size_t t = 0; t < 3; ++t)
    EXPECT_NEAR(sequential[t].first, cells[t].first,
                4.5 * std::hypot(sequential[t].second, cells[t].second))
        << "T = " << temperatures[t];
}

// Replicas at three temperatures of their own.
TEST(LinkCell, ColderIsLower) {
  LinkCellSetup s = setup("bcc", {8, 8, 8}, 2, 1);
  s.energies = {0, -1, -1, 0};
  s.temperatures = {1.5, 3, 6};
  LinkCellSampler sampler(s, alone(), {});
  sampler.fill({0.5, 0.5});
  sampler.advance(150);
  EXPECT_LT(sampler.energy(0), sampler.energy(1));
  EXPECT_LT(sampler.energy(1), sampler.energy(2));
}

TEST(LinkCell, SaysWhatDoesNotFit) {
  const auto message = [](const LinkCellSetup& s) -> std::string {
    try {
      LinkCellSampler(s, alone(), {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(setup("bcc", {9, 2, 9}, 2, 1)), testing::HasSubstr("too small"));
  EXPECT_THAT(message(setup("hcp", {9, 9, 9}, 2, 1)), testing::HasSubstr("no lattice 'hcp'"));
  EXPECT_THAT(message(setup("square", {9, 9, 2}, 2, 1)), testing::HasSubstr("2 layers"));
  LinkCellSetup cold = setup("bcc", {9, 9, 9}, 2, 1);
  cold.temperatures = {0.1, 0};
  EXPECT_THAT(message(cold), testing::HasSubstr("temperature of 0"));
}

}  // namespace
}  // namespace ocoee::alloy
