// SPDX-License-Identifier: Apache-2.0
// Short runs against exact physics; longer ones stand in bench/alloys with their commands.
#include <gtest/gtest.h>

#include <cmath>

#include "science/alloy/ladder_analysis.h"
#include "science/alloy/order.h"
#include "science/samplers.h"

namespace ocoee::alloy {
namespace {

using namespace testing_support;

// Onsager's energy and Yang's magnetisation of the infinite square lattice, at L = 128.
TEST(Physics, TheSquareIsingModelIsOnsagers) {
  const auto model = pair_model("square", {128, 128, 1}, ising(1));
  const OrderParameter order("magnetisation", model->grid()->lattice());
  struct Known {
    double t, energy, magnetisation;
  };
  for (const Known& known :
       {Known{1.5, -1.9511165731, 0.9864996026}, Known{2.0, -1.7455645753, 0.9113193779},
        Known{3.0, -0.8173095925, NAN}}) {
    LadderSeries series;
    series.sites = 128 * 128;
    series.k_t = {known.t};
    series.energy.resize(1);
    series.order.resize(1);
    Configuration configuration(model->grid());
    const int64_t sweep = configuration.sites();
    flip(*model, configuration, 1 / known.t, {0, 0}, 150 * sweep, {1, 0, 0});
    Energy energy = model->total(configuration);
    for (uint64_t n = 1; n <= 400; ++n) {
      energy += flip(*model, configuration, 1 / known.t, {0, 0}, 2 * sweep, {1, 0, n}).change;
      series.energy[0].push_back(model->value(energy));
      series.order[0].push_back(order.of(configuration, 2));
    }
    EXPECT_EQ(energy, model->total(configuration));
    const LadderPoint point = analyse(series)[0];
    EXPECT_NEAR(point.energy.value, known.energy, 4 * point.energy.error);
    EXPECT_LT(point.energy.error, 2.5e-3);
    if (std::isnan(known.magnetisation)) continue;
    EXPECT_NEAR(point.order.value, known.magnetisation, 4 * point.order.error);
    EXPECT_LT(point.order.error, 2.5e-3);
  }
}

// A ladder with exchanges around the transition of bcc B2 at 50/50 (6.354 in the infinite crystal):
// already small cells see it where their cumulants cross.
TEST(Physics, BinderCumulantsOfB2CrossAtTheTransition) {
  comm::World world = comm::World::alone();
  std::vector<std::unique_ptr<Reweighted>> sizes;
  for (const int64_t cells : {4, 6}) {
    const auto model = pair_model("bcc", {cells, cells, cells}, ising(-1));
    const OrderParameter order("B2", model->grid()->lattice());
    TemperingSettings settings;
    LadderSeries series;
    series.sites = 2 * cells * cells * cells;
    for (const double t : {6.0, 6.3, 6.6, 6.9}) {
      settings.betas.push_back(1 / t);
      series.k_t.push_back(t);
    }
    const Share share(4, 0, 1);
    Tempering ladder(model, settings, *world.host(),
                     starts(*model, {series.sites / 2, series.sites / 2}, share));
    series.energy.assign(4, std::vector<double>(1200));
    series.order = series.energy;
    for (int n = -100; n < 1200; ++n) {
      ladder.advance(6);
      if (n < 0) continue;
      for (int64_t r = 0; r < 4; ++r) {
        const auto t = static_cast<size_t>(ladder.temperature()[static_cast<size_t>(r)]);
        series.energy[t][static_cast<size_t>(n)] = model->value(ladder.energy(r));
        series.order[t][static_cast<size_t>(n)] = order.of(ladder.replica(r), 2);
      }
    }
    sizes.push_back(std::make_unique<Reweighted>(series));
  }
  const auto crossing = binder_crossing(*sizes[0], *sizes[1]);
  ASSERT_TRUE(crossing);
  // Crossings of such small cells lie some parts in a thousand off (fixed composition included).
  EXPECT_NEAR(crossing->value, 6.354, 0.06 + 3 * crossing->error);
  EXPECT_LT(crossing->error, 0.05);
}

}  // namespace
}  // namespace ocoee::alloy
