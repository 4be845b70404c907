// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/moves.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace ocoee::alloy {

Tally Moves::make(const EnergyModel& model, Configuration& configuration, double beta,
                  int64_t trials, const Chain& chain) const {
  // The two halves of a mixed step draw from streams of their own.
  const Chain first{chain.seed, chain.id, 2 * chain.step};
  const Chain second{chain.seed, chain.id, 2 * chain.step + 1};
  switch (kind) {
    case Kind::far:
      return swap_far(model, configuration, beta, trials, first);
    case Kind::near:
      return swap_near(model, *near, configuration, beta, trials, first);
    case Kind::flip:
      return flip(model, configuration, beta, potentials, trials, first);
    case Kind::mixed:
      break;
  }
  Tally tally = swap_near(model, *near, configuration, beta, trials / 2, first);
  return tally += swap_far(model, configuration, beta, trials - trials / 2, second);
}

double Moves::weighed(const EnergyModel& model, const Configuration& configuration,
                      Energy energy) const {
  double out = model.value(energy);
  if (canonical()) return out;
  const std::vector<int64_t> atoms = configuration.composition(model.species());
  for (size_t a = 0; a < atoms.size(); ++a) out -= potentials[a] * static_cast<double>(atoms[a]);
  return out;
}

std::vector<int64_t> Moves::totals(const EnergyModel& model, const Configuration& configuration,
                                   Energy energy) const {
  std::vector<int64_t> out{energy};
  if (canonical()) return out;
  const std::vector<int64_t> atoms = configuration.composition(model.species());
  out.insert(out.end(), atoms.begin(), atoms.end());
  return out;
}

double Moves::difference(const EnergyModel& model, std::span<const int64_t> one,
                         std::span<const int64_t> other) const {
  double out = model.quantum() * static_cast<double>(one[0] - other[0]);
  for (size_t a = 1; a < one.size(); ++a)
    out -= potentials[a - 1] * static_cast<double>(one[a] - other[a]);
  return out;
}

std::vector<int64_t> atoms_for(const std::vector<double>& fractions, int64_t sites) {
  std::vector<int64_t> atoms;
  std::vector<std::pair<double, size_t>> remainders;
  for (size_t a = 0; a < fractions.size(); ++a) {
    const double exact = fractions[a] * static_cast<double>(sites);
    atoms.push_back(static_cast<int64_t>(std::floor(exact + 1e-9)));
    remainders.emplace_back(static_cast<double>(atoms.back()) - exact, a);
  }
  std::stable_sort(remainders.begin(), remainders.end());
  int64_t left = sites - std::accumulate(atoms.begin(), atoms.end(), int64_t{0});
  OCOEE_CHECK(left >= 0 && left <= static_cast<int64_t>(atoms.size()),
              "fractions must add up to one");
  for (size_t k = 0; left > 0; ++k, --left) ++atoms[remainders[k].second];
  return atoms;
}

std::vector<uint8_t> random_arrangement(const std::vector<int64_t>& atoms, uint64_t seed,
                                        uint64_t id) {
  std::vector<uint8_t> species;
  for (size_t a = 0; a < atoms.size(); ++a)
    species.insert(species.end(), static_cast<size_t>(atoms[a]), static_cast<uint8_t>(a));
  RandomStream random(seed, Purpose::initialization, 0, id);
  for (size_t i = species.size(); i > 1; --i) std::swap(species[i - 1], species[random.below(i)]);
  return species;
}

}  // namespace ocoee::alloy
