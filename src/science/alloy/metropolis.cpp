// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/metropolis.h"

#include "core/error.h"
#include "science/alloy/metropolis_loops.h"

namespace ocoee::alloy {
namespace {

auto metropolis_at(double beta, double quantum) {
  return [scale = beta * quantum](Energy change, RandomWords& random) {
    return Metropolis::accept(scale * static_cast<double>(change), random);
  };
}

}  // namespace

void require_two_species(const Configuration& configuration, int species) {
  int present = 0;
  for (const int64_t atoms : configuration.composition(species)) present += atoms > 0;
  if (present < 2)
    fail(ErrorKind::config,
         "all {} sites hold one species: no swap changes anything\n    fix: a composition of at "
         "least two species, or a larger cell",
         configuration.sites());
}

Tally swap_far(const EnergyModel& model, Configuration& configuration, double beta, int64_t trials,
               const Chain& chain) {
  RandomWords random = chain.words();
  return with_concrete(model, [&](const auto& concrete) {
    return swap_far_loop(concrete, configuration, metropolis_at(beta, model.quantum()), trials,
                         random);
  });
}

Tally swap_near(const EnergyModel& model, const NeighbourTable& neighbours,
                Configuration& configuration, double beta, int64_t trials, const Chain& chain) {
  RandomWords random = chain.words();
  return with_concrete(model, [&](const auto& concrete) {
    return swap_near_loop(concrete, neighbours, configuration, metropolis_at(beta, model.quantum()),
                          trials, random);
  });
}

Tally flip(const EnergyModel& model, Configuration& configuration, double beta,
           const std::vector<double>& potentials, int64_t trials, const Chain& chain) {
  OCOEE_CHECK(static_cast<int>(potentials.size()) == model.species());
  OCOEE_CHECK(model.species() >= 2);
  RandomWords random = chain.words();
  const auto accept = [&, quantum = model.quantum()](Energy change, int from, int to,
                                                     RandomWords& words) {
    const double gain = potentials[static_cast<size_t>(to)] - potentials[static_cast<size_t>(from)];
    return Metropolis::accept(beta * (quantum * static_cast<double>(change) - gain), words);
  };
  return with_concrete(model, [&](const auto& concrete) {
    return flip_loop(concrete, configuration, accept, trials, random);
  });
}

}  // namespace ocoee::alloy
