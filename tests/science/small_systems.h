// SPDX-License-Identifier: Apache-2.0
// Systems so small that all their arrangements can be counted, and what samples them.
#pragma once

#include <fmt/format.h>

#include "science/alloy/metropolis_loops.h"
#include "science/exact.h"

namespace ocoee::alloy::testing_support {

using Counts = std::map<Energy, int64_t>;

// Right, or planted: uphill moves are a little too rare.
struct Rule {
  bool wrong = false;
  bool operator()(double change, RandomWords& random) const {
    return Metropolis::accept(wrong && change > 0 ? 1.1 * change : change, random);
  }
};

struct System {
  std::string name;
  Lattice lattice;
  std::vector<Shell> shells;
  std::shared_ptr<const PairModel> model;
  std::vector<uint8_t> start;
  double beta;

  System(const std::string& kind, CellIndex repeats, const PairInteractions& pairs,
         const std::vector<int64_t>& atoms, double temperature)
      : System(fmt::format("{} {} {} {}", kind, repeats[2], atoms.size(), temperature),
               lattice_cell(kind), repeats, pairs, atoms, temperature) {}
  System(std::string called, UnitCell cell, CellIndex repeats, const PairInteractions& pairs,
         const std::vector<int64_t>& atoms, double temperature)
      : name(std::move(called)),
        lattice(std::move(cell), repeats),
        shells(find_shells(lattice.cell(), std::max(1, pairs.shells))),
        model(std::make_shared<PairModel>(lattice, shells, pairs)),
        start(random_arrangement(atoms, 3, 0)),
        beta(1 / temperature) {}
  Configuration configuration() const {
    Configuration out(model->grid());
    out.assign(start);
    return out;
  }
  const Levels& levels() const {  // counted once for each system
    static std::map<std::string, Levels> known;
    Levels& mine = known[name];
    if (mine.empty()) mine = enumerate(*model, start);
    return mine;
  }
  Levels exact() const { return boltzmann(levels(), beta, model->quantum()); }
};

inline System square_swaps() {
  return {"square", {4, 4, 1}, ising(1), {8, 8}, 3};
}
inline System bcc_swaps() {
  return {"bcc", {2, 2, 2}, ising(-1), {8, 8}, 9};
}

inline PairInteractions four_species() {
  PairInteractions pairs({"A", "B", "C", "D"}, 2);
  const std::vector<double> values{3, -2, 1, -4, 2, -1, 1, 2, -1, 1, -2, 1};
  size_t next = 0;
  for (int s = 0; s < 2; ++s)
    for (int a = 0; a < 4; ++a)
      for (int b = a + 1; b < 4; ++b) pairs.set(s, a, b, values[next++]);
  return pairs;
}
inline System quaternary() {
  return {"fcc", {1, 1, 3}, four_species(), {3, 3, 3, 3}, 11};
}
// Sites of two kinds, with four neighbours and with two: a square lattice that lacks every fourth.
inline System unlike_sites() {
  UnitCell cell;
  cell.edges = {{{2, 0, 0}, {0, 2, 0}, {0, 0, 9}}};
  cell.sites = {{0, 0, 0}, {0.5, 0, 0}, {0, 0.5, 0}};
  return {"unlike sites", cell, {2, 2, 1}, ising(1), {6, 6}, 3};
}
// Every arrangement by itself: 8 sites, 2520 of them.
inline System small_quaternary() {
  return {"sc", {2, 2, 2}, four_species(), {2, 2, 2, 2}, 14};
}

// Samples of a test; the thread sanitizer looks for races, and a tenth shows them. So few samples
// still must not contradict a right rule, and cannot convict every wrong one.
#ifdef __SANITIZE_THREAD__
constexpr bool kAllSamples = false;
#else
constexpr bool kAllSamples = true;
#endif
constexpr int64_t samples_of(int64_t n) {
  return kAllSamples ? n : n / 10;
}

template <class Step>
Counts sample(const System& system, int64_t samples, Step&& step) {
  Counts counts;
  Configuration configuration = system.configuration();
  RandomWords random(11, Purpose::monte_carlo, 0, 0);
  for (int64_t n = -100; n < samples_of(samples); ++n) {
    step(configuration, random);
    if (n >= 0) ++counts[system.model->total(configuration)];
  }
  return counts;
}

inline auto accept_at(const System& system, Rule rule) {
  return [scale = system.beta * system.model->quantum(), rule](Energy change, RandomWords& random) {
    return rule(scale * static_cast<double>(change), random);
  };
}

}  // namespace ocoee::alloy::testing_support
