// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/training_set.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "science/alloy/sublattices.h"

namespace ocoee::alloy {
namespace {

// Shuffles the species of a fraction of the sites among themselves.
void disorder(std::vector<uint8_t>& species, double fraction, RandomStream& random) {
  std::vector<size_t> sites;
  for (size_t site = 0; site < species.size(); ++site) {
    if (random.uniform() < fraction) sites.push_back(site);
  }
  for (size_t i = sites.size(); i > 1; --i)
    std::swap(species[sites[i - 1]], species[sites[random.below(i)]]);
}

std::vector<uint8_t> random_species(int64_t sites, size_t count, RandomStream& random) {
  std::vector<double> cumulative;
  double sum = 0;
  for (size_t a = 0; a < count; ++a) cumulative.push_back(sum -= std::log(1 - random.uniform()));
  std::vector<uint8_t> out;
  for (int64_t site = 0; site < sites; ++site) {
    const double at = random.uniform() * sum;
    uint8_t species = 0;
    while (species + 1U < count && cumulative[species] <= at) ++species;
    out.push_back(species);
  }
  return out;
}

bool fits(const Ordering& ordering, const Lattice& lattice) {
  try {
    arrange(ordering, lattice);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::vector<Arranged> training_set(const Lattice& lattice, const std::vector<std::string>& species,
                                   int64_t random, int64_t ordered, uint64_t seed) {
  const size_t n = species.size();
  std::vector<Arranged> out;
  for (size_t a = 0; a < n; ++a)
    out.push_back({"pure " + species[a], std::vector<uint8_t>(static_cast<size_t>(lattice.sites()),
                                                              static_cast<uint8_t>(a))});
  for (int64_t i = 0; i < random; ++i) {
    RandomStream draws(seed, Purpose::selection, 2, static_cast<uint64_t>(i));
    out.push_back({fmt::format("random {}", i + 1), random_species(lattice.sites(), n, draws)});
  }
  std::vector<Arranged> perfect;
  for (const std::string& name : ordering_names()) {
    const Ordering found = ordering(name);
    if (!fits(found, lattice)) continue;
    const std::vector<uint8_t> pattern = arrange(found, lattice);
    for (size_t a = 0; a < n; ++a) {
      for (size_t b = 0; b < n; ++b) {
        if (a == b) continue;
        Arranged entry{fmt::format("{} {}-{}", name, species[a], species[b]), pattern};
        for (uint8_t& s : entry.species) s = static_cast<uint8_t>(s == 0 ? a : b);
        perfect.push_back(std::move(entry));
      }
    }
  }
  if (perfect.empty()) return out;
  for (int64_t i = 0; i < ordered; ++i) {
    const auto turn = static_cast<size_t>(i) / perfect.size();
    Arranged entry = perfect[static_cast<size_t>(i) % perfect.size()];
    RandomStream draws(seed, Purpose::selection, 3, static_cast<uint64_t>(i));
    if (turn > 0) disorder(entry.species, draws.uniform(), draws);
    entry.name += fmt::format(" {}", turn + 1);
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace ocoee::alloy
