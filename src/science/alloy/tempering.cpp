// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/tempering.h"

#include <numeric>

#include "core/error.h"

namespace ocoee::alloy {

Tempering::Tempering(std::shared_ptr<const EnergyModel> model, TemperingSettings settings,
                     comm::Communicator& ranks, const std::vector<std::vector<uint8_t>>& start)
    : model_(std::move(model)),
      settings_(std::move(settings)),
      ranks_(ranks),
      share_(static_cast<int64_t>(settings_.betas.size()), ranks.rank(), ranks.size()) {
  OCOEE_CHECK(static_cast<int64_t>(start.size()) == share_.count);
  for (const auto& species : start) {
    held_.emplace_back(model_->grid());
    held_.back().assign(species);
    if (settings_.moves.canonical()) require_two_species(held_.back(), model_->species());
    energies_.push_back(model_->total(held_.back()));
  }
  temperature_.resize(static_cast<size_t>(share_.rows));
  std::iota(temperature_.begin(), temperature_.end(), 0);
  tried_.assign(temperature_.size(), 0);
  exchanged_ = direction_ = trips_ = tried_;
}

void Tempering::advance(int64_t sweeps) {
  const int64_t trials = sweeps * model_->grid()->sites();
  if (settings_.mover && share_.count > 0) {
    std::vector<double> betas;
    for (int64_t row = 0; row < share_.count; ++row)
      betas.push_back(
          settings_
              .betas[static_cast<size_t>(temperature_[static_cast<size_t>(share_.first + row)])]);
    const Tally tally = settings_.mover->move(held_, betas, trials, step_);
    for (size_t r = 0; r < held_.size(); ++r) energies_[r] = model_->total(held_[r]);
    tally_ += tally;
  }
  for (int64_t row = 0; !settings_.mover && row < share_.count; ++row) {
    const auto r = static_cast<size_t>(row);
    const auto id = static_cast<uint64_t>(share_.first + row) + (settings_.id << 32);
    const double beta =
        settings_.betas[static_cast<size_t>(temperature_[static_cast<size_t>(share_.first + row)])];
    const Tally tally = settings_.moves.make(*model_, held_[r], beta, trials,
                                             {settings_.seed, id, static_cast<uint64_t>(step_)});
    energies_[r] += tally.change;  // whole numbers: equal to a recount
    tally_ += tally;
  }
  if (settings_.exchange) exchange_neighbours();
  ++step_;
}

void Tempering::exchange_neighbours() {
  std::vector<int64_t> mine;
  for (size_t r = 0; r < held_.size(); ++r) {
    const std::vector<int64_t> totals = settings_.moves.totals(*model_, held_[r], energies_[r]);
    mine.insert(mine.end(), totals.begin(), totals.end());
  }
  const size_t width = settings_.moves.canonical() ? 1 : 1 + settings_.moves.potentials.size();
  const std::vector<int64_t> all = gather_rows(ranks_, share_, mine, static_cast<int64_t>(width));
  const auto of = [&](size_t replica) { return std::span(all).subspan(replica * width, width); };
  std::vector<size_t> at(temperature_.size());  // the replica that has a temperature
  for (size_t r = 0; r < temperature_.size(); ++r) at[static_cast<size_t>(temperature_[r])] = r;
  const PhiloxKey key = random_key(settings_.seed, Purpose::exchange, static_cast<uint64_t>(step_));
  for (auto low = static_cast<size_t>(step_ % 2); low + 1 < at.size(); low += 2) {
    ++tried_[low];
    const double gain = (settings_.betas[low] - settings_.betas[low + 1]) *
                        settings_.moves.difference(*model_, of(at[low]), of(at[low + 1]));
    const PhiloxCounter bits = random_bits(key, low + (settings_.id << 32), 0);
    if (!settings_.rule(gain, unit_double(bits.v[0], bits.v[1]))) continue;
    ++exchanged_[low];
    std::swap(at[low], at[low + 1]);
  }
  const auto last = static_cast<int64_t>(at.size()) - 1;
  for (size_t t = 0; t < at.size(); ++t) temperature_[at[t]] = static_cast<int64_t>(t);
  for (size_t r = 0; r < temperature_.size(); ++r) {
    if (temperature_[r] == 0) {
      trips_[r] += direction_[r] == -1;
      direction_[r] = 1;
    } else if (temperature_[r] == last && direction_[r] == 1) {
      direction_[r] = -1;
    }
  }
}

int64_t Tempering::round_trips() const {
  return std::accumulate(trips_.begin(), trips_.end(), int64_t{0});
}

void Tempering::add_state(const std::string& prefix, run::State& state) {
  const int64_t sites = model_->grid()->sites();
  species_.resize(held_.size());
  run::StateArray array{prefix + ".species", {share_.rows, sites}, DType::u8, {}};
  for (size_t r = 0; r < held_.size(); ++r) {
    species_[r] = held_[r].species();
    array.pieces.push_back(run::host_piece(
        {{share_.first + static_cast<int64_t>(r), 0}, {1, sites}}, species_[r].data(), DType::u8));
  }
  state.arrays.push_back(std::move(array));
  state.values[prefix] = {{"step", step_},           {"temperature", temperature_},
                          {"tried", tried_},         {"exchanged", exchanged_},
                          {"direction", direction_}, {"trips", trips_}};
}

void Tempering::loaded(const std::string& prefix, const nlohmann::json& values) {
  const nlohmann::json& mine = values.at(prefix);
  step_ = mine.at("step");
  temperature_ = mine.at("temperature").get<std::vector<int64_t>>();
  tried_ = mine.at("tried").get<std::vector<int64_t>>();
  exchanged_ = mine.at("exchanged").get<std::vector<int64_t>>();
  direction_ = mine.at("direction").get<std::vector<int64_t>>();
  trips_ = mine.at("trips").get<std::vector<int64_t>>();
  for (size_t r = 0; r < held_.size(); ++r) {
    for (const uint8_t species : species_[r])
      if (species >= model_->species())
        fail(ErrorKind::data, "{}.species: a checkpoint of another alloy: species {} of {}", prefix,
             species, model_->species());
    held_[r].assign(species_[r]);
    energies_[r] = model_->total(held_[r]);
  }
}

}  // namespace ocoee::alloy
