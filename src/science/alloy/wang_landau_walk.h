// SPDX-License-Identifier: Apache-2.0
// The walk of one Wang-Landau walker, as a template over the model; tests plant a wrong rule.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "science/alloy/metropolis_loops.h"
#include "science/alloy/wang_landau.h"

namespace ocoee::alloy {

struct FlatWalk {
  EnergyBins bins;
  int64_t first, end;  // the walker's window
  Energy energy;
  std::vector<double>& ln_g;
  std::vector<int64_t>& histogram;
  std::vector<uint8_t>& met;
  double ln_f = 1;
  int64_t trials = 0;               // so far, in the 1/t part
  double per_trial = 0;             // bins met: ln f = per_trial / trials; 0: ln f is fixed
  BinEnergies* energies = nullptr;  // where bins hold more than a level
  std::array<int64_t, 2> beyond{};  // moves that led below and above all bins

  bool inside() const {
    const int64_t bin = bins.of(energy);
    return bin >= first && bin < end;
  }
  // Decides a move, and counts where the walker then is.
  template <class Rule>
  bool step(Energy change, RandomWords& random, Rule&& rule) {
    const int64_t from = bins.of(energy), to = bins.of(energy + change);
    if (from < first || from >= end) {  // on the way to its window: nearer, or a little further
      const auto away = [&](int64_t bin) { return bin < first ? first - bin : bin - end + 1; };
      const bool nearer = (to >= first && to < end) || away(to) <= away(from);
      if (nearer || random.below(200) == 0)
        energy += change;
      else
        return false;
      return true;
    }
    beyond[0] += to < 0;
    beyond[1] += to >= bins.count;
    const bool accepted =
        to >= first && to < end &&
        rule(ln_g[static_cast<size_t>(to)] - ln_g[static_cast<size_t>(from)], random);
    const auto at = static_cast<size_t>(accepted ? to : from);
    if (accepted) energy += change;
    if (per_trial > 0) ln_f = per_trial / static_cast<double>(++trials);
    if (met[at] == 0) begin(at);
    ln_g[at] += ln_f;
    ++histogram[at];
    if (energies) {
      ++energies->visits[at];
      const auto offset = static_cast<double>(bins.offset(energy));
      energies->offsets[at] += offset;
      energies->squares[at] += offset * offset;
    }
    return accepted;
  }
  // A bin that is met late begins at the lowest ln g known: from 0 it would hold the walker until
  // it had caught up, and pass for emptier than it is.
  void begin(size_t at) {
    double lowest = std::numeric_limits<double>::infinity();
    for (auto bin = static_cast<size_t>(first); bin < static_cast<size_t>(end); ++bin)
      if (met[bin] != 0) lowest = std::min(lowest, ln_g[bin]);
    ln_g[at] = std::isfinite(lowest) ? lowest : 0;
    met[at] = 1;
  }
};

// `trials` trials of the moves; `rule` decides by the difference of ln g, as Metropolis does.
template <class Rule>
void flat_walk_by(const EnergyModel& model, Configuration& configuration, const Moves& moves,
                  FlatWalk& walk, int64_t trials, RandomWords& random, Rule&& rule) {
  with_concrete(model, [&](const auto& concrete) {
    if (moves.canonical())
      return swap_far_loop(
          concrete, configuration,
          [&](Energy change, RandomWords& words) { return walk.step(change, words, rule); }, trials,
          random);
    return flip_loop(
        concrete, configuration,
        [&](Energy change, int, int, RandomWords& words) { return walk.step(change, words, rule); },
        trials, random);
  });
}

inline void flat_walk(const EnergyModel& model, Configuration& configuration, const Moves& moves,
                      FlatWalk& walk, int64_t trials, RandomWords& random) {
  flat_walk_by(model, configuration, moves, walk, trials, random, Metropolis::accept);
}

}  // namespace ocoee::alloy
