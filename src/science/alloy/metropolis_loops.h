// SPDX-License-Identifier: Apache-2.0
// The inner loops of the sequential samplers, as templates over the model and over the rule that
// accepts: the pair model is inlined, and tests plant rules that are wrong.
#pragma once

#include "science/alloy/metropolis.h"
#include "science/alloy/pair_model.h"

namespace ocoee::alloy {

template <class Accept>
Tally swap_far_loop(const EnergyModel& model, Configuration& configuration, Accept&& accept,
                    int64_t trials, RandomWords& random) {
  Tally tally{trials, 0, 0};
  const auto sites = static_cast<uint32_t>(configuration.sites());
  for (int64_t trial = 0; trial < trials; ++trial) {
    Swap swap;
    do {  // the number of unlike pairs is fixed, so passing over like ones biases nothing
      swap = {random.below(sites), random.below(sites)};
    } while (configuration[swap.a] == configuration[swap.b]);
    const Energy change = model.change_by_swap(configuration, swap);
    if (!accept(change, random)) continue;
    configuration.swap(swap.a, swap.b);
    ++tally.accepted;
    tally.change += change;
  }
  return tally;
}

template <class Accept>
Tally swap_far_loop(const PairModel& model, Configuration& configuration, Accept&& accept,
                    int64_t trials, RandomWords& random) {
  Tally tally{trials, 0, 0};
  const Grid& grid = configuration.grid();
  const uint8_t* const places = configuration.places();
  const auto sites = static_cast<uint32_t>(configuration.sites());
  for (int64_t trial = 0; trial < trials; ++trial) {
    uint32_t site_a, site_b;
    Grid::Located one, other;
    int a, b;
    do {
      site_a = random.below(sites);
      site_b = random.below(sites);
      one = grid.locate(site_a);
      other = grid.locate(site_b);
      a = places[one.place];
      b = places[other.place];
    } while (a == b);
    Energy change;
    if (grid.may_be_near(one, other)) {
      change = model.change_by_swap(configuration, {site_a, site_b});
    } else {
      change = model.sum_around(places + one.place, one.basis, model.difference(a, b)) +
               model.sum_around(places + other.place, other.basis, model.difference(b, a)) +
               model.own_images(one.basis, a, b) + model.own_images(other.basis, b, a);
    }
    if (!accept(change, random)) continue;
    configuration.set(site_a, b);
    configuration.set(site_b, a);
    ++tally.accepted;
    tally.change += change;
  }
  return tally;
}

template <class Model, class Accept>
Tally swap_near_loop(const Model& model, const NeighbourTable& neighbours,
                     Configuration& configuration, Accept&& accept, int64_t trials,
                     RandomWords& random) {
  Tally tally{trials, 0, 0};
  const auto sites = static_cast<uint32_t>(configuration.sites());
  const auto slots = static_cast<uint32_t>(neighbours.most(0));
  for (int64_t trial = 0; trial < trials; ++trial) {
    const uint32_t site = random.below(sites);
    // Each bond is proposed as often from either end, also where its sites have unlike numbers of
    // neighbours: a slot that a site lacks is a trial that does nothing.
    const uint32_t slot = random.below(slots);
    const auto near = neighbours.of(site, 0);
    if (slot >= near.size()) continue;
    const Swap swap{site, near[slot]};
    if (configuration[swap.a] == configuration[swap.b]) continue;
    const Energy change = model.change_by_swap(configuration, swap);
    if (!accept(change, random)) continue;
    configuration.swap(swap.a, swap.b);
    ++tally.accepted;
    tally.change += change;
  }
  return tally;
}

// `accept` is told the species before and after as well.
template <class Model, class Accept>
Tally flip_loop(const Model& model, Configuration& configuration, Accept&& accept, int64_t trials,
                RandomWords& random) {
  Tally tally{trials, 0, 0};
  const auto sites = static_cast<uint32_t>(configuration.sites());
  const auto others = static_cast<uint32_t>(model.species() - 1);
  for (int64_t trial = 0; trial < trials; ++trial) {
    const uint32_t site = random.below(sites);
    const int from = configuration[site];
    const int to = others == 1
                       ? 1 - from
                       : (from + 1 + static_cast<int>(random.below(others))) % model.species();
    const Energy change = model.change_by_flip(configuration, site, to);
    if (!accept(change, from, to, random)) continue;
    configuration.set(site, to);
    ++tally.accepted;
    tally.change += change;
  }
  return tally;
}

// Calls `loop` with the model as what it is.
template <class Loop>
Tally with_concrete(const EnergyModel& model, Loop&& loop) {
  if (const auto* pairs = dynamic_cast<const PairModel*>(&model)) return loop(*pairs);
  return loop(model);
}

}  // namespace ocoee::alloy
