// SPDX-License-Identifier: Apache-2.0
// The same trajectory on any number of ranks: each rank also runs the whole by itself.
#include <gtest/gtest.h>

#include "science/samplers.h"
#include "support/mpi_world.h"

namespace ocoee::alloy {
namespace {

using namespace testing_support;

TEST(Ranks, GatheredRowsStandInOrder) {
  comm::Communicator& ranks = *ocoee::testing_support::world().host();
  for (const int64_t rows : {1, 3, 4, 7}) {
    const Share share(rows, ranks.rank(), ranks.size());
    std::vector<double> mine;
    for (int64_t row = share.first; row < share.first + share.count; ++row)
      mine.insert(mine.end(), {static_cast<double>(row), static_cast<double>(-row)});
    const std::vector<double> all = gather_rows(ranks, share, mine, 2);
    ASSERT_EQ(all.size(), static_cast<size_t>(2 * rows));
    for (int64_t row = 0; row < rows; ++row) {
      EXPECT_EQ(all[static_cast<size_t>(2 * row)], static_cast<double>(row));
      EXPECT_EQ(share.rank_of(row), row / share.per_rank);
    }
  }
}

TEST(Ranks, TemperingDoesNotDependOnTheirNumber) {
  comm::Communicator& ranks = *ocoee::testing_support::world().host();
  comm::World alone = comm::World::alone();
  Tempering shared = small_tempering(ranks), single = small_tempering(*alone.host());
  for (int step = 0; step < 40; ++step) {
    shared.advance(3);
    single.advance(3);
  }
  EXPECT_EQ(shared.temperature(), single.temperature());
  EXPECT_EQ(energies_of(shared, ranks), energies_of(single, *alone.host()));
  EXPECT_GT(shared.exchanged()[2], 0);
}

TEST(Ranks, ReplicaExchangeWangLandauDoesNotDependOnTheirNumber) {
  comm::Communicator& ranks = *ocoee::testing_support::world().host();
  comm::World alone = comm::World::alone();
  WangLandau shared = square_wang_landau(ranks, 6, 1e-3, 3, 2);
  WangLandau single = square_wang_landau(*alone.host(), 6, 1e-3, 3, 2);
  while (!shared.finished()) shared.advance();
  while (!single.finished()) single.advance();
  EXPECT_EQ(shared.steps(), single.steps());
  EXPECT_GT(shared.exchanged(), 10);
  const std::vector<double> one = shared.ln_g()[0], other = single.ln_g()[0];
  for (size_t bin = 0; bin < one.size(); ++bin)
    EXPECT_TRUE(one[bin] == other[bin] || (std::isnan(one[bin]) && std::isnan(other[bin])));
}

TEST(Ranks, AnnealingFindsTheSameLowestArrangement) {
  comm::Communicator& ranks = *ocoee::testing_support::world().host();
  comm::World alone = comm::World::alone();
  const auto model = pair_model("bcc", {3, 3, 3}, ising(-1));
  AnnealingSettings settings;
  settings.first_k_t = 20;
  settings.last_k_t = 0.5;
  settings.steps = 20;
  settings.sweeps = 3;
  settings.chains = 5;
  const Share share(5, ranks.rank(), ranks.size());
  Annealing shared(model, settings, ranks, starts(*model, {27, 27}, share));
  Annealing single(model, settings, *alone.host(), starts(*model, {27, 27}, Share(5, 0, 1)));
  while (!shared.finished()) shared.advance();
  while (!single.finished()) single.advance();
  EXPECT_EQ(shared.lowest(), single.lowest());
  EXPECT_EQ(shared.lowest_energies(), single.lowest_energies());
}

}  // namespace
}  // namespace ocoee::alloy
