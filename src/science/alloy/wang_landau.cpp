// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/wang_landau.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "science/alloy/metropolis_loops.h"
#include "science/alloy/wang_landau_walk.h"

namespace ocoee::alloy {

EnergyBins EnergyBins::covering(Energy low, Energy high, Energy width) {
  OCOEE_CHECK(width > 0 && high >= low);
  return {low, width, (high - low) / width + 1, false};
}

WangLandau::WangLandau(std::shared_ptr<const EnergyModel> model, WangLandauSettings settings,
                       comm::Communicator& ranks, const std::vector<std::vector<uint8_t>>& start)
    : model_(std::move(model)),
      settings_(std::move(settings)),
      ranks_(ranks),
      share_(settings_.groups * settings_.windows * settings_.per_window, ranks.rank(),
             ranks.size()) {
  OCOEE_CHECK(static_cast<int64_t>(start.size()) == share_.count);
  const auto bins = static_cast<size_t>(settings_.bins.count);
  for (const auto& species : start) {
    held_.push_back({Configuration(model_->grid())});
    held_.back().at.assign(species);
    held_.back().energy = model_->total(held_.back().at);
    if (settings_.moves.canonical()) require_two_species(held_.back().at, model_->species());
  }
  ln_g_.assign(held_.size(), std::vector<double>(bins, 0));
  histogram_.assign(held_.size(), std::vector<int64_t>(bins, 0));
  met_.assign(held_.size(), std::vector<uint8_t>(bins, 0));
  const size_t of_bins = settings_.bins.levels ? 0 : bins;
  energies_.assign(held_.size(), {std::vector<int64_t>(of_bins, 0), std::vector<double>(of_bins, 0),
                                  std::vector<double>(of_bins, 0)});
  beyond_.assign(held_.size(), {0, 0});
  refinements_.resize(static_cast<size_t>(settings_.groups * settings_.windows));
}

// Windows of equal width, each sharing `overlap` of itself with the next.
std::pair<int64_t, int64_t> WangLandau::window(int64_t index) const {
  const auto bins = static_cast<double>(settings_.bins.count);
  const double steps = 1 + static_cast<double>(settings_.windows - 1) * (1 - settings_.overlap);
  const double width = bins / steps,
               first = static_cast<double>(index) * width * (1 - settings_.overlap);
  const bool last = index == settings_.windows - 1;
  return {static_cast<int64_t>(std::floor(first)),
          last ? settings_.bins.count : static_cast<int64_t>(std::ceil(first + width))};
}

bool WangLandau::finished() const {
  return std::all_of(refinements_.begin(), refinements_.end(),
                     [&](const Refinement& one) { return one.ln_f <= settings_.final_ln_f; });
}

int64_t WangLandau::expected_steps() const {
  if (!settings_.one_over_t) return 0;
  // Many bins may hold no level, so those that were met count as soon as there are any.
  int64_t bins = 0;
  for (size_t r = 0; r < refinements_.size(); ++r) {
    const auto [first, end] = window(static_cast<int64_t>(r) % settings_.windows);
    bins = std::max(bins, refinements_[r].met > 0 ? refinements_[r].met : end - first);
  }
  const auto trials = static_cast<double>(settings_.sweeps_per_step * model_->grid()->sites());
  return static_cast<int64_t>(
      std::min(1e15, std::ceil(static_cast<double>(bins) / settings_.final_ln_f / trials)));
}

double WangLandau::ln_f() const {
  double out = 0;
  for (const Refinement& one : refinements_) out = std::max(out, one.ln_f);
  return out;
}

void WangLandau::walk(int64_t row) {
  const auto r = static_cast<size_t>(row);
  const int64_t id = share_.first + row;
  const Refinement& refinement = refinements_[refinement_of(id)];
  Walker& walker = held_[r];
  const auto [first, end] = window(window_of(id));
  FlatWalk flat{settings_.bins, first, end, walker.energy, ln_g_[r], histogram_[r], met_[r]};
  flat.ln_f = refinement.ln_f;
  if (!settings_.bins.levels) flat.energies = &energies_[r];
  if (refinement.ending) {  // ln f = bins met / trials, from here on
    flat.trials = refinement.trials;
    flat.per_trial = static_cast<double>(std::max<int64_t>(1, refinement.met));
  }
  RandomWords random(settings_.seed, Purpose::monte_carlo, static_cast<uint64_t>(step_),
                     static_cast<uint64_t>(id));
  const int64_t trials = settings_.sweeps_per_step * model_->grid()->sites();
  flat_walk(*model_, walker.at, settings_.moves, flat, trials, random);
  walker.energy = flat.energy;
  for (size_t side = 0; side < 2; ++side) beyond_[r][side] += flat.beyond[side];
  walker.inside = flat.inside();
}

void WangLandau::advance() {
  for (int64_t row = 0; row < share_.count; ++row) walk(row);
  refine();
  exchange();
  ++step_;
}

// Looks at all walkers of each window: have they all been everywhere, and evenly?
void WangLandau::refine() {
  const auto bins = static_cast<size_t>(settings_.bins.count);
  const int64_t trials = settings_.sweeps_per_step * model_->grid()->sites();
  std::vector<double> mine;  // inside, flat enough, bins met; of each held walker
  for (size_t r = 0; r < held_.size(); ++r) {
    int64_t lowest = std::numeric_limits<int64_t>::max(), sum = 0, met = 0;
    for (size_t bin = 0; bin < bins; ++bin) {
      if (met_[r][bin] == 0) continue;
      ++met;
      lowest = std::min(lowest, histogram_[r][bin]);
      sum += histogram_[r][bin];
    }
    const bool flat = met > 0 && static_cast<double>(lowest) * static_cast<double>(met) >=
                                     settings_.flatness * static_cast<double>(sum);
    mine.insert(mine.end(),
                {held_[r].inside ? 1.0 : 0.0, flat ? 1.0 : 0.0, static_cast<double>(met)});
  }
  const std::vector<double> all = gather_rows(ranks_, share_, mine, 3);

  std::vector<uint8_t> changes(refinements_.size(), 0);
  for (size_t w = 0; w < refinements_.size(); ++w) {
    Refinement& one = refinements_[w];
    bool inside = true, flat = true;
    int64_t met = 0;
    for (int64_t k = 0; k < settings_.per_window; ++k) {
      const size_t at =
          3 * (w * static_cast<size_t>(settings_.per_window) + static_cast<size_t>(k));
      inside &= all[at] > 0;
      flat &= all[at + 1] > 0;
      met = std::max(met, static_cast<int64_t>(all[at + 2]));
    }
    if (!inside && one.trials == 0 && step_ + 1 >= kLostAfter)
      lost(static_cast<int64_t>(w) % settings_.windows);
    if (!inside || one.ln_f <= settings_.final_ln_f) continue;
    one.trials += trials;
    one.met = met;
    const double end = static_cast<double>(met) / static_cast<double>(one.trials);
    if (one.ending) {
      one.ln_f = end;
      changes[w] = settings_.per_window > 1;
    } else if (flat) {
      one.ln_f /= 2;
      changes[w] = 1;
      if (settings_.one_over_t && one.ln_f < end) {
        one.ending = true;
        one.ln_f = end;
      }
    }
  }
  if (std::none_of(changes.begin(), changes.end(), [](uint8_t c) { return c != 0; })) return;

  // Walkers of one window go on from the mean of their ln g.
  const bool merges = settings_.per_window > 1;
  std::vector<double> flat_ln_g, flat_met;
  if (merges) {
    for (size_t r = 0; r < held_.size(); ++r) {
      flat_ln_g.insert(flat_ln_g.end(), ln_g_[r].begin(), ln_g_[r].end());
      flat_met.insert(flat_met.end(), met_[r].begin(), met_[r].end());
    }
    flat_ln_g = gather_rows(ranks_, share_, flat_ln_g, settings_.bins.count);
    flat_met = gather_rows(ranks_, share_, flat_met, settings_.bins.count);
  }
  for (size_t r = 0; r < held_.size(); ++r) {
    const size_t w = refinement_of(share_.first + static_cast<int64_t>(r));
    if (changes[w] == 0) continue;
    std::fill(histogram_[r].begin(), histogram_[r].end(), 0);
    if (!merges) continue;
    for (size_t bin = 0; bin < bins; ++bin) {
      double sum = 0, met = 0;
      for (int64_t k = 0; k < settings_.per_window; ++k) {
        const size_t walker =
            w * static_cast<size_t>(settings_.per_window) + static_cast<size_t>(k);
        sum += flat_met[walker * bins + bin] * flat_ln_g[walker * bins + bin];
        met += flat_met[walker * bins + bin];
      }
      ln_g_[r][bin] = met > 0 ? sum / met : 0;
      met_[r][bin] = met > 0;
    }
  }
}

// Walker k of a window and walker k of the next, of every second pair of windows, exchange their
// configurations with probability min(1, g_i(E_i) g_j(E_j) / (g_i(E_j) g_j(E_i))).
void WangLandau::exchange() {
  if (settings_.windows < 2) return;
  std::vector<int64_t> mine;  // whole numbers decide
  for (const Walker& walker : held_)
    mine.push_back(walker.inside ? settings_.bins.of(walker.energy) : -1);
  const std::vector<int64_t> bin_of = gather_rows(ranks_, share_, mine);

  std::vector<std::pair<int64_t, int64_t>> pairs;
  const int64_t per = settings_.per_window;
  for (int64_t group = 0; group < settings_.groups; ++group)
    for (int64_t w = step_ % 2; w + 1 < settings_.windows; w += 2)
      for (int64_t k = 0; k < per; ++k) {
        const int64_t lower = (group * settings_.windows + w) * per + k;
        // partners are shifted from step to step, so that all of two windows meet
        const int64_t upper = (group * settings_.windows + w + 1) * per + (k + step_ / 2) % per;
        pairs.emplace_back(lower, upper);
      }
  // What each walker's ln g says of its own energy and of its partner's.
  std::vector<int64_t> partner(static_cast<size_t>(share_.rows), -1);
  for (const auto& [a, b] : pairs) {
    partner[static_cast<size_t>(a)] = b;
    partner[static_cast<size_t>(b)] = a;
  }
  std::vector<double> says;
  for (int64_t row = 0; row < share_.count; ++row) {
    const int64_t id = share_.first + row;
    const int64_t other = partner[static_cast<size_t>(id)];
    double difference = NAN;  // ln g(mine) - ln g(partner's); NaN: it lies outside
    if (other >= 0) {
      const int64_t own = bin_of[static_cast<size_t>(id)], its = bin_of[static_cast<size_t>(other)];
      const auto [first, end] = window(window_of(id));
      if (own >= 0 && its >= first && its < end)
        difference = ln_g_[static_cast<size_t>(row)][static_cast<size_t>(own)] -
                     ln_g_[static_cast<size_t>(row)][static_cast<size_t>(its)];
    }
    says.push_back(difference);
  }
  says = gather_rows(ranks_, share_, says);

  const PhiloxKey key = random_key(settings_.seed, Purpose::exchange, static_cast<uint64_t>(step_));
  for (const auto& [a, b] : pairs) {
    const double gain = says[static_cast<size_t>(a)] + says[static_cast<size_t>(b)];
    if (std::isnan(gain)) continue;
    ++tried_;
    const PhiloxCounter bits = random_bits(key, static_cast<uint64_t>(a), 0);
    if (!settings_.rule(gain, unit_double(bits.v[0], bits.v[1]))) continue;
    ++exchanged_;
    const bool have_a = share_.holds(a), have_b = share_.holds(b);
    if (have_a && have_b) {
      std::swap(held_[static_cast<size_t>(a - share_.first)],
                held_[static_cast<size_t>(b - share_.first)]);
    } else if (have_a || have_b) {
      Walker& here = held_[static_cast<size_t>((have_a ? a : b) - share_.first)];
      const int there = share_.rank_of(have_a ? b : a);
      std::vector<uint8_t> out = here.at.species(), in(out.size());
      const auto bytes = static_cast<int64_t>(out.size());
      auto sending = ranks_.send_async({out.data(), bytes, DType::u8, {}}, there);
      ranks_.receive({in.data(), bytes, DType::u8, {}}, there);
      sending->wait({});
      here.at.assign(in);
      here.energy = model_->total(here.at);
    }
  }
}

std::vector<std::vector<double>> WangLandau::ln_g() {
  const auto bins = static_cast<size_t>(settings_.bins.count);
  std::vector<double> mine;
  for (size_t r = 0; r < held_.size(); ++r)
    for (size_t bin = 0; bin < bins; ++bin)
      mine.push_back(met_[r][bin] != 0 ? ln_g_[r][bin] : std::numeric_limits<double>::quiet_NaN());
  const std::vector<double> all = gather_rows(ranks_, share_, mine, settings_.bins.count);
  std::vector<std::vector<double>> out;
  for (int64_t group = 0; group < settings_.groups; ++group) {
    std::vector<std::vector<double>> windows;
    for (int64_t w = 0; w < settings_.windows; ++w) {
      // The first walker speaks for its window: they were averaged.
      const auto at = static_cast<size_t>((group * settings_.windows + w) * settings_.per_window);
      windows.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(at * bins),
                           all.begin() + static_cast<std::ptrdiff_t>((at + 1) * bins));
      if (std::all_of(windows.back().begin(), windows.back().end(),
                      [](double value) { return std::isnan(value); }))
        lost(w);
    }
    out.push_back(join_windows(windows));
  }
  return out;
}

std::vector<BinMoments> WangLandau::bin_moments() {
  const auto bins = static_cast<size_t>(settings_.bins.count);
  const auto lower = [&](size_t bin) {
    return static_cast<double>(settings_.bins.low) +
           static_cast<double>(bin) * static_cast<double>(settings_.bins.width);
  };
  std::vector<BinMoments> out(static_cast<size_t>(settings_.groups));
  if (settings_.bins.levels) {
    for (BinMoments& group : out)
      for (size_t bin = 0; bin < bins; ++bin) group.mean.push_back(lower(bin));
    return out;
  }
  std::vector<double> mine;
  for (const BinEnergies& one : energies_) {
    mine.insert(mine.end(), one.visits.begin(), one.visits.end());
    mine.insert(mine.end(), one.offsets.begin(), one.offsets.end());
    mine.insert(mine.end(), one.squares.begin(), one.squares.end());
  }
  const std::vector<double> all = gather_rows(ranks_, share_, mine, 3 * settings_.bins.count);
  const auto walkers = static_cast<size_t>(settings_.windows * settings_.per_window);
  for (size_t group = 0; group < out.size(); ++group)
    for (size_t bin = 0; bin < bins; ++bin) {
      std::array<double, 3> sum{};
      for (size_t walker = group * walkers; walker < (group + 1) * walkers; ++walker)
        for (size_t k = 0; k < 3; ++k) sum[k] += all[(3 * walker + k) * bins + bin];
      const double offset = sum[1] / sum[0];
      out[group].mean.push_back(lower(bin) + offset);
      // where all are one level, rounding leaves a little on either side of zero
      out[group].variance.push_back(std::max(0.0, sum[2] / sum[0] - offset * offset));
    }
  return out;
}

std::array<int64_t, 2> WangLandau::beyond() {
  std::array<int64_t, 2> sum{};
  for (const auto& one : beyond_)
    for (size_t side = 0; side < 2; ++side) sum[side] += one[side];
  ranks_.all_reduce({sum.data(), 2, DType::i64, {}}, comm::Reduce::sum);
  return sum;
}

void WangLandau::lost(int64_t index) const {
  const auto [first, end] = window(index);
  const auto per_site = [&](int64_t bin) {
    return model_->value(settings_.bins.low + bin * settings_.bins.width) /
           static_cast<double>(model_->grid()->sites());
  };
  fail(ErrorKind::numerics,
       "after {} steps not all walkers of window {} of {} have met an energy in it: {:.6g} to "
       "{:.6g} a site\n    fix: a range of energies that the alloy has (low = high = 0 searches "
       "it), fewer windows, or more steps",
       step_, index + 1, settings_.windows, per_site(first), per_site(end));
}

DensityOfStates WangLandau::density(const std::vector<double>& ln_g, double ln_states,
                                    const BinMoments& moments) const {
  OCOEE_CHECK(settings_.bins.levels || moments.mean.size() == ln_g.size());
  DensityOfStates out;
  out.sites = model_->grid()->sites();
  for (size_t bin = 0; bin < ln_g.size(); ++bin) {
    if (std::isnan(ln_g[bin])) continue;
    const Energy lower = settings_.bins.low + static_cast<Energy>(bin) * settings_.bins.width;
    const double above = moments.mean.empty() ? 0 : moments.mean[bin] - static_cast<double>(lower);
    out.energy.push_back(model_->value(lower) + above * model_->quantum());
    out.ln_g.push_back(ln_g[bin]);
    out.bin.push_back(static_cast<int64_t>(bin));
    if (!moments.variance.empty())
      out.variance.push_back(moments.variance[bin] * model_->quantum() * model_->quantum());
  }
  OCOEE_CHECK(!out.ln_g.empty());
  if (std::isnan(ln_states)) {
    const double lowest = *std::min_element(out.ln_g.begin(), out.ln_g.end());
    for (double& value : out.ln_g) value -= lowest;
  } else {
    out.normalise(ln_states);
  }
  return out;
}

void WangLandau::add_state(run::State& state) {
  const int64_t sites = model_->grid()->sites(), bins = settings_.bins.count;
  species_.resize(held_.size());
  run::StateArray species{"walkers.species", {share_.rows, sites}, DType::u8, {}};
  run::StateArray ln_g{"walkers.ln_g", {share_.rows, bins}, DType::f64, {}};
  run::StateArray counts{"walkers.histogram", {share_.rows, bins}, DType::i64, {}};
  run::StateArray met{"walkers.met", {share_.rows, bins}, DType::u8, {}};
  run::StateArray beyond{"walkers.beyond", {share_.rows, 2}, DType::i64, {}};
  run::StateArray visits{"walkers.visits", {share_.rows, bins}, DType::i64, {}};
  run::StateArray offsets{"walkers.offsets", {share_.rows, bins}, DType::f64, {}};
  run::StateArray squares{"walkers.squares", {share_.rows, bins}, DType::f64, {}};
  for (size_t r = 0; r < held_.size(); ++r) {
    species_[r] = held_[r].at.species();
    const std::vector<int64_t> at{share_.first + static_cast<int64_t>(r), 0};
    species.pieces.push_back(run::host_piece({at, {1, sites}}, species_[r].data(), DType::u8));
    ln_g.pieces.push_back(run::host_piece({at, {1, bins}}, ln_g_[r].data(), DType::f64));
    counts.pieces.push_back(run::host_piece({at, {1, bins}}, histogram_[r].data(), DType::i64));
    met.pieces.push_back(run::host_piece({at, {1, bins}}, met_[r].data(), DType::u8));
    beyond.pieces.push_back(run::host_piece({at, {1, 2}}, beyond_[r].data(), DType::i64));
    if (settings_.bins.levels) continue;
    visits.pieces.push_back(
        run::host_piece({at, {1, bins}}, energies_[r].visits.data(), DType::i64));
    offsets.pieces.push_back(
        run::host_piece({at, {1, bins}}, energies_[r].offsets.data(), DType::f64));
    squares.pieces.push_back(
        run::host_piece({at, {1, bins}}, energies_[r].squares.data(), DType::f64));
  }
  state.arrays.insert(state.arrays.end(), {species, ln_g, counts, met, beyond});
  if (!settings_.bins.levels) state.arrays.insert(state.arrays.end(), {visits, offsets, squares});
  nlohmann::json windows = nlohmann::json::array();
  for (const Refinement& one : refinements_)
    windows.push_back({one.ln_f, one.ending ? 1 : 0, one.trials, one.met});
  state.values["wang_landau"] = {
      {"step", step_}, {"tried", tried_}, {"exchanged", exchanged_}, {"windows", windows}};
}

void WangLandau::loaded(const nlohmann::json& values) {
  const nlohmann::json& mine = values.at("wang_landau");
  step_ = mine.at("step");
  tried_ = mine.at("tried");
  exchanged_ = mine.at("exchanged");
  for (size_t w = 0; w < refinements_.size(); ++w) {
    const nlohmann::json& one = mine.at("windows").at(w);
    refinements_[w] = {one[0].get<double>(), one[1].get<int>() != 0, one[2].get<int64_t>(),
                       one[3].get<int64_t>()};
  }
  for (size_t r = 0; r < held_.size(); ++r) {
    for (const uint8_t species : species_[r])
      if (species >= model_->species())
        fail(ErrorKind::data, "walkers.species: a checkpoint of another alloy: species {} of {}",
             species, model_->species());
    held_[r].at.assign(species_[r]);
    held_[r].energy = model_->total(held_[r].at);
    const auto [first, end] = window(window_of(share_.first + static_cast<int64_t>(r)));
    const int64_t bin = settings_.bins.of(held_[r].energy);
    held_[r].inside = bin >= first && bin < end;
  }
}

}  // namespace ocoee::alloy
