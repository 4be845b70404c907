// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/annealing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace ocoee::alloy {

Annealing::Annealing(std::shared_ptr<const EnergyModel> model, AnnealingSettings settings,
                     comm::Communicator& ranks, const std::vector<std::vector<uint8_t>>& start)
    : model_(std::move(model)),
      settings_(std::move(settings)),
      ranks_(ranks),
      share_(settings_.chains, ranks.rank(), ranks.size()) {
  OCOEE_CHECK(static_cast<int64_t>(start.size()) == share_.count);
  for (const auto& species : start) {
    held_.emplace_back(model_->grid());
    held_.back().assign(species);
    if (settings_.moves.canonical()) require_two_species(held_.back(), model_->species());
    energies_.push_back(model_->total(held_.back()));
    best_.push_back({species, settings_.moves.weighed(*model_, held_.back(), energies_.back())});
  }
}

double Annealing::k_t() const {
  if (step_ >= settings_.steps) return 0;
  const double part = settings_.steps == 1
                          ? 0
                          : static_cast<double>(step_) / static_cast<double>(settings_.steps - 1);
  return settings_.first_k_t * std::pow(settings_.last_k_t / settings_.first_k_t, part);
}

void Annealing::advance() {
  const bool quench = step_ >= settings_.steps;
  // At zero temperature nothing that costs energy is accepted, whatever it costs.
  const double beta = quench ? std::numeric_limits<double>::max() : 1 / k_t();
  const int64_t sweeps = quench ? settings_.quench_sweeps : settings_.sweeps;
  for (size_t r = 0; r < held_.size(); ++r) {
    const auto id = static_cast<uint64_t>(share_.first) + r;
    energies_[r] += settings_.moves
                        .make(*model_, held_[r], beta, sweeps * held_[r].sites(),
                              {settings_.seed, id, static_cast<uint64_t>(step_)})
                        .change;
    const double energy = settings_.moves.weighed(*model_, held_[r], energies_[r]);
    if (energy < best_[r].energy) best_[r] = {held_[r].species(), energy};
  }
  ++step_;
}

std::vector<double> Annealing::energies() {
  std::vector<double> mine;
  for (size_t r = 0; r < held_.size(); ++r)
    mine.push_back(settings_.moves.weighed(*model_, held_[r], energies_[r]));
  return gather_rows(ranks_, share_, mine);
}

std::vector<double> Annealing::lowest_energies() {
  std::vector<double> mine;
  for (const Best& best : best_) mine.push_back(best.energy);
  return gather_rows(ranks_, share_, mine);
}

std::vector<uint8_t> Annealing::lowest() {
  const std::vector<double> energies = lowest_energies();
  const auto winner = std::min_element(energies.begin(), energies.end()) - energies.begin();
  std::vector<uint8_t> species(static_cast<size_t>(model_->grid()->sites()), 0);
  if (share_.holds(winner)) species = best_[static_cast<size_t>(winner - share_.first)].species;
  if (ranks_.size() > 1)
    ranks_.broadcast({species.data(), static_cast<int64_t>(species.size()), DType::u8, {}},
                     share_.rank_of(winner));
  return species;
}

void Annealing::add_state(run::State& state) {
  const int64_t sites = model_->grid()->sites();
  species_.resize(held_.size());
  run::StateArray now{"chains.species", {share_.rows, sites}, DType::u8, {}};
  run::StateArray best{"chains.lowest", {share_.rows, sites}, DType::u8, {}};
  for (size_t r = 0; r < held_.size(); ++r) {
    species_[r] = held_[r].species();
    const run::Box box{{share_.first + static_cast<int64_t>(r), 0}, {1, sites}};
    now.pieces.push_back(run::host_piece(box, species_[r].data(), DType::u8));
    best.pieces.push_back(run::host_piece(box, best_[r].species.data(), DType::u8));
  }
  state.arrays.insert(state.arrays.end(), {now, best});
  state.values["annealing"] = {{"step", step_}};
}

void Annealing::loaded(const nlohmann::json& values) {
  step_ = values.at("annealing").at("step");
  Configuration kept(model_->grid());
  for (size_t r = 0; r < held_.size(); ++r) {
    for (const std::vector<uint8_t>* list : {&species_[r], &best_[r].species})
      for (const uint8_t species : *list)
        if (species >= model_->species())
          fail(ErrorKind::data, "chains.species: a checkpoint of another alloy: species {} of {}",
               species, model_->species());
    held_[r].assign(species_[r]);
    energies_[r] = model_->total(held_[r]);
    kept.assign(best_[r].species);
    best_[r].energy = settings_.moves.weighed(*model_, kept, model_->total(kept));
  }
}

}  // namespace ocoee::alloy
