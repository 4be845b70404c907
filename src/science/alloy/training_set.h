// SPDX-License-Identifier: Apache-2.0
// Arrangements to learn from: random ones of every composition, and known orderings disordered by
// degrees, so that the energies which matter at a transition are among them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "science/alloy/lattice.h"

namespace ocoee::alloy {

struct Arranged {
  std::string name;              // "random 3", "L1_2 Cu-Au 5"
  std::vector<uint8_t> species;  // by site
};

// `random`: compositions uniform over all of them (flat Dirichlet). `ordered`: the orderings that
// fit the lattice, over pairs of species in turn, with a fraction of
// their sites (uniform from 0 to 1) shuffled; the first of each is perfect. The pure elements come
// first. A function of the seed.
std::vector<Arranged> training_set(const Lattice& lattice, const std::vector<std::string>& species,
                                   int64_t random, int64_t ordered, uint64_t seed);

}  // namespace ocoee::alloy
