// SPDX-License-Identifier: Apache-2.0
// Every sampler against exact enumerations: chi-square of thinned samples, all p-values
// together under Holm's procedure at 0.001. Each is run a second time with a rule that is slightly
// wrong, which its test must notice. Link cells by themselves: tests/kernels/alloy_exact_test.cpp.
#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "comm/backend.h"
#include "comm/world.h"
#include "kernels/parallel_for.h"
#include "science/alloy/annealing.h"
#include "science/alloy/features.h"
#include "science/alloy/link_cell_moves.h"
#include "science/alloy/mbar.h"
#include "science/alloy/tempering.h"
#include "science/alloy/wang_landau_walk.h"
#include "science/ising_square.h"
#include "science/small_systems.h"

namespace ocoee::alloy {
namespace {

using namespace testing_support;

double far(const System& system, Rule rule, bool through_interface) {
  const auto accept = accept_at(system, rule);
  const EnergyModel& any = *system.model;
  const int64_t trials = 8 * system.lattice.sites();
  return chi_square_p(system.exact(), sample(system, 40000, [&](Configuration& c, RandomWords& r) {
                        if (through_interface)
                          swap_far_loop(any, c, accept, trials, r);
                        else
                          swap_far_loop(*system.model, c, accept, trials, r);
                      }));
}

double near(const System& system, Rule rule) {
  const NeighbourTable table(system.lattice, system.shells);
  const auto accept = accept_at(system, rule);
  return chi_square_p(system.exact(), sample(system, 40000, [&](Configuration& c, RandomWords& r) {
                        swap_near_loop(*system.model, table, c, accept, 12 * c.sites(), r);
                      }));
}

// Near and far swaps in turn, as a recipe has them; the fault is a temperature 10 % too low.
double mixed(const System& system, bool wrong) {
  Moves moves;
  moves.kind = Moves::Kind::mixed;
  moves.near = std::make_shared<NeighbourTable>(system.lattice, system.shells);
  uint64_t step = 0;
  return chi_square_p(system.exact(), sample(system, 40000, [&](Configuration& c, RandomWords&) {
                        moves.make(*system.model, c, (wrong ? 1.1 : 1) * system.beta,
                                   12 * c.sites(), {7, 0, step++});
                      }));
}

// All arrangements of a small cell, told apart by their species and not by their energy alone.
double far_by_arrangement(const System& system, Rule rule) {
  std::map<std::vector<uint8_t>, double> probabilities;
  std::map<std::vector<uint8_t>, int64_t> counts;
  Configuration configuration = system.configuration();
  std::vector<uint8_t> species = system.start;
  std::sort(species.begin(), species.end());
  double sum = 0;
  do {
    configuration.assign(species);
    sum += probabilities[species] =
        std::exp(-system.beta * system.model->value(system.model->total(configuration)));
  } while (std::next_permutation(species.begin(), species.end()));
  for (auto& [key, p] : probabilities) p /= sum;
  sample(system, 150000, [&](Configuration& c, RandomWords& r) {
    swap_far_loop(*system.model, c, accept_at(system, rule), 48, r);
    ++counts[c.species()];
  });
  return chi_square_p(probabilities, counts);
}

// The energy in quanta and the atoms of each species: what a semi-grand ensemble weighs.
using Totals = std::vector<int64_t>;

struct FlipSystem {
  System system;
  std::vector<double> potentials;
  std::map<Totals, double> arrangements = {};  // how many have these totals

  FlipSystem(System made_of, std::vector<double> given)
      : system(std::move(made_of)), potentials(std::move(given)) {
    const auto count = static_cast<uint8_t>(potentials.size());
    Configuration all = system.configuration();
    std::vector<uint8_t> species(system.start.size(), 0);
    for (size_t turned = 0; turned < species.size();) {  // every arrangement, as an odometer runs
      all.assign(species);
      Totals totals{system.model->total(all)};
      for (const int64_t atoms : all.composition(count)) totals.push_back(atoms);
      ++arrangements[totals];
      for (turned = 0; turned < species.size() && ++species[turned] == count; ++turned)
        species[turned] = 0;
    }
  }
  Moves moves(double sign = 1) const {
    Moves out;
    out.kind = Moves::Kind::flip;
    for (const double mu : potentials) out.potentials.push_back(sign * mu);
    return out;
  }
  std::map<Totals, double> exact(double beta) const {
    std::map<Totals, double> out;
    double sum = 0;
    for (const auto& [totals, ways] : arrangements) {
      double weighed = system.model->quantum() * static_cast<double>(totals[0]);
      for (size_t a = 0; a < potentials.size(); ++a)
        weighed -= potentials[a] * static_cast<double>(totals[a + 1]);
      sum += out[totals] = ways * std::exp(-beta * weighed);
    }
    for (auto& [totals, p] : out) p /= sum;
    return out;
  }
};
FlipSystem flips_of_two() {
  return {{"square", {4, 4, 1}, ising(1), {16, 0}, 3}, {0.3, -0.2}};
}
FlipSystem flips_of_three(double temperature = 9, double field = 1) {
  PairInteractions pairs({"A", "B", "C"}, 1);
  pairs.set(0, 0, 1, 3);
  pairs.set(0, 0, 2, -2);
  pairs.set(0, 1, 2, 1);
  return {{"bcc", {2, 2, 1}, pairs, {4, 2, 2}, temperature}, {0.5 * field, -field, 0.2 * field}};
}

// By flip() itself; the faults: potentials of the other sign, a temperature 10 % too low.
double flips(const FlipSystem& of, bool wrong) {
  const System& system = of.system;
  const auto p_value = [&](double sign, double colder) {
    Configuration c = system.configuration();
    std::map<Totals, int64_t> counts;
    const Moves moves = of.moves(sign);
    for (int64_t n = -100; n < samples_of(40000); ++n) {
      flip(*system.model, c, colder * system.beta, moves.potentials, 10 * c.sites(),
           {11, 0, static_cast<uint64_t>(n + 100)});
      if (n >= 0) ++counts[moves.totals(*system.model, c, system.model->total(c))];
    }
    return chi_square_p(of.exact(system.beta), counts);
  };
  return wrong ? std::max(p_value(-1, 1), p_value(1, 1.1)) : p_value(1, 1);
}

// Pairs, triplets and a tetrahedron of three species, against all 13,860 arrangements.
double clusters(bool near, Rule rule) {
  const Lattice lattice(lattice_cell("fcc"), {1, 1, 3});
  const FeatureSpace space(lattice.cell(), {"A", "B", "C"}, 2, 1, 1);
  Fit planted;
  for (int64_t j = 0; j < space.columns(); ++j)
    planted.coefficients.push_back(static_cast<double>((5 * j + 3) % 7 - 3));
  planted.errors.assign(planted.coefficients.size(), 0);
  const std::vector<Shell> shells = find_shells(lattice.cell(), 2);
  const ClusterModel model(lattice, shells, space.interactions(planted, 2));
  const NeighbourTable table(lattice, shells);
  const std::vector<uint8_t> start = random_arrangement({6, 4, 2}, 3, 0);
  const double beta = 1 / 9.0, scale = beta * model.quantum();
  const auto accept = [&](Energy change, RandomWords& random) {
    return rule(scale * static_cast<double>(change), random);
  };
  Configuration configuration(model.grid());
  configuration.assign(start);
  RandomWords random(12, Purpose::monte_carlo, 0, near ? 1 : 0);
  Counts counts;
  for (int64_t n = -100; n < samples_of(40000); ++n) {
    if (near)
      swap_near_loop(model, table, configuration, accept, 180, random);
    else
      swap_far_loop(model, configuration, accept, 120, random);
    if (n >= 0) ++counts[model.total(configuration)];
  }
  return chi_square_p(boltzmann(enumerate(model, start), beta, model.quantum()), counts);
}

// Four temperatures with exchanges after every sweep, so that exchanges do much of the work.
TemperingSettings four_temperatures(const System& system, bool wrong) {
  TemperingSettings settings;
  for (const double t : {1.0, 1.15, 1.35, 1.6}) settings.betas.push_back(system.beta / t);
  if (wrong)
    settings.rule = [](double gain, double uniform) {
      return gain >= 0 || uniform < std::exp(0.5 * gain);
    };
  settings.seed = 5;
  return settings;
}

// `exact(t)`: the probabilities at temperature t; `key(ladder, r)`: what is counted of replica r.
template <class Exact, class KeyOf>
double tempering_by(Tempering& ladder, int64_t samples, int64_t apart, Exact&& exact, KeyOf&& key) {
  std::vector<std::map<decltype(key(0)), int64_t>> counts(4);
  for (int64_t n = -50; n < samples; ++n) {
    for (int64_t k = 0; k < apart; ++k) ladder.advance(1);
    if (n < 0) continue;
    for (int64_t r = 0; r < 4; ++r)
      ++counts[static_cast<size_t>(ladder.temperature()[static_cast<size_t>(r)])][key(r)];
  }
  EXPECT_GT(ladder.round_trips(), samples_of(100));
  double lowest = 1;
  for (size_t t = 0; t < 4; ++t) lowest = std::min(lowest, chi_square_p(exact(t), counts[t]));
  return std::min(1.0, 4 * lowest);
}

// With link cells (two at once in the 6 x 3 square) as what moves the replicas, or single swaps.
double tempering(const System& system, bool link_cells, bool wrong) {
  comm::World world = comm::World::alone();
  TemperingSettings settings = four_temperatures(system, wrong);
  const int threads = kernels::thread_count();
  if (link_cells) kernels::set_thread_count(1);  // so little work is no work for a team
  if (link_cells)
    settings.mover = std::make_shared<LinkCellMoves>(
        link_cell_setup("square", system.lattice.repeats(), ising(1), {1, 1, 1, 1}),
        device::Device{});
  Tempering ladder(system.model, settings, *world.host(),
                   {system.start, system.start, system.start, system.start});
  const Levels levels = system.levels();
  const double p = tempering_by(
      ladder, samples_of(link_cells ? 8000 : 30000), link_cells ? 16 : 8,
      [&](size_t t) { return boltzmann(levels, settings.betas[t], system.model->quantum()); },
      [&](int64_t r) { return ladder.energy(r); });
  kernels::set_thread_count(threads);
  return p;
}

double tempering_of_flips(const FlipSystem& of, bool wrong) {
  comm::World world = comm::World::alone();
  TemperingSettings settings = four_temperatures(of.system, wrong);
  settings.moves = of.moves();
  const std::vector<uint8_t>& start = of.system.start;
  Tempering ladder(of.system.model, settings, *world.host(), {start, start, start, start});
  return tempering_by(
      ladder, samples_of(30000), 8, [&](size_t t) { return of.exact(settings.betas[t]); },
      [&](int64_t r) {
        return settings.moves.totals(*of.system.model, ladder.replica(r), ladder.energy(r));
      });
}

// Many chains at a constant temperature, looked at once each.
double annealing(double error_of_temperature) {
  const System system = quaternary();
  comm::World world = comm::World::alone();
  AnnealingSettings settings;
  settings.first_k_t = settings.last_k_t = error_of_temperature / system.beta;
  settings.steps = 6;
  settings.sweeps = 5;
  settings.chains = 20000;
  Annealing chains(system.model, settings, *world.host(),
                   std::vector<std::vector<uint8_t>>(20000, system.start));
  for (int64_t step = 0; step < settings.steps; ++step) chains.advance();
  Counts counts;
  for (const double energy : chains.energies())
    ++counts[std::llround(energy / system.model->quantum())];
  return chi_square_p(system.exact(), counts);
}

// With the exact ln g and nothing added to it, the walk is even over energies.
double flat_walk_is_even(bool wrong, bool canonical) {
  const System system = canonical ? quaternary() : System{"square", {4, 4, 1}, ising(1), {8, 8}, 1};
  const Levels levels = canonical ? system.levels() : enumerate_binary(*system.model);
  const Energy low = levels.begin()->first;
  const EnergyBins bins =
      EnergyBins::covering(low, levels.rbegin()->first, std::llround(1 / system.model->quantum()));
  std::vector<double> ln_g(static_cast<size_t>(bins.count), -1e9);
  for (const auto& [energy, states] : levels)
    ln_g[static_cast<size_t>(bins.of(energy))] = std::log(states);
  std::vector<int64_t> histogram(ln_g.size());
  std::vector<uint8_t> met(ln_g.size(), 1);
  Moves moves;
  moves.kind = canonical ? Moves::Kind::far : Moves::Kind::flip;
  Configuration configuration = system.configuration();
  FlatWalk walk{bins, 0, bins.count, system.model->total(configuration), ln_g, histogram, met};
  walk.ln_f = 0;
  RandomWords random(4, Purpose::monte_carlo, 0, 0);
  Counts counts;
  Levels even;
  for (const auto& [energy, states] : levels) even[energy] = 1 / static_cast<double>(levels.size());
  for (int64_t n = 0; n < samples_of(30000); ++n) {
    flat_walk_by(*system.model, configuration, moves, walk, 60 * configuration.sites(), random,
                 Rule{wrong});
    EXPECT_EQ(walk.energy, system.model->total(configuration));
    ++counts[walk.energy];
  }
  return chi_square_p(even, counts);
}

// Two windows of energy whose walkers exchange arrangements. Their ln g stand still: exact in the
// lower one, which makes it even over its energies, and tilted in the upper one.
double exchanging_windows(bool wrong) {
  const System system = square_swaps();
  const Levels levels = system.levels();
  WangLandauSettings settings;
  settings.bins = EnergyBins::covering(levels.begin()->first, levels.rbegin()->first,
                                       std::llround(4 / system.model->quantum()));
  settings.windows = 2, settings.overlap = 0.6, settings.sweeps_per_step = 1, settings.seed = 3;
  if (wrong)
    settings.rule = [](double gain, double uniform) {
      return gain >= 0 || uniform < std::exp(0.5 * gain);
    };
  comm::World world = comm::World::alone();
  WangLandau walk(system.model, settings, *world.host(), {system.start, system.start});
  run::State state;
  walk.add_state(state);
  std::vector<Levels> exact(2);
  for (int64_t w = 0; w < 2; ++w) {
    std::vector<double> ln_g(static_cast<size_t>(settings.bins.count), -1e9);
    const auto [first, end] = walk.window(w);
    double sum = 0;
    for (const auto& [energy, states] : levels) {
      const int64_t bin = settings.bins.of(energy);
      const double tilt = w == 0 ? 0 : 0.7 * static_cast<double>(bin);
      ln_g[static_cast<size_t>(bin)] = std::log(states) + tilt;
      if (bin >= first && bin < end) sum += exact[static_cast<size_t>(w)][energy] = std::exp(-tilt);
    }
    for (auto& [energy, p] : exact[static_cast<size_t>(w)]) p /= sum;
    const std::vector<uint8_t> met(ln_g.size(), 1);
    for (run::StateArray& array : state.arrays) {
      if (array.name == "walkers.ln_g") array.pieces[static_cast<size_t>(w)].load(ln_g.data());
      if (array.name == "walkers.met") array.pieces[static_cast<size_t>(w)].load(met.data());
    }
  }
  for (auto& window : state.values["wang_landau"]["windows"]) window[0] = 0.0;
  walk.loaded(state.values);
  std::vector<Counts> counts(2);
  for (int64_t n = -100; n < samples_of(30000); ++n) {
    for (int k = 0; k < 8; ++k) walk.advance();
    for (int64_t w = 0; n >= 0 && w < 2; ++w) ++counts[static_cast<size_t>(w)][walk.energy(w)];
  }
  EXPECT_GT(walk.exchanged(), samples_of(10000));
  return std::min(
      1.0, 2 * std::min(chi_square_p(exact[0], counts[0]), chi_square_p(exact[1], counts[1])));
}

// Samples of three temperatures, joined, weighed for a fourth, and a few drawn by these weights.
// `draw(t)`: the next sample at betas[t], as what its ensemble weighs and what is counted of it.
template <class Key, class Draw>
double reweighting_by(const std::map<Key, double>& exact, const std::vector<double>& betas,
                      double target, Draw&& draw) {
  constexpr int64_t kSets = samples_of(2500), kSamples = 200, kDrawn = 5;
  RandomStream random(9, Purpose::noise, 0, 0);
  std::map<Key, int64_t> counts;
  for (int64_t set = 0; set < kSets; ++set) {
    std::vector<std::vector<double>> weighed(betas.size());
    std::vector<Key> all;
    for (size_t t = 0; t < betas.size(); ++t)
      for (int64_t n = 0; n < kSamples; ++n) {
        const auto [value, key] = draw(t);
        weighed[t].push_back(value);
        all.push_back(key);
      }
    const std::vector<double> weights = Mbar(betas, weighed).weights(target);
    for (int64_t k = 0; k < kDrawn; ++k) {
      double left = random.uniform();
      size_t at = 0;
      while (at + 1 < weights.size() && (left -= weights[at]) >= 0) ++at;
      ++counts[all[at]];
    }
  }
  return chi_square_p(exact, counts);
}

double reweighting(Rule rule) {
  std::vector<System> systems;
  std::vector<Configuration> at;
  std::vector<RandomWords> random;
  std::vector<double> betas;
  for (const double factor : {1.0, 1.2, 1.45}) {
    systems.push_back(quaternary());
    betas.push_back(systems.back().beta /= factor);
    at.push_back(systems.back().configuration());
    random.emplace_back(uint64_t{6}, Purpose::monte_carlo, uint64_t{0}, random.size());
  }
  const EnergyModel& model = *systems[0].model;
  const double target = betas[0] / 1.1;
  return reweighting_by(boltzmann(systems[0].levels(), target, model.quantum()), betas, target,
                        [&](size_t t) {
                          swap_far_loop(*systems[t].model, at[t], accept_at(systems[t], rule),
                                        3 * at[t].sites(), random[t]);
                          const Energy energy = model.total(at[t]);
                          return std::pair(model.value(energy), energy);
                        });
}

// The fault: weighed under potentials of the other sign.
double reweighting_of_flips(const FlipSystem& of, bool wrong) {
  const EnergyModel& model = *of.system.model;
  const Moves moves = of.moves(), weighing = of.moves(wrong ? -1 : 1);
  std::vector<Configuration> at(3, of.system.configuration());
  std::vector<double> betas;
  for (const double factor : {1.0, 1.2, 1.45}) betas.push_back(of.system.beta / factor);
  const double target = of.system.beta / 1.1;
  uint64_t step = 0;
  return reweighting_by(of.exact(target), betas, target, [&](size_t t) {
    moves.make(model, at[t], betas[t], 6 * at[t].sites(), {6, t, step++});
    const Energy energy = model.total(at[t]);
    return std::pair(weighing.weighed(model, at[t], energy), moves.totals(model, at[t], energy));
  });
}

TEST(Exactness, EverySamplerDrawsFromItsEnsembleAndAWrongRuleIsNoticed) {
  const std::vector<std::pair<std::string, std::function<double(bool)>>> samplers{
      {"far swaps, 4 x 4", [](bool wrong) { return far(square_swaps(), {wrong}, false); }},
      {"far swaps, bcc", [](bool wrong) { return far(bcc_swaps(), {wrong}, false); }},
      {"far swaps, quaternary", [](bool wrong) { return far(quaternary(), {wrong}, false); }},
      {"far swaps, any model", [](bool wrong) { return far(quaternary(), {wrong}, true); }},
      {"far swaps, arrangements",
       [](bool wrong) { return far_by_arrangement(small_quaternary(), {wrong}); }},
      {"near swaps, 4 x 4", [](bool wrong) { return near(square_swaps(), {wrong}); }},
      {"near swaps, bcc", [](bool wrong) { return near(bcc_swaps(), {wrong}); }},
      {"near swaps, quaternary", [](bool wrong) { return near(quaternary(), {wrong}); }},
      {"near swaps, unlike sites", [](bool wrong) { return near(unlike_sites(), {wrong}); }},
      {"flips", [](bool wrong) { return flips(flips_of_two(), wrong); }},
      {"flips of three species", [](bool wrong) { return flips(flips_of_three(), wrong); }},
      {"far swaps, clusters", [](bool wrong) { return clusters(false, {wrong}); }},
      {"near swaps, clusters", [](bool wrong) { return clusters(true, {wrong}); }},
      {"mixed swaps, quaternary", [](bool wrong) { return mixed(quaternary(), wrong); }},
      {"tempering", [](bool wrong) { return tempering(quaternary(), false, wrong); }},
      {"tempering of link cells",
       [](bool wrong) {
         return tempering({"square", {6, 3, 1}, ising(1), {9, 9}, 2.5}, true, wrong);
       }},
      {"tempering of flips",
       [](bool wrong) { return tempering_of_flips(flips_of_three(9, 3), wrong); }},
      {"annealing", [](bool wrong) { return annealing(wrong ? 0.93 : 1); }},
      {"flat walk by swaps", [](bool wrong) { return flat_walk_is_even(wrong, true); }},
      {"flat walk by flips", [](bool wrong) { return flat_walk_is_even(wrong, false); }},
      {"windows that exchange", exchanging_windows},
      {"reweighting", [](bool wrong) { return reweighting({wrong}); }},
      {"reweighting of flips",
       [](bool wrong) { return reweighting_of_flips(flips_of_three(9, 8), wrong); }},
  };
  std::vector<std::pair<double, std::string>> right;
  for (const auto& [name, p_value] : samplers) {
    right.emplace_back(p_value(false), name);
    if (!kAllSamples) continue;
    const double planted = p_value(true);
    std::printf("%-26s p = %.4f, planted %.1e\n", name.c_str(), right.back().first, planted);
    EXPECT_LT(planted, 1e-4) << name << ": the planted fault went unnoticed";
  }
  const std::vector<std::string> rejected = holm_rejects(right, 0.001);
  for (const std::string& name : rejected) ADD_FAILURE() << name;
}

TEST(Exactness, TheEnumerationsAreTheKnownOnes) {
  const System square = square_swaps();
  const double unit = square.model->quantum();
  const std::map<int, double> known{{-16, 8},  {-8, 768}, {-4, 1600}, {0, 4356}, {4, 3264},
                                    {8, 2112}, {12, 576}, {16, 120},  {20, 64},  {32, 2}};
  std::map<int, double> found;
  for (const auto& [energy, states] : enumerate(*square.model, square.start))
    found[static_cast<int>(std::lround(static_cast<double>(energy) * unit))] = states;
  EXPECT_EQ(found, known);

  const System all{"square", {4, 4, 1}, ising(1), {8, 8}, 1};
  const std::map<int, double> table{{-32, 2},    {-24, 32},  {-20, 64},   {-16, 424},
                                    {-12, 1728}, {-8, 6688}, {-4, 13568}, {0, 20524}};
  for (const auto& [energy, states] : enumerate_binary(*all.model)) {
    const int whole = static_cast<int>(std::lround(static_cast<double>(energy) * unit));
    EXPECT_EQ(states, table.at(-std::abs(whole)));
  }

  // bcc 2 x 2 x 2: complete bipartite, E = J (2 k - 8)^2 / ... in closed form, C(8, k)^2 states.
  const System bcc = bcc_swaps();
  std::map<int, double> closed, counted;
  double binomial = 1;
  for (int k = 0; k <= 8; ++k) {
    closed[-(2 * k - 8) * (2 * k - 8)] += binomial * binomial;
    binomial = binomial * (8 - k) / (k + 1);
  }
  for (const auto& [energy, states] : enumerate(*bcc.model, bcc.start))
    counted[static_cast<int>(std::lround(static_cast<double>(energy) * bcc.model->quantum()))] =
        states;
  EXPECT_EQ(counted, closed);
}

TEST(Exactness, CountsOfTheSquareLatticeAreWhole) {
  const std::vector<double> four = ln_g_ising_square(4);
  const std::vector<double> table{2, 0, 32, 64, 424, 1728, 6688, 13568, 20524};
  for (size_t j = 0; j < 9; ++j) {
    EXPECT_NEAR(std::exp(four[j]), table[j], 1e-9 * table[j]);
    EXPECT_EQ(four[j], four[16 - j]);
  }
  for (const int edge : {6, 8, 16}) {
    const std::vector<double> ln_g = ln_g_ising_square(edge);
    double sum = 0;
    const double all = edge * edge * std::log(2.0);
    for (const double one : ln_g) sum += std::exp(one - all);
    EXPECT_NEAR(sum, 1, 1e-12);
    EXPECT_NEAR(std::exp(ln_g.front()), 2, 1e-12);
    EXPECT_EQ(ln_g.front(), ln_g.back());
    EXPECT_NEAR(std::exp(ln_g[2]), 2 * edge * edge, 1e-9);  // one spin turned
  }
}

TEST(RandomWords, AreThoseOfARandomStream) {
  for (const uint64_t id : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 40}) {
    RandomStream stream(3, Purpose::monte_carlo, 9, id);
    RandomWords words(3, Purpose::monte_carlo, 9, id);
    for (int i = 0; i < 5000; ++i) ASSERT_EQ(words.next(), stream.next32());
  }
}

}  // namespace
}  // namespace ocoee::alloy
