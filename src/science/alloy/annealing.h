// SPDX-License-Identifier: Apache-2.0
// Simulated annealing for ground states: independent chains whose temperature falls geometrically,
// then a quench at zero temperature. The lowest arrangement of each is kept.
#pragma once

#include <memory>
#include <vector>

#include "run/state.h"
#include "science/alloy/moves.h"
#include "science/alloy/shares.h"

namespace ocoee::alloy {

struct AnnealingSettings {
  double first_k_t = 1, last_k_t = 0.01;  // k_B T in the model's unit
  int64_t steps = 100;                    // temperatures
  int64_t sweeps = 10;                    // at each
  int64_t quench_sweeps = 20;             // at zero temperature, after the last
  int64_t chains = 1;
  Moves moves;
  uint64_t seed = 1;
};

class Annealing {
 public:
  Annealing(std::shared_ptr<const EnergyModel> model, AnnealingSettings settings,
            comm::Communicator& ranks, const std::vector<std::vector<uint8_t>>& start);

  void advance();  // one temperature of every chain of this rank
  int64_t steps() const { return step_; }
  bool finished() const { return step_ == settings_.steps + 1; }
  double k_t() const;  // of the next step; 0 in the quench
  const Share& share() const { return share_; }
  // By chain of all ranks, what the ensemble weighs (Moves::weighed). Collective.
  std::vector<double> energies();
  std::vector<double> lowest_energies();
  // The lowest arrangement of all chains, on every rank. Collective.
  std::vector<uint8_t> lowest();

  void add_state(run::State& state);
  void loaded(const nlohmann::json& values);

 private:
  struct Best {
    std::vector<uint8_t> species;
    double energy = 0;
  };
  std::shared_ptr<const EnergyModel> model_;
  AnnealingSettings settings_;
  comm::Communicator& ranks_;
  Share share_;
  std::vector<Configuration> held_;
  std::vector<Energy> energies_;
  std::vector<Best> best_;
  std::vector<std::vector<uint8_t>> species_;  // what a checkpoint copies
  int64_t step_ = 0;
};

}  // namespace ocoee::alloy
