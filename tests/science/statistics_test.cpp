// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "science/alloy/ladder_analysis.h"
#include "science/alloy/moves.h"
#include "science/alloy/order.h"
#include "science/exact.h"
#include "science/ising_square.h"
#include "science/samplers.h"

namespace ocoee::alloy {
namespace {

using namespace testing_support;

TEST(Statistics, StudentsFactorIsTheKnownQuantile) {
  const std::vector<std::pair<int64_t, double>> known{{1, 1.8373}, {2, 1.3213},  {3, 1.1969},
                                                      {5, 1.1105}, {10, 1.0526}, {30, 1.0171}};
  for (const auto& [degrees, factor] : known)
    EXPECT_NEAR(student_factor(degrees), factor, 0.002) << degrees;
}

TEST(Statistics, TheAutocorrelationTimeOfAKnownProcess) {
  RandomStream random(1, Purpose::monte_carlo, 0, 0);
  for (const double memory : {0.0, 0.5, 0.9}) {
    std::vector<double> series{0};
    for (int i = 0; i < 100000; ++i) series.push_back(memory * series.back() + random.normal());
    const double exact = 0.5 * (1 + memory) / (1 - memory);
    EXPECT_NEAR(autocorrelation_time(series), exact, 0.06 * exact + 0.02);
  }
  EXPECT_EQ(autocorrelation_time(std::vector<double>(100, 3.0)), 50) << "it is one sample";
  EXPECT_TRUE(std::isnan(mean_of(std::vector<double>(100, 3.0)).error));
}

TEST(Statistics, AShortSeriesClaimsNoError) {
  EXPECT_TRUE(std::isnan(mean_of(std::vector<double>{1, 2, 3}).error));
  std::vector<double> drift;  // one long correlation: no block fits
  for (int i = 0; i < 300; ++i) drift.push_back(i);
  EXPECT_NEAR(mean_of(drift).value, 149.5, 1e-9);
  EXPECT_TRUE(std::isnan(mean_of(drift).error));
  EXPECT_EQ(text_of({1.23456, 0.0012}), "1.2346(12)");
  EXPECT_EQ(text_of({6.354, 0.04}), "6.35(4)");
  EXPECT_EQ(text_of({663.2, 12}), "663(12)");
  EXPECT_EQ(text_of({2, NAN}), "2 (error unknown)");
  EXPECT_EQ(text_of({2, NAN}, "K"), "2 K (error unknown)");
  EXPECT_EQ(text_of({6.354, 0.04}, "K"), "6.35(4) K");
}

// The stated 68 % interval covers the exact value in 68 % of 1,000 runs, for means and for
// fluctuations alike, and for a column that is slower than energy and order.
TEST(Statistics, ErrorBarsCoverTheTruthAsOftenAsTheySay) {
  const auto model = pair_model("bcc", {2, 2, 2}, ising(-1));
  const double temperature = 9, beta = 1 / temperature;
  const Levels exact =
      boltzmann(enumerate(*model, random_arrangement({8, 8}, 1, 0)), beta, model->quantum());
  double first = mean_energy(exact, model->quantum()), second = 0;
  // |order| follows from the energy here: E = -(2 k - 8)^2, eta = |2 k - 8| / 8
  double order = 0;
  for (const auto& [energy, p] : exact) {
    const double value = model->quantum() * static_cast<double>(energy);
    second += p * value * value;
    order += p * std::sqrt(-value) / 8;
  }
  const double heat = (second - first * first) * beta * beta / 16;
  const OrderParameter eta("B2", model->grid()->lattice());
  int energies = 0, heats = 0, orders = 0, slows = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    Configuration configuration(model->grid());
    configuration.assign(random_arrangement({8, 8}, seed, 0));
    swap_far(*model, configuration, beta, 400, {seed, 0, 0});
    LadderSeries series;
    series.sites = 16;
    series.k_t = {temperature};
    series.energy.resize(1);
    series.order.resize(1);
    series.columns = {{{}}};
    RandomStream random(seed, Purpose::noise, 0, 0);
    double slow = 0;
    Energy energy = model->total(configuration);
    for (uint64_t n = 1; n <= 1200; ++n) {
      energy += swap_far(*model, configuration, beta, 16, {seed, 0, n}).change;
      series.energy[0].push_back(model->value(energy));
      series.order[0].push_back(eta.of(configuration, 2));
      slow = 0.85 * slow + random.normal();
      series.columns[0][0].push_back(slow);
    }
    const LadderPoint point = analyse(series)[0];
    slows += std::abs(point.columns[0].value) < point.columns[0].error;
    energies += std::abs(point.energy.value - first / 16) < point.energy.error;
    heats += std::abs(point.heat_capacity.value - heat) < point.heat_capacity.error;
    orders += std::abs(point.order.value - order) < point.order.error;
  }
  std::printf("covered of 1000: energy %d, heat capacity %d, order %d, slow column %d\n", energies,
              heats, orders, slows);
  EXPECT_NEAR(energies, 683, 50);
  EXPECT_NEAR(heats, 683, 50);
  EXPECT_NEAR(orders, 683, 50);
  EXPECT_NEAR(slows, 683, 50);
}

// Samples drawn from exact distributions at four temperatures give the truth in between.
TEST(Mbar, AgreesWithTheExactCountsBetweenTemperatures) {
  DensityOfStates exact;
  exact.sites = 256;
  const std::vector<double> ln_g = ln_g_ising_square(16);
  for (size_t j = 0; j < ln_g.size(); ++j) {
    if (std::isinf(ln_g[j])) continue;
    exact.energy.push_back(-512 + 4.0 * static_cast<double>(j));
    exact.ln_g.push_back(ln_g[j]);
  }
  RandomStream random(5, Purpose::monte_carlo, 0, 0);
  const std::vector<double> k_t{2.0, 2.2, 2.4, 2.7};
  LadderSeries series;
  series.sites = 256;
  series.k_t = k_t;
  for (const double t : k_t) {
    std::vector<double> cumulative;
    double sum = 0;
    for (size_t i = 0; i < exact.energy.size(); ++i)
      cumulative.push_back(sum += std::exp(exact.ln_g[i] - exact.energy[i] / t - 300));
    series.energy.emplace_back();
    for (int n = 0; n < 4000; ++n) {
      const auto at =
          std::lower_bound(cumulative.begin(), cumulative.end(), sum * random.uniform());
      series.energy.back().push_back(exact.energy[static_cast<size_t>(
          std::min(at, cumulative.end() - 1) - cumulative.begin())]);
    }
  }
  const Mbar mbar({1 / 2.0, 1 / 2.2, 1 / 2.4, 1 / 2.7}, series.energy);
  for (const double t : {2.05, 2.3, 2.55}) {
    EXPECT_NEAR(mbar.moments(1 / t).energy / 256, exact.at(t).energy, 0.01);
    EXPECT_NEAR(mbar.moments(1 / t).heat_capacity / 256, exact.at(t).heat_capacity, 0.06);
    const double ratio = exact.at(t).free_energy / t - exact.at(2.0).free_energy / 2.0;
    EXPECT_NEAR(mbar.free_energy(1 / t), 256 * ratio, 0.15);
  }
  const Reweighted reweighted(series, 4000);
  const auto peaks = reweighted.heat_capacity_peaks();
  ASSERT_EQ(peaks.size(), 1U);
  const Estimate* peak = peaks.data();
  // Where energies are counted from changes nothing, however far that is.
  LadderSeries shifted = series;
  for (auto& list : shifted.energy)
    for (double& energy : list) energy -= 1e6;
  const auto again = Reweighted(shifted, 4000).heat_capacity_peaks();
  ASSERT_EQ(again.size(), 1U);
  const Estimate* same = again.data();
  EXPECT_NEAR(same->value, peak->value, 1e-4);
  EXPECT_NEAR(same->error, peak->error, 0.02 * peak->error);
  EXPECT_GT(peak->error, 1e-4);
  EXPECT_NEAR(Mbar({1 / 2.0, 1 / 2.2, 1 / 2.4, 1 / 2.7}, shifted.energy).free_energies()[3],
              mbar.free_energies()[3] - 1e6 * (1 / 2.7 - 1 / 2.0), 1e-4);
  const double truth = find_peak([&](double t) { return exact.at(t).heat_capacity; }, 2.0, 2.7);
  EXPECT_NEAR(peak->value, truth, 4 * peak->error);
  EXPECT_LT(peak->error, 0.02);
}

// A chain whose energy never changes is one sample, and claims no error.
TEST(Ladder, AFrozenChainIsOneSample) {
  LadderSeries series;
  series.k_t = {1};
  series.energy = {std::vector<double>(400, -2.5)};
  const LadderPoint point = analyse(series)[0];
  EXPECT_TRUE(point.frozen);
  EXPECT_EQ(point.effective_samples, 1);
  EXPECT_EQ(point.energy.value, -2.5);
  EXPECT_TRUE(std::isnan(point.energy.error));
  EXPECT_TRUE(std::isnan(point.heat_capacity.error));
}

// 40 free atoms that flip under mu = 1: the energy is 0, what is weighed is -mu N.
TEST(Ladder, EnergyAndWhatFlipsWeighAreTwoThings) {
  RandomStream random(7, Purpose::noise, 0, 0);
  const double k_t = 0.8, c = 1 / (1 + std::exp(-1 / k_t));
  LadderSeries series;
  series.sites = 40, series.fractions = 1;
  series.k_t = {k_t};
  series.energy.resize(1), series.weighed.resize(1), series.columns = {{{}}};
  for (int n = 0; n < 4000; ++n) {
    int atoms = 0;
    for (int site = 0; site < 40; ++site) atoms += random.uniform() < c;
    series.energy[0].push_back(1e-9 * (n % 2));
    series.weighed[0].push_back(-atoms);
    series.columns[0][0].push_back(atoms / 40.0);
  }
  const LadderPoint point = analyse(series)[0];
  EXPECT_NEAR(point.energy.value, 0, 1e-9);
  EXPECT_NEAR(point.weighed.value, -c, 4 * point.weighed.error);
  const Estimate response = point.composition_susceptibility.at(0);
  EXPECT_NEAR(response.value, c * (1 - c) / k_t, 4 * response.error);
  EXPECT_LT(response.error, 0.01);
  EXPECT_NEAR(point.heat_capacity.value, c * (1 - c) / (k_t * k_t), 4 * point.heat_capacity.error);
}

// A column of which many samples say nothing: its mean is that of the others, by their weight, and
// its interval covers the truth.
TEST(Ladder, SamplesWithoutWeightPullNoMean) {
  int covered = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    RandomStream random(seed, Purpose::noise, 0, 3);
    LadderSeries series;
    series.k_t = {1, 2};
    series.energy.resize(2), series.columns = {{{}, {}}}, series.column_names = {"alpha"};
    std::vector<std::vector<double>>& weights = series.column_weights[0];
    weights.resize(2);
    for (int n = 0; n < 400; ++n) {
      const int atoms = random.uniform() < 0.6 ? 0 : random.uniform() < 0.5 ? 1 : 3;
      for (size_t t = 0; t < 2; ++t) {
        series.energy[t].push_back(random.normal());
        series.columns[0][t].push_back(atoms == 0 ? 0 : 0.5 + 0.1 * atoms + 0.1 * random.normal());
        weights[t].push_back(t == 0 ? atoms : 0);
      }
    }
    const std::vector<LadderPoint> points = analyse(series);
    const Estimate alpha = points[0].columns.at(0);
    constexpr double kTruth = (1 * 0.6 + 3 * 0.8) / 4;
    EXPECT_NEAR(alpha.value, kTruth, 5 * alpha.error);
    covered += std::abs(alpha.value - kTruth) < alpha.error;
    EXPECT_TRUE(std::isnan(points[1].columns.at(0).value)) << "nothing was ever there";
  }
  EXPECT_NEAR(covered, 137, 25);
}

// No peak where the heat capacity is the same at every temperature, whatever the noise; both where
// there are two.
TEST(Ladder, PeaksStandOutOrAreNotClaimed) {
  int claimed = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    RandomStream random(seed, Purpose::noise, 0, 1);
    LadderSeries plateau;  // 20 degrees of freedom whose energy is exponential: C = 20
    for (const double k_t : {1.0, 1.15, 1.3, 1.45, 1.6, 1.8, 2.0, 2.2}) {
      plateau.k_t.push_back(k_t);
      plateau.energy.emplace_back();
      for (int n = 0; n < 400; ++n) {
        double energy = 0;
        for (int i = 0; i < 20; ++i) energy -= k_t * std::log(random.uniform());
        plateau.energy.back().push_back(energy);
      }
    }
    claimed += !Reweighted(plateau).heat_capacity_peaks().empty();
  }
  EXPECT_EQ(claimed, 0);

  RandomStream random(3, Purpose::noise, 0, 2);
  LadderSeries two;  // 40 pairs of levels a gap of 1 apart, 30 a gap of 8 apart
  two.sites = 40;
  for (int k = 0; k < 14; ++k) {
    const double k_t = 0.25 * std::pow(1.28, k);
    two.k_t.push_back(k_t);
    two.energy.emplace_back();
    for (int n = 0; n < 1500; ++n) {
      double energy = 0;
      for (int i = 0; i < 70; ++i) {
        const double gap = i < 40 ? 1 : 8;
        energy += random.uniform() < 1 / (1 + std::exp(gap / k_t)) ? gap : 0;
      }
      two.energy.back().push_back(energy);
    }
  }
  const auto curve = [](double k_t) {
    double sum = 0;
    for (const auto& [gap, many] : {std::pair{1.0, 40}, std::pair{8.0, 30}})
      sum += many * std::pow(gap / k_t / 2 / std::cosh(gap / k_t / 2), 2);
    return sum;
  };
  const std::vector<Estimate> peaks = Reweighted(two).heat_capacity_peaks();
  ASSERT_EQ(peaks.size(), 2U);
  EXPECT_NEAR(peaks[0].value, find_peak(curve, 0.3, 1), 4 * peaks[0].error);
  EXPECT_NEAR(peaks[1].value, find_peak(curve, 2, 5), 4 * peaks[1].error);
  EXPECT_LT(peaks[1].error, 0.2);
}

// 3,000 samples of each temperature of a system whose density of states is a normal one of width 8;
// `memory` of a sample for the one before, by temperature.
Reweighted normal_ladder(uint64_t seed, const std::vector<double>& k_t,
                         const std::vector<double>& memory) {
  RandomStream random(seed, Purpose::noise, 0, 0);
  LadderSeries series;
  series.sites = 100;
  series.k_t = k_t;
  for (size_t t = 0; t < k_t.size(); ++t) {
    double x = 0;
    series.energy.emplace_back();
    for (int i = 0; i < 3000; ++i) {
      x = memory[t] * x + std::sqrt(1 - memory[t] * memory[t]) * random.normal();
      series.energy.back().push_back(-64 / k_t[t] + 8 * x);
    }
  }
  return Reweighted(series);
}

// Blocks are ten autocorrelation times long at the temperatures beside the answer, and no error is
// claimed where eight such do not fit.
TEST(Mbar, BlocksFollowTheAutocorrelationTime) {
  const auto ladder = [](double memory_of_second) {
    return normal_ladder(3, {1.0, 1.2, 1.4}, {0, memory_of_second, 0});
  };
  EXPECT_EQ(ladder(0).blocks_at(1.3), 16);
  const Reweighted slow = ladder(0.93);  // time 14
  EXPECT_GE(slow.blocks_at(1.3), 12);
  EXPECT_LT(ladder(0.955).blocks_at(1.3), 16);  // time 22
  const Reweighted slower = ladder(0.99);       // time 100
  EXPECT_EQ(slower.blocks_at(1.3), 0);
  EXPECT_EQ(slower.blocks_at(1.0), 16) << "the coldest by itself has independent samples";
}

TEST(Mbar, FewSamplesSpeakForWhatLiesFarFromEveryTemperature) {
  const Reweighted far = normal_ladder(4, {1.0, 4.0}, {0, 0}),
                   near = normal_ladder(4, {1.0, 1.6, 4.0}, {0, 0, 0}),
                   slow = normal_ladder(4, {1.0, 1.6, 4.0}, {0.9, 0.9, 0.9});  // time 9.5
  EXPECT_NEAR(far.independent_samples(1.0), 3000, 200);
  EXPECT_NEAR(far.independent_samples(4.0), 3000, 200);
  EXPECT_LT(far.independent_samples(1.6), 300) << "of 6,000";
  EXPECT_GT(near.independent_samples(1.6), 2800);
  EXPECT_LT(slow.independent_samples(1.6), 400);
}

TEST(Mbar, NoMoreSamplesAreUsedThanAskedFor) {
  LadderSeries series;
  series.k_t = {1};
  series.energy.resize(1);
  for (int i = 0; i < 15; ++i) series.energy[0].push_back(i % 2 == 0 ? i % 4 : 1000);
  EXPECT_LT(Reweighted(series, 10).heat_capacity(1), 2) << "every second one";
  EXPECT_GT(Reweighted(series, 15).heat_capacity(1), 1e5);
}

TEST(Mbar, TemperaturesThatShareNoEnergiesAreRefused) {
  EXPECT_THROW(Mbar({1, 100}, {std::vector<double>(50, 0.0), std::vector<double>(50, -1e6)}),
               Error);
}

// Two temperatures that share energies in one stretch of the samples only: joined they are, but not
// without that stretch, and so no error is known and no peak stands out.
TEST(Mbar, WhatHangsOnOneBlockClaimsNothing) {
  const auto ladder = [](uint64_t seed) {
    RandomStream random(seed, Purpose::noise, 0, 0);
    LadderSeries series;
    series.sites = 100;
    series.k_t = {1, 1.25};
    for (const double middle : {-150.0, 150.0}) {
      series.energy.emplace_back(), series.order.emplace_back();
      for (int i = 0; i < 1600; ++i) {
        const bool meets = i >= 800 && i < 820;
        series.energy.back().push_back((meets ? 0 : middle) + 3 * random.normal());
        series.order.back().push_back(middle < 0 ? 0.5 + 0.1 * random.uniform() : random.uniform());
      }
    }
    return series;
  };
  const Reweighted one(ladder(3)), other(ladder(4));
  EXPECT_FALSE(one.is_marginal());
  EXPECT_GT(one.heat_capacity(1.03), 10 * one.heat_capacity(1.12)) << "which is a peak";
  EXPECT_TRUE(one.heat_capacity_peaks().empty());
  EXPECT_TRUE(one.susceptibility_peaks().empty());
  EXPECT_TRUE(one.is_marginal());
  const auto crossing = binder_crossing(one, other);
  EXPECT_TRUE(!crossing || std::isnan(crossing->error));
}

// Of one sample a temperature nothing stands out.
TEST(Mbar, OneSampleIsJoinedAndClaimsNothing) {
  LadderSeries series;
  series.k_t = {1, 1.1, 1.2};
  series.energy = {{-2.0}, {-1.0}, {-0.5}};
  EXPECT_TRUE(Reweighted(series).heat_capacity_peaks().empty());
}

TEST(Order, IsOneInEveryVariantAndLowAtRandom) {
  for (const std::string& name : ordering_names()) {
    const Ordering one = ordering(name);
    const Lattice lattice(lattice_cell(one.parent), {4, 4, 4});
    const auto model = pair_model(one.parent, {4, 4, 4}, ising(1));
    const OrderParameter eta(name, lattice);
    Configuration configuration(model->grid());
    const std::vector<uint8_t> pattern = arrange(one, lattice);
    configuration.assign(pattern);
    EXPECT_NEAR(eta.of(configuration, 2), 1, 1e-12) << name;
    std::vector<uint8_t> shifted(pattern.size());  // by a lattice step: another domain
    for (int64_t site = 0; site < lattice.sites(); ++site) {
      CellIndex cell = lattice.cell_of(site);
      ++cell[0];
      shifted[static_cast<size_t>(lattice.site(cell, lattice.basis_of(site)))] =
          pattern[static_cast<size_t>(site)];
    }
    configuration.assign(shifted);
    EXPECT_NEAR(eta.of(configuration, 2), 1, 1e-12) << name;
    configuration.assign(random_arrangement({lattice.sites() / 2, lattice.sites() / 2}, 2, 0));
    EXPECT_LT(eta.of(configuration, 2), 0.4) << name;

    EXPECT_EQ(Domains(one, lattice).sizes(pattern), std::vector<int64_t>{lattice.sites()});
  }
  EXPECT_THROW(OrderParameter("waves", Lattice(lattice_cell("sc"), {3, 3, 3}), {{0.5, 0.5, 0.5}}),
               Error);
}

double order_of(const std::string& name, const Lattice& lattice,
                const std::vector<uint8_t>& species, bool fixed) {
  Configuration configuration(std::make_shared<const Grid>(lattice, std::array<int, 3>{}));
  configuration.assign(species);
  const int count = 1 + *std::max_element(species.begin(), species.end());
  const std::vector<int64_t> atoms =
      fixed ? configuration.composition(count) : std::vector<int64_t>{};
  return OrderParameter(name, lattice, {}, atoms).of(configuration, count);
}

// At fixed composition eta is 1 where it is as ordered as it can be, of any number of species.
TEST(Order, IsOneInPerfectOrderOfAFixedComposition) {
  const Lattice bcc(lattice_cell("bcc"), {4, 4, 4});
  const auto on = [&](const std::vector<std::vector<uint8_t>>& of_sublattice) {
    std::vector<size_t> next(of_sublattice.size(), 0);
    std::vector<uint8_t> out;
    for (const uint8_t side : arrange(ordering("B2"), bcc)) {
      const std::vector<uint8_t>& list = of_sublattice[side];
      // in blocks of 8, so that neither species makes waves of its own within a sublattice
      out.push_back(list[(next[side]++ / 8) % list.size()]);
    }
    return out;
  };
  EXPECT_NEAR(order_of("B2", bcc, on({{0, 1}, {2, 3}}), true), 1, 1e-9);
  EXPECT_NEAR(order_of("B2", bcc, on({{0, 0, 0, 2}, {1, 1, 1, 2}}), true), 1, 1e-9);
  EXPECT_NEAR(order_of("B2", bcc, on({{0, 0, 0, 1}, {1, 1, 2, 2}}), true), std::sqrt(0.875 / 1.125),
              1e-9)
      << "the same composition, less ordered";
  std::vector<uint8_t> quarter = on({{0, 1}, {1}});
  EXPECT_NEAR(order_of("B2", bcc, quarter, true), 1, 1e-9);
  quarter[static_cast<size_t>(std::find(quarter.begin(), quarter.end(), 1) - quarter.begin())] = 2;
  EXPECT_NEAR(order_of("B2", bcc, quarter, true), 1, 0.04) << "one atom of a third species";
}

// No prototype is more of another ordering than that one's own.
TEST(Order, IsAtMostOneInEveryPrototype) {
  for (const std::string& held : ordering_names())
    for (const std::string& name : ordering_names()) {
      const Ordering one = ordering(held);
      if (ordering(name).parent != one.parent) continue;
      const Lattice lattice(lattice_cell(one.parent), {4, 4, 4});
      const double eta = order_of(name, lattice, arrange(one, lattice), true);
      EXPECT_LT(eta, 1 + 1e-9) << held << " as " << name;
      if (held != name) continue;
      EXPECT_NEAR(eta, 1, 1e-9) << held;
    }
}

// Where species flip, what eta is divided by does not follow the sample: an ideal solution of three
// species, two of them rare, is as little ordered as one of two.
TEST(Order, IsSmallInAnIdealSolutionOfAnyNumberOfSpecies) {
  for (const int species : {2, 3}) {
    const auto model = pair_model("bcc", {6, 6, 6}, potts(species, 0));
    std::vector<double> potentials(static_cast<size_t>(species), -5);
    potentials[0] = 0;
    const OrderParameter eta("B2", model->grid()->lattice());
    Configuration configuration(model->grid());
    double sum = 0;
    for (uint64_t n = 0; n < 200; ++n) {
      flip(*model, configuration, 1, potentials, 2 * configuration.sites(), {1, 0, n});
      sum += eta.of(configuration, species) / 200;
    }
    EXPECT_LT(sum, 0.015) << species;
    EXPECT_GT(sum, 0.001) << species;
  }
}

// Where sites have unlike numbers of neighbours, P(b | a) is a share of a's own bonds.
TEST(Order, WarrenCowleyOfUnlikeSites) {
  BondCounts bonds{2, 1, {3, 6, 6, 1}};  // A-A 3, A-B 6, B-B 1: ends of A 12, of B 8
  const std::vector<int64_t> atoms{4, 4};
  EXPECT_NEAR(warren_cowley(bonds, atoms, 0, 0, 1), 1 - (6.0 / 12) / 0.5, 1e-12);
  EXPECT_NEAR(warren_cowley(bonds, atoms, 0, 1, 0), 1 - (6.0 / 8) / 0.5, 1e-12);
}

// Half of the crystal holds the other variant: two domains, each of its size.
TEST(Order, DomainsOfTheTwoVariantsAreToldApart) {
  const Lattice lattice(lattice_cell("bcc"), {4, 5, 8});
  std::vector<uint8_t> species = arrange(ordering("B2"), lattice);
  int64_t turned = 0;
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    if (lattice.cell_of(site)[2] < 5) continue;
    species[static_cast<size_t>(site)] ^= 1;
    ++turned;
  }
  const Domains domains(ordering("B2"), lattice);
  EXPECT_EQ(domains.sizes(species), (std::vector<int64_t>{lattice.sites() - turned, turned}));
}

// B2 of four species, A and C against B and D, half of it shifted: two domains, though no species
// was told its sublattice. Ordered L1_2 of three: the corner by itself.
TEST(Order, DomainsOfAnyNumberOfSpecies) {
  const Lattice bcc(lattice_cell("bcc"), {4, 5, 8});
  RandomStream random(4, Purpose::noise, 0, 0);
  std::vector<uint8_t> species = arrange(ordering("B2"), bcc);
  int64_t shifted = 0;
  for (int64_t site = 0; site < bcc.sites(); ++site) {
    uint8_t& s = species[static_cast<size_t>(site)];
    if (bcc.cell_of(site)[2] >= 5) s ^= 1, ++shifted;
    s = static_cast<uint8_t>(s + 2 * random.below(2));  // 0, 2 on one side; 1, 3 on the other
  }
  EXPECT_EQ(Domains(ordering("B2"), bcc).sizes(species),
            (std::vector<int64_t>{bcc.sites() - shifted, shifted}));
  const Lattice fcc(lattice_cell("fcc"), {4, 4, 3});
  std::vector<uint8_t> ternary = arrange(ordering("L1_2"), fcc);
  for (uint8_t& s : ternary)
    if (s == 0 && random.below(2) == 1) s = 2;
  EXPECT_EQ(Domains(ordering("L1_2"), fcc).sizes(ternary), std::vector<int64_t>{fcc.sites()});
  for (uint8_t& s : ternary) s = static_cast<uint8_t>((s + 1) % 3);
  EXPECT_EQ(Domains(ordering("L1_2"), fcc).sizes(ternary), std::vector<int64_t>{fcc.sites()});
}

// Without an ordering, like neighbours: a slab of each of three species.
TEST(Order, DomainsOfLikeAtoms) {
  const Lattice lattice(lattice_cell("sc"), {3, 3, 8});
  std::vector<uint8_t> species;
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const int64_t z = lattice.cell_of(site)[2];
    species.push_back(z < 4 ? 0 : z < 7 ? 1 : 2);
  }
  const std::vector<int64_t> sizes = Domains(lattice).sizes(species);
  EXPECT_EQ(sizes, (std::vector<int64_t>{36, 27, 9}));
  EXPECT_NEAR(mean_share(sizes), (36.0 * 36 + 27 * 27 + 9 * 9) / (72.0 * 72), 1e-12);
}

// Along a line as on the plane, and as the sum over all sites says; of unlike edges those waves
// that fit.
TEST(Order, TheStructureFactorAlongALine) {
  const Lattice lattice(lattice_cell("fcc"), {6, 4, 8});
  const auto model = pair_model("fcc", {6, 4, 8}, potts(3, 1));
  Configuration configuration(model->grid());
  const std::vector<uint8_t> species = random_arrangement({300, 268, 200}, 3, 0);
  configuration.assign(species);
  const StructureFactorPlane plane = structure_factor(lattice, species, 1, 0);
  const std::array<int, 3> along_x{1, 0, 0}, diagonal{1, 1, 1};
  const std::vector<double> h = waves_along(lattice, along_x);
  ASSERT_EQ(h.size(), 6U);
  const std::vector<double> line = StructureFactorLine(lattice, along_x, h).of(configuration, 1);
  for (size_t j = 0; j < 6; ++j) EXPECT_NEAR(line[j], plane.values[4 * 13 + 7 + j], 1e-9) << h[j];
  const std::vector<double> few = waves_along(lattice, diagonal);
  EXPECT_EQ(few, (std::vector<double>{0.5, 1}));
  const std::vector<double> found =
      StructureFactorLine(lattice, diagonal, few).of(configuration, 2);
  for (size_t j = 0; j < few.size(); ++j) {
    double real = 0, imaginary = 0;
    for (int64_t site = 0; site < lattice.sites(); ++site) {
      const Vector r = lattice.position(site);
      const double phase = 2 * M_PI * few[j] * (r[0] + r[1] + r[2]);
      const double value = (species[static_cast<size_t>(site)] == 2 ? 1 : 0) - 200.0 / 768;
      real += value * std::cos(phase), imaginary += value * std::sin(phase);
    }
    EXPECT_NEAR(found[j], (real * real + imaginary * imaginary) / 768, 1e-9);
  }
  EXPECT_EQ(waves_along(Lattice(lattice_cell("sc"), {100, 1, 1}), along_x, 32).size(), 26U);
}

TEST(Order, TheStructureFactorPeaksWhereTheOrderIs) {
  const Lattice lattice(lattice_cell("bcc"), {4, 4, 4});
  const StructureFactorPlane plane =
      structure_factor(lattice, arrange(ordering("B2"), lattice), 1, 0);
  ASSERT_EQ(plane.columns, 9);
  ASSERT_EQ(plane.rows, 9);
  for (int64_t k = -4; k <= 4; ++k) {
    for (int64_t h = -4; h <= 4; ++h) {  // in quarters: superlattice peaks at (1, 0), (0, 1), ...
      const bool superlattice = std::abs(h) + std::abs(k) == 4 && h * k == 0;
      EXPECT_NEAR(plane.values[static_cast<size_t>((k + 4) * 9 + h + 4)], superlattice ? 32 : 0,
                  1e-9)
          << h << " " << k;
    }
  }
}

}  // namespace
}  // namespace ocoee::alloy
