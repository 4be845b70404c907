// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/ladder_report.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "science/alloy/features.h"
#include "science/atoms/arrangements.h"
#include "tasks/alloys/pictures.h"

namespace ocoee::tasks {
namespace {

using alloy::Estimate;
using nlohmann::json;

struct Transition {
  std::string what, where;
  Estimate t;  // in the recipe's unit
};

class Summary {
 public:
  Summary(const LadderConfig& config, const std::vector<LadderResult>& results, run::Events& events)
      : config_(config), results_(results), events_(events) {
    scale_ = config.system.k_t(1);
    unit_ = config.system.temperature_unit();
    species_ = config.system.pairs().species;
    for (const LadderResult& result : results) points_.push_back(alloy::analyse(result.series));
    if (config.reweight && config.temperatures().size() > 1) reweight();
  }

  json fields() {
    const json table = transitions_table();
    if (!table.is_null()) figures_.push_back(table);
    const bool flips = !config_.system.canonical();
    const std::string per_site = config_.system.energy_unit() + " a site";
    curves(
        "heat_capacity",
        flips ? "Heat capacity at fixed potentials, of E - sum mu N" : "Heat capacity",
        "k_B a site", [](const alloy::LadderPoint& p) { return p.heat_capacity; },
        [](const alloy::Reweighted& r, double k_t, alloy::Without without) {
          return r.heat_capacity(k_t, without);
        });
    curves(
        "energy", "Energy", per_site, [](const alloy::LadderPoint& p) { return p.energy; },
        nullptr);
    if (flips) {
      curves(
          "energy_less_mu_n", "Energy less sum mu N", per_site,
          [](const alloy::LadderPoint& p) { return p.weighed; }, nullptr);
      for (size_t a = 0; a < species_.size(); ++a)
        curves(
            fmt::format("composition_susceptibility_{}", a + 1),
            "Susceptibility of the composition: " + species_[a] + ", d c / d mu",
            "1 / " + config_.system.energy_unit(),
            [a](const alloy::LadderPoint& p) { return p.composition_susceptibility[a]; }, nullptr);
    }
    if (config_.order != "none") {
      curves(
          "order", "Order parameter: " + config_.order,
          config_.order != "magnetisation" && config_.order != "waves"
              ? "eta, 1 where " + config_.order + " is perfect"
              : "eta",
          [](const alloy::LadderPoint& p) { return p.order; }, nullptr);
      curves(
          "susceptibility", "Susceptibility of the order parameter",
          "N (<eta^2> - <eta>^2) / k_B T, 1 / " + config_.system.energy_unit(),
          [](const alloy::LadderPoint& p) { return p.susceptibility; },
          [](const alloy::Reweighted& r, double k_t, alloy::Without without) {
            return r.susceptibility(k_t, without);
          });
      curves(
          "binder", "Binder cumulant", "1 - <eta^4> / 3 <eta^2>^2",
          [](const alloy::LadderPoint& p) { return p.binder; },
          [](const alloy::Reweighted& r, double k_t, alloy::Without without) {
            return r.binder(k_t, without);
          });
    }
    columns();
    domains();
    structure_factors();
    snapshots();
    // Crossings of all sizes, peaks of the largest.
    json headline = json::array();
    for (const Transition& transition : transitions_) {
      if (transition.what[0] != 'B' && transition.where != label(results_.size() - 1)) continue;
      headline.push_back(
          headline_of(transition.what + (transition.where.empty() ? "" : ", " + transition.where),
                      transition.t, unit_));
    }
    return {{"figures", figures_}, {"headline", headline}, {"final", final()}};
  }

  // The temperatures whose energy never changed, in words.
  std::string frozen() const {
    std::vector<std::string> out;
    for (size_t s = 0; s < points_.size(); ++s)
      for (const alloy::LadderPoint& p : points_[s])
        if (p.frozen) out.push_back(fmt::format("{:.5g} {}", p.k_t / scale_, unit_));
    if (out.size() > 3) return fmt::format("{} to {}", out.front(), out.back());
    return join(out, ", ");
  }

  json results() const {
    json out = json::array();
    for (size_t s = 0; s < results_.size(); ++s) {
      json one{{"sites", results_[s].lattice.sites()},
               {"size", results_[s].size},
               {"exchange_rate", results_[s].exchange_rate},
               {"round_trips", results_[s].round_trips}};
      for (const alloy::LadderPoint& p : points_[s]) {
        json point{{"temperature", p.k_t / scale_},
                   {"energy", json_of(p.energy)},
                   {"heat_capacity", json_of(p.heat_capacity)},
                   {"autocorrelation_samples", p.autocorrelation},
                   {"effective_samples", p.effective_samples}};
        if (!config_.system.canonical()) {
          point["energy_less_mu_n"] = json_of(p.weighed);
          for (size_t a = 0; a < species_.size(); ++a)
            point["composition_susceptibility " + species_[a]] =
                json_of(p.composition_susceptibility[a]);
        }
        if (config_.order != "none") {
          point["order"] = json_of(p.order);
          point["susceptibility"] = json_of(p.susceptibility);
          point["binder"] = json_of(p.binder);
        }
        for (size_t c = 0; c < p.columns.size(); ++c) {
          const std::string& name = results_[s].series.column_names[c];
          (is_wave(name) ? point["structure_factor"] : point)[name] = json_of(p.columns[c]);
        }
        one["points"].push_back(point);
      }
      out.push_back(one);
    }
    json transitions = json::array();
    for (const Transition& t : transitions_)
      transitions.push_back(
          {{"what", t.what}, {"where", t.where}, {"temperature", json_of(t.t)}, {"unit", unit_}});
    return {{"systems", out}, {"transitions", transitions}, {"units", config_.system.units()}};
  }

 private:
  static bool is_wave(const std::string& column) { return column.starts_with("S "); }
  std::string label(size_t s) const {
    const alloy::CellIndex& r = results_[s].lattice.repeats();
    return r[2] == 1 && config_.system.lattice.flat()
               ? fmt::format("{} x {}", r[0], r[1])
               : fmt::format("{} x {} x {}", r[0], r[1], r[2]);
  }

  // Samples that cannot be joined are told of; what each temperature says by itself stands.
  void reweight() {
    reweighted_.resize(results_.size());
    const auto told = [&](const std::string& where, const std::function<void()>& work) {
      try {
        work();
      } catch (const Error& error) {
        warn(where + ": " + error.what());
      }
    };
    for (size_t s = 0; s < results_.size(); ++s)
      told(label(s), [&] {
        reweighted_[s] = std::make_unique<alloy::Reweighted>(results_[s].series);
        for (const Estimate& k_t : reweighted_[s]->heat_capacity_peaks())
          add("heat capacity peak", label(s), k_t);
        for (const Estimate& k_t : reweighted_[s]->susceptibility_peaks())
          add("susceptibility peak", label(s), k_t);
      });
    for (size_t s = 0; config_.order != "none" && s + 1 < results_.size(); ++s) {
      const std::string both = label(s) + " and " + label(s + 1);
      told(both, [&] {
        if (reweighted_[s] && reweighted_[s + 1])
          add("Binder crossing", both,
              alloy::binder_crossing(*reweighted_[s], *reweighted_[s + 1]));
      });
    }
    for (size_t s = 0; s < results_.size(); ++s)
      if (reweighted_[s] && reweighted_[s]->is_marginal())
        warn(label(s) +
             ": neighbouring temperatures share so few energies that they cannot be joined without "
             "a block of the samples: transitions are left out, or claim no error\n"
             "    fix: temperatures closer together, or more samples");
    // The most telling ones first.
    std::stable_sort(transitions_.begin(), transitions_.end(),
                     [](const Transition& a, const Transition& b) {
                       return (a.what[0] == 'B') > (b.what[0] == 'B');
                     });
  }
  void warn(const std::string& text) { events_.emit({"warning", 0, {{"text", text}}}); }
  void add(const std::string& what, const std::string& where, std::optional<Estimate> k_t) {
    if (k_t) transitions_.push_back({what, where, {k_t->value / scale_, k_t->error / scale_}});
  }

  json transitions_table() const {
    if (transitions_.empty()) return nullptr;
    json rows = json::array();
    for (const Transition& t : transitions_)
      rows.push_back({t.what, t.where, alloy::text_of(t.t, unit_)});
    return {{"chart", "table"},
            {"title", "Transition temperatures"},
            {"columns", {"from", "cells", "temperature"}},
            {"rows", rows},
            {"caption",
             "In brackets the error of the last digits (68 %), by jackknife over all temperatures "
             "together, in blocks of at least ten autocorrelation times of the temperatures beside "
             "the transition; where fewer than eight fit, no error is claimed. Peaks stand above "
             "the lowest values on both sides by more than three errors; the highest come first. "
             "They move with the size of the cell; crossings move less, but of cells of 4 and 8 "
             "edges still by more than a percent. " +
                 began()}};
  }

  std::string began() const {
    const std::string& start = config_.start;
    return fmt::format(
        "All chains began {}, {}. At a transition of first order a chain stays long where it "
        "began: "
        "a run from the other side says how long.",
        start == "random" ? "at random"
        : start == "file" ? "as " + config_.start_file + " has them"
                          : "ordered as " + start,
        config_.exchange ? "and temperatures exchange them" : "each at its temperature");
  }

  // Of the largest cells: the crossing, else the first peak.
  const Transition* best() const {
    const Transition* found = nullptr;
    const auto largest = label(results_.size() - 1);
    for (const Transition& t : transitions_)
      if (t.where.ends_with(largest) && (!found || (t.what[0] == 'B' && found->what[0] != 'B')))
        found = &t;
    return found;
  }

  void curves(const std::string& id, const std::string& title, const std::string& unit,
              const std::function<Estimate(const alloy::LadderPoint&)>& point,
              const std::function<double(const alloy::Reweighted&, double, alloy::Without)>& fine) {
    json chart{{"chart", "line"},
               {"id", id},
               {"title", title},
               {"x", {{"label", "temperature, " + unit_}}},
               {"y", {{"label", unit}}},
               {"series", json::array()},
               {"caption", fine && !reweighted_.empty()
                               ? "Points: each temperature by itself, with 68 % error bars from "
                                 "blocks longer than ten autocorrelation times (none where they "
                                 "would be too few). Lines: all temperatures together (MBAR), "
                                 "where at least ten independent samples speak for them, with a "
                                 "68 % band."
                               : "Error bars: 68 %, from blocks longer than ten autocorrelation "
                                 "times (none where they would be too few)."}};
    for (size_t s = 0; s < results_.size(); ++s) {
      std::vector<double> x, y, error;
      for (const alloy::LadderPoint& p : points_[s]) {
        const Estimate e = point(p);
        x.push_back(p.k_t / scale_);
        y.push_back(e.value);
        error.push_back(std::isfinite(e.error) ? e.error : 0);
      }
      const bool smooth = fine && s < reweighted_.size() && reweighted_[s];
      if (smooth) {
        constexpr int kPoints = 160;
        constexpr double kFewest = 10;
        std::vector<double> at, value, low, high;
        const alloy::Reweighted& all = *reweighted_[s];
        for (int i = 0; i <= kPoints; ++i) {
          const double k_t = all.low() + (all.high() - all.low()) * i / kPoints;
          const bool shown = all.independent_samples(k_t) >= kFewest;
          const auto curve_of = [&](double t, alloy::Without without) {
            return fine(all, t, without);
          };
          const double sigma = shown ? all.error_at(k_t, curve_of) : NAN;
          at.push_back(k_t / scale_);
          value.push_back(shown ? fine(all, k_t, {}) : NAN);
          low.push_back(value.back() - sigma);
          high.push_back(value.back() + sigma);
        }
        json line = curve(label(s), at, value, {}, "line");
        line["low"] = low;
        line["high"] = high;
        line["colour"] = s;
        chart["series"].push_back(line);
      }
      json points =
          curve(smooth ? "" : label(s), x, y, error, smooth ? "points" : "line_and_points");
      points["colour"] = s;
      chart["series"].push_back(points);
    }
    if (const Transition* t = best())
      chart["references"].push_back({{"label", t->what + " " + alloy::text_of(t->t, unit_)},
                                     {"value", t->t.value},
                                     {"vertical", true}});
    figures_.push_back(chart);
  }

  // Warren-Cowley parameters by shell, of the largest cell.
  void columns() {
    const size_t s = results_.size() - 1;
    const auto& names = results_[s].series.column_names;
    for (int64_t shell = 0; shell <= config_.shells; ++shell) {
      const std::string prefix = shell == 0 ? "fraction " : fmt::format("alpha {} ", shell);
      json chart{
          {"chart", "line"},
          {"title", shell == 0 ? "Composition" : fmt::format("Short-range order, shell {}", shell)},
          {"x", {{"label", "temperature, " + unit_}}},
          {"y", {{"label", shell == 0 ? "fraction" : "Warren-Cowley alpha"}}},
          {"series", json::array()},
          {"caption", shell == 0 ? ""
                                 : "Below zero: unlike neighbours are more frequent than at "
                                   "random. A sample weighs as many pairs as it would hold at "
                                   "random, none where a species is absent."}};
      for (size_t c = 0; c < names.size(); ++c) {
        if (!names[c].starts_with(prefix)) continue;
        std::vector<double> there, y, error;
        for (const alloy::LadderPoint& p : points_[s]) {
          if (!std::isfinite(p.columns[c].value)) continue;  // of a species that never was there
          there.push_back(p.k_t / scale_);
          y.push_back(p.columns[c].value);
          error.push_back(std::isfinite(p.columns[c].error) ? p.columns[c].error : 0);
        }
        chart["series"].push_back(
            curve(names[c].substr(prefix.size()), there, y, error, "line_and_points"));
      }
      if (!chart["series"].empty()) figures_.push_back(chart);
    }
  }

  void domains() {
    if (!config_.measures_domains()) return;
    const auto& names = results_[0].series.column_names;
    const std::string of = config_.order == "magnetisation" ? "like atoms" : config_.order;
    for (const char* which : {"largest domain", "mean domain"}) {
      const auto at =
          static_cast<size_t>(std::find(names.begin(), names.end(), which) - names.begin());
      curves(
          which, fmt::format("Size of domains of {}: {}", of, which), "share of all sites",
          [at](const alloy::LadderPoint& p) { return p.columns[at]; }, nullptr);
    }
    figures_.back()["caption"] =
        "Share of all sites in the domain that a site drawn at random lies in. " +
        figures_.back()["caption"].get<std::string>();
  }

  // S(k) along lines, of the largest cell, at the temperatures that are shown.
  void structure_factors() {
    const size_t s = results_.size() - 1;
    const auto& names = results_[s].series.column_names;
    const std::vector<double> shown = shown_temperatures();
    for (const std::array<int, 3>& line : config_.lines())
      for (int a = 0; a < config_.structure_factor_species(); ++a) {
        const std::string& species = species_[static_cast<size_t>(a)];
        const std::string prefix =
            fmt::format("S {} {} {} {} ", species, line[0], line[1], line[2]);
        json chart{{"chart", "line"},
                   {"title", fmt::format("Structure factor of {} along (h {} {})", species,
                                         line[1] == 0 ? "0" : "h", line[2] == 0 ? "0" : "h")},
                   {"x", {{"label", "h, in units of 2 pi over the cell's edge"}}},
                   {"y", {{"label", "S"}, {"log", true}}},
                   {"series", json::array()},
                   {"caption",
                    "Means over all samples, with 68 % error bars from blocks longer than "
                    "ten autocorrelation times (none where they would be too few)."}};
        constexpr double kFloor = 1e-3;  // a logarithm's end
        bool floored = false;
        for (size_t t = 0; t < points_[s].size(); ++t) {
          const double temperature = points_[s][t].k_t / scale_;
          if (std::find(shown.begin(), shown.end(), temperature) == shown.end()) continue;
          std::vector<double> h, value, error;
          for (size_t c = 0; c < names.size(); ++c) {
            if (!names[c].starts_with(prefix)) continue;
            const Estimate& e = points_[s][t].columns[c];
            if (e.value < 1e-9) continue;  // a Bragg peak of the lattice: the composition fixes it
            h.push_back(std::stod(names[c].substr(prefix.size())));
            value.push_back(std::max(e.value, kFloor));
            floored |= e.value < kFloor;
            error.push_back(std::isfinite(e.error) ? e.error : 0);
          }
          chart["series"].push_back(curve(fmt::format("{:.5g} {}", temperature, unit_), h, value,
                                          error, "line_and_points"));
        }
        if (floored)
          chart["caption"] =
              chart["caption"].get<std::string>() + " What is below 0.001 is drawn at it.";
        figures_.push_back(chart);
      }
  }

  // Of the largest cell: the coldest, the one nearest to the transition, the hottest.
  std::vector<size_t> shown_numbers() const {
    const LadderResult& largest = results_.back();
    const size_t last = largest.snapshots.size() - 1;
    std::vector<size_t> shown{0};
    if (const Transition* transition = best()) {
      size_t nearest = 0;
      for (size_t t = 0; t <= last; ++t)
        if (std::abs(largest.series.k_t[t] / scale_ - transition->t.value) <
            std::abs(largest.series.k_t[nearest] / scale_ - transition->t.value))
          nearest = t;
      if (nearest != 0 && nearest != last) shown.push_back(nearest);
    }
    if (last != 0) shown.push_back(last);
    return shown;
  }
  std::vector<double> shown_temperatures() const {
    std::vector<double> out;
    for (const size_t t : shown_numbers()) out.push_back(points_.back()[t].k_t / scale_);
    return out;
  }

  // S(k) of the first species on a plane of waves, the mean over the kept arrangements.
  json waves(size_t t, const std::string& at) const {
    const LadderResult& largest = results_.back();
    const size_t kept = largest.snapshots[t].size();
    alloy::StructureFactorPlane sum;
    for (const auto& one : largest.snapshots[t]) {
      const alloy::StructureFactorPlane plane = alloy::structure_factor(largest.lattice, one, 0, 0);
      sum.columns = plane.columns, sum.rows = plane.rows;
      sum.values.resize(plane.values.size(), 0);
      for (size_t i = 0; i < plane.values.size(); ++i)
        sum.values[i] += plane.values[i] / static_cast<double>(kept);
    }
    std::vector<double> logarithms;
    for (int64_t row = sum.rows - 1; row >= 0; --row)  // k upwards
      for (int64_t column = 0; column < sum.columns; ++column)
        logarithms.push_back(std::log10(
            std::max(sum.values[static_cast<size_t>(row * sum.columns + column)], 1e-2)));
    const auto axis = [](const char* wave) {
      return json{{"label", wave + std::string(", in units of 2 pi over the cell's edge")},
                  {"low", -1},
                  {"high", 1}};
    };
    return {{"chart", "heat"},
            {"title", fmt::format("Structure factor of {} at {}", species_.front(), at)},
            {"caption",
             fmt::format("Waves (h, k, 0), the zone centre in the middle; decimal logarithm; {}.",
                         kept == 1 ? "of one arrangement, so it is rough"
                                   : fmt::format("mean over {} arrangements", kept))},
            {"columns", sum.columns},
            {"rows", sum.rows},
            {"unit", "log10 S"},
            {"x", axis("h")},
            {"y", axis("k")},
            {"values", logarithms}};
  }

  void snapshots() {
    const LadderResult& largest = results_.back();
    const std::vector<size_t> shown = shown_numbers();
    for (const size_t t : shown) {
      const std::string at = fmt::format("{:.5g} {}", largest.series.k_t[t] / scale_, unit_);
      const std::vector<uint8_t>& species = largest.snapshots[t].back();
      figures_.push_back(
          slice_figure(largest.lattice, species, species_, "A layer of atoms at " + at));
      if (largest.lattice.repeats()[2] > 1)
        figures_.push_back(
            crystal_figure(largest.lattice, species, species_, "The lattice at " + at));
    }
    for (const size_t t : shown)
      figures_.push_back(waves(t, fmt::format("{:.5g} {}", largest.series.k_t[t] / scale_, unit_)));
  }

  json final() const {
    json out = json::object();
    if (const Transition* t = best()) out["transition_temperature"] = t->t.value;
    const alloy::LadderPoint& coldest = points_.back().front();
    out["energy_at_lowest"] = coldest.energy.value;
    double fewest = 1e300;
    for (const auto& list : points_)
      for (const alloy::LadderPoint& p : list)
        if (!p.frozen) fewest = std::min(fewest, p.effective_samples);
    out["fewest_effective_samples"] = fewest < 1e300 ? fewest : 1;
    return out;
  }

  const LadderConfig& config_;
  const std::vector<LadderResult>& results_;
  run::Events& events_;
  double scale_ = 1;
  std::string unit_;
  std::vector<std::string> species_;
  std::vector<std::vector<alloy::LadderPoint>> points_;
  std::vector<std::unique_ptr<alloy::Reweighted>> reweighted_;
  std::vector<Transition> transitions_;
  json figures_ = json::array();
};

void write_kept(const LadderConfig& config, const LadderResult& largest,
                const std::filesystem::path& folder) {
  const alloy::PairInteractions pairs = config.system.pairs();
  const auto energy =
      config.system.model(largest.lattice, config.system.interactions_read()).energy;
  alloy::Configuration configuration(energy->grid());
  const std::vector<double> temperatures = config.temperatures();
  std::vector<Snapshot> all;  // temperature after temperature
  for (size_t t = 0; t < temperatures.size(); ++t)
    for (const std::vector<uint8_t>& species : largest.snapshots[t]) {
      configuration.assign(species);
      all.push_back({species,
                     energy->value(energy->total(configuration)),
                     {{"temperature", fmt::format("{:.9g}", temperatures[t])}}});
    }
  if (config.snapshot_format != "hdf5")
    write_snapshots(folder / "snapshots.extxyz", largest.lattice, pairs.species, all);
  if (config.snapshot_format == "extxyz") return;
  atoms::Arrangements arrays;
  arrays.crystal =
      alloy::structure_of(largest.lattice, largest.snapshots.front().back(), pairs.species);
  arrays.temperature = temperatures;
  arrays.temperature_unit = config.system.temperature_unit();
  arrays.energy_unit = config.system.energy_unit();
  arrays.snapshots = config.snapshots;
  for (const Snapshot& one : all) {
    arrays.species.insert(arrays.species.end(), one.species.begin(), one.species.end());
    arrays.energy.push_back(one.energy);
  }
  atoms::write_hdf5(arrays, folder / "snapshots.h5");
}

}  // namespace

json ladder_summary(const LadderConfig& config, const std::vector<LadderResult>& results,
                    const std::filesystem::path& folder, run::Events& events) {
  write_kept(config, results.back(), folder);
  Summary summary(config, results, events);
  write_file_atomically(folder / "results.json", summary.results().dump(1) + "\n");
  json fields = summary.fields();
  const std::string frozen = summary.frozen();
  if (!frozen.empty())
    events.emit({"warning",
                 0,
                 {{"text", "the energy never changed at " + frozen +
                               ": its chains stand still, or lie in a ground state; no error is "
                               "claimed there"}}});
  double fewest = fields["final"]["fewest_effective_samples"];
  if (fewest < 50)
    events.emit(
        {"warning",
         0,
         {{"text", fmt::format("at one temperature only {:.0f} samples are independent: its "
                               "error bar is rough; raise sampling.samples or sweeps",
                               fewest)}}});
  return fields;
}

}  // namespace ocoee::tasks
