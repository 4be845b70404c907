// SPDX-License-Identifier: Apache-2.0
// Canonical Monte Carlo by link cells: one crystal (or several, at temperatures of their own) that
// threads, ranks or the threads of a GPU sweep together. How a sub-sweep works, and why it is
// exact, stands in kernels/alloy_swap.h.
//
// Ranks share a crystal in slabs along its first axis. Before a sub-sweep they exchange the layers
// within reach; afterwards a rank hands on the layers of its last cores that lie in the next slab.
// The trajectory is a function of the seed and the start alone: it does not depend on the number
// of ranks or threads, nor on the device.
//
// Sites are numbered as alloy::Lattice numbers them: ((x ny + y) nz + z) basis + b.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "kernels/alloy_swap.h"
#include "run/state.h"
#include "science/alloy/pair_model.h"

namespace ocoee::alloy {

struct LinkCellSetup {
  std::string lattice = "bcc";            // square, sc, bcc, fcc
  std::array<int64_t, 3> cells{1, 1, 1};  // conventional cells along x, y, z; square: nz = 1
  int species = 2;                        // at most 16
  int shells = 1;
  std::vector<double> energies;      // [shell][a][b], symmetric: what a bond costs
  std::vector<double> temperatures;  // k_B T in the unit of the energies; one replica for each
  uint64_t seed = 1;
  int trials = 0;             // of a link cell in a sub-sweep; 0: as many as it has sites
  int64_t first_replica = 0;  // number of the first replica, where others are elsewhere
};

// For interactions as other samplers take them; temperatures in their unit (kelvin, or J / k_B).
// Point energies and the constant are left out: they stay the same at fixed composition.
LinkCellSetup link_cell_setup(const std::string& lattice, const std::array<int64_t, 3>& cells,
                              const PairInteractions& pairs,
                              const std::vector<double>& temperatures);

// Neighbours in each shell that link cells act on: distances that differ are shells of their own.
std::vector<double> link_cell_coordination(const std::string& lattice, int shells);

// Error(config) where link cells do not take a lattice, crystal or model, or the crystal is too
// short for so many ranks.
void check_link_cells(const LinkCellSetup& setup, int ranks = 1);

class LinkCellSampler {
 public:
  // `ranks` must carry buffers of `device`. Error(config): a lattice or crystal that link cells do
  // not take, or slabs too thin for the reach of the interactions.
  LinkCellSampler(LinkCellSetup setup, std::shared_ptr<comm::Communicator> ranks,
                  device::Device device);

  int64_t sites() const { return lattice_.sites(); }  // of a replica
  int64_t replicas() const { return lattice_.replicas; }
  double quantum() const { return quantum_; }
  int64_t steps() const { return step_; }
  // Swaps that a sub-sweep tries in a replica, unless a core holds one species only.
  int64_t trials_a_step() const;

  // Every rank passes the species of all sites.
  void assign(int64_t replica, const std::vector<uint8_t>& species);
  // All replicas at random: each site is of species s with probability shares[s].
  void fill(const std::vector<double>& shares);
  std::vector<uint8_t> species(int64_t replica);  // of all sites, on every rank; collective

  void advance(int64_t steps);  // sub-sweeps; collective
  // k_B T of every replica from the next sub-sweep on, and that sub-sweep's number.
  void set_temperatures(const std::vector<double>& temperatures);
  void set_step(int64_t step) { step_ = step; }

  struct Tally {
    int64_t trials = 0, accepted = 0, change = 0;  // change: of the energy, in quanta
  };
  Tally tally(int64_t replica);       // since the sampler was made or loaded; collective
  BondCounts bonds(int64_t replica);  // counted anew; collective
  int64_t energy(int64_t replica);    // in quanta, from counted bonds; collective

  // Arrays "PREFIX.words" and what goes with them; a checkpoint goes on on any number of ranks.
  void add_state(const std::string& prefix, run::State& state);
  void loaded(const std::string& prefix, const nlohmann::json& values);

 private:
  kernels::AlloySwap arguments() const;
  uint32_t* replica_words(int64_t replica) const;
  device::Buffer layers(int64_t replica, int64_t first, int64_t count) const;
  void copy_layers(int64_t replica, int64_t first, int64_t count, void* host, bool to_host) const;
  struct Message {  // a layer or more to one neighbour, and as much from the other
    device::Buffer out, in;
    bool to_next = true;
  };
  void exchange(const std::vector<Message>& messages);
  void exchange_halos();
  void hand_on();
  bool moved_by_previous(int64_t replica, int64_t layer) const;
  std::vector<int64_t> sum_over_ranks(const std::vector<int64_t>& mine) const;
  std::vector<uint64_t> counts(int64_t replica);
  void write_back(std::vector<int64_t> totals);

  LinkCellSetup setup_;
  std::shared_ptr<comm::Communicator> ranks_;
  device::Device device_;
  device::Stream stream_;
  kernels::AlloyLattice lattice_;
  std::vector<kernels::AlloyBond> bonds_;
  std::vector<int32_t> energies_;
  double quantum_ = 1;
  std::unique_ptr<kernels::AlloyRules> rules_;
  int64_t begin_ = 0, end_ = 0;    // own layers of the crystal
  int64_t below_ = 0, above_ = 0;  // layers of the neighbours that are stored too
  device::Memory words_, tables_, beta_, sums_, device_bonds_, counts_;
  int64_t step_ = 0;
};

}  // namespace ocoee::alloy
