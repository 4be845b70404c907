// SPDX-License-Identifier: Apache-2.0
// Parallel tempering: replicas of one system at a ladder of temperatures, of which neighbours now
// and then exchange theirs (Hukushima and Nemoto 1996). Each exchange is decided from whole
// numbers (quanta of energy, atoms), by draws that every rank makes alike, so the trajectory does
// not depend on the number of ranks. Without exchanges the replicas are independent chains.
#pragma once

#include <memory>
#include <vector>

#include "run/state.h"
#include "science/alloy/moves.h"
#include "science/alloy/shares.h"

namespace ocoee::alloy {

// Moves all replicas of a rank at once, in place of `moves`.
class ReplicaMover {
 public:
  virtual ~ReplicaMover() = default;
  // At least `trials` trials of each configuration at its beta. `step` numbers the call, which is a
  // function of it and the configurations.
  virtual Tally move(std::vector<Configuration>& held, const std::vector<double>& betas,
                     int64_t trials, int64_t step) = 0;
};

struct TemperingSettings {
  std::vector<double> betas;  // 1 / (k_B T), in the order of neighbours
  Moves moves;
  std::shared_ptr<ReplicaMover> mover;  // or null
  bool exchange = true;
  ExchangeRule rule = metropolis_exchange;
  uint64_t seed = 1;
  uint64_t id = 0;  // of the ladder, where a run has several
};

class Tempering {
 public:
  // `start`: species by site of each replica that this rank holds.
  Tempering(std::shared_ptr<const EnergyModel> model, TemperingSettings settings,
            comm::Communicator& ranks, const std::vector<std::vector<uint8_t>>& start);

  // Each replica makes `sweeps` sweeps at its temperature; then every second pair of neighbouring
  // temperatures may exchange. Collective.
  void advance(int64_t sweeps);

  const Share& share() const { return share_; }
  int64_t replicas() const { return share_.rows; }
  int64_t steps() const { return step_; }
  const Configuration& replica(int64_t row) const { return held_[static_cast<size_t>(row)]; }
  Energy energy(int64_t row) const { return energies_[static_cast<size_t>(row)]; }
  // By replica (of all ranks): which temperature it has.
  const std::vector<int64_t>& temperature() const { return temperature_; }
  const std::vector<int64_t>& tried() const { return tried_; }  // exchanges, by the lower neighbour
  const std::vector<int64_t>& exchanged() const { return exchanged_; }
  const Tally& tally() const { return tally_; }  // of this rank's replicas
  // Times a replica went from the first temperature to the last and back.
  int64_t round_trips() const;

  // Arrays "PREFIX.species", values under PREFIX.
  void add_state(const std::string& prefix, run::State& state);
  void loaded(const std::string& prefix, const nlohmann::json& values);

 private:
  void exchange_neighbours();

  std::shared_ptr<const EnergyModel> model_;
  TemperingSettings settings_;
  comm::Communicator& ranks_;
  Share share_;
  std::vector<Configuration> held_;
  std::vector<std::vector<uint8_t>> species_;  // what a checkpoint copies
  std::vector<Energy> energies_;
  std::vector<int64_t> temperature_, tried_, exchanged_, direction_, trips_;
  int64_t step_ = 0;
  Tally tally_;
};

}  // namespace ocoee::alloy
