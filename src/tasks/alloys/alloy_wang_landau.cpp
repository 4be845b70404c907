// SPDX-License-Identifier: Apache-2.0
// Task alloy_wang_landau: the density of states by a walk that is flat in energy, over windows that
// exchange walkers; free energy, entropy and heat capacity at any temperature.
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "core/trace.h"
#include "science/alloy/annealing.h"
#include "science/alloy/mbar.h"
#include "science/alloy/wang_landau.h"
#include "tasks/alloys/pictures.h"
#include "tasks/alloys/system_config.h"
#include "tasks/registry.h"

namespace ocoee::tasks {
namespace {

using nlohmann::json;

struct WangLandauConfig final : run::TaskConfig {
  SystemConfig system;
  double low = 0, high = 0, bin = 0;
  int64_t estimates = 2, windows = 1, per_window = 1, sweeps = 100, checkpoint_every = 50;
  int64_t most_steps = 1000000;
  double overlap = 0.75, flatness = 0.8, final_ln_f = 1e-6;
  bool one_over_t = true;
  double from = 0, to = 0;  // temperatures of the curves
  std::string name;

  void describe(config::Description& recipe) override {
    config::Description& task =
        recipe.section("task", "The density of states of an alloy, by Wang-Landau sampling.");
    task.field("name", name, "the task; `ocoee list tasks` shows them").required();
    system.describe(recipe, false);
    config::Description& d = recipe.section("wang_landau", "The walk that is flat in energy.");
    d.field("low", low, "lowest energy a site; low = high: both are searched by annealing");
    d.field("high", high, "highest energy a site");
    d.field("bin", bin,
            "width of a bin of the whole cell's energy; 0 = one level, where couplings are whole")
        .at_least(0);
    d.field("estimates", estimates, "independent ones, for error bars").at_least(1).at_most(1000);
    d.field("windows", windows, "of energy, whose walkers exchange arrangements")
        .at_least(1)
        .at_most(10000);
    d.field("per_window", per_window, "walkers of a window").at_least(1).at_most(1000);
    d.field("overlap", overlap, "of a window with the next").at_least(0).at_most(0.95);
    d.field("sweeps", sweeps, "of each walker in a step").at_least(1).at_most(1e9);
    d.field("flatness", flatness, "lowest count over the mean before ln f is halved")
        .above(0)
        .at_most(0.999);
    d.field("final_ln_f", final_ln_f, "where it ends").above(0).at_most(1);
    d.field("one_over_t", one_over_t,
            "let ln f fall as 1/t at the end, so that errors do not stay");
    d.field("most_steps", most_steps, "where it ends at the latest").at_least(1).at_most(1e9);
    d.field("checkpoint_every", checkpoint_every, "steps; 0 = only at the end")
        .at_least(0)
        .at_most(1e9)
        .may_change_on_resume();
    config::Description& t = recipe.section("temperatures", "Of the curves: K, or J/k_B.");
    t.field("low", from, "the lowest").above(0).required();
    t.field("high", to, "the highest").above(0).required();
  }
  void check(config::Problems& problems, const run::RunConfig&, int) const override {
    system.check(problems);
    if (from >= to)
      problems.add("temperatures.low",
                   fmt::format("{} is not below temperatures.high = {}", from, to));
    if (low > high)
      problems.add("wang_landau.low", fmt::format("{} is above wang_landau.high = {}", low, high));
    const std::vector<double>& potentials = system.composition.potentials;
    if (std::any_of(potentials.begin(), potentials.end(), [](double mu) { return mu != 0; }))
      problems.add("composition.potentials",
                   "states are counted by energy alone, and fields are no part of it",
                   "leave the key out: all compositions count alike");
    if (!problems.empty()) return;
    if (bin == 0 && !whole_levels())
      problems.add("wang_landau.bin", "these interactions have no common level spacing",
                   "a width in the unit of energy, such as a hundredth of the range");
  }
  comm::Shape mesh(int ranks) const override {
    comm::Shape shape;
    shape[comm::Axis::data] = ranks;
    return shape;
  }
  json preview(const run::RunConfig&, int ranks) const override {
    const int64_t sites = system.lattice_of(1).sites(), walkers = estimates * windows * per_window;
    std::vector<std::string> lines = system.lines();
    lines.push_back(fmt::format(
        "walkers: {} ({} estimates, {} windows, {} each) on {} rank{}; until ln f <= {:g}", walkers,
        estimates, windows, per_window, ranks, ranks == 1 ? "" : "s", final_ln_f));
    const int64_t held = (walkers + ranks - 1) / ranks;
    json out = alloy_preview(lines, 0, static_cast<double>(3 * held * sites), 0, most_steps);
    out.erase("state_elements");  // the number of bins is found when it begins
    return out;
  }

  bool whole_levels() const {
    const alloy::ClusterInteractions energies = system.interactions_read();
    return !energies.has_clusters() &&
           system.model(system.lattice_of(1), energies).bonds->level_spacing() >= (Energy{1} << 16);
  }
  using Energy = alloy::Energy;
};

class WangLandauTask final : public run::Task {
 public:
  WangLandauTask(const WangLandauConfig& config, run::Context& context)
      : config_(config),
        context_(context),
        ranks_(context.mesh.axis(comm::Axis::data)),
        lattice_(config.system.lattice_of(1)),
        model_(config.system.model(lattice_, config.system.interactions_read())) {
    alloy::WangLandauSettings settings;
    settings.moves = config.system.moves("far", lattice_, {});
    settings.bins = bins(settings.moves);
    settings.groups = config.estimates;
    settings.windows = config.windows;
    settings.per_window = config.per_window;
    settings.overlap = config.overlap;
    settings.flatness = config.flatness;
    settings.final_ln_f = config.final_ln_f;
    settings.one_over_t = config.one_over_t;
    settings.sweeps_per_step = config.sweeps;
    settings.seed = static_cast<uint64_t>(context.run.seed);
    if (settings.bins.count < 3 * config.windows)
      fail(ErrorKind::config, "{} bins of energy are too few for {} windows", settings.bins.count,
           config.windows);
    const alloy::Share share(config.estimates * config.windows * config.per_window, ranks_.rank(),
                             ranks_.size());
    std::vector<std::vector<uint8_t>> start;
    for (int64_t walker = share.first; walker < share.first + share.count; ++walker)
      start.push_back(alloy::random_arrangement(config.system.atoms(lattice_.sites()),
                                                settings.seed, static_cast<uint64_t>(walker)));
    walk_ = std::make_unique<alloy::WangLandau>(model_.energy, settings, ranks_, start);
    bins_ = settings.bins.count;
  }

  int64_t position() const override { return walk_->steps(); }
  // It is over when ln f is small enough; until then, what is expected.
  int64_t total() const override {
    const int64_t done = walk_->steps(), expected = walk_->expected_steps();
    if (walk_->finished() || done >= config_.most_steps) return done;
    return expected > 0 ? std::clamp(expected, done + 1, config_.most_steps) : config_.most_steps;
  }
  int64_t checkpoint_every() const override { return config_.checkpoint_every; }

  void advance() override {
    const trace::Scope scope("sampling");
    const double begin = trace::now_seconds();
    walk_->advance();
    if (position() % context_.run.log_every != 0 && !walk_->finished()) return;
    const double seconds = trace::now_seconds() - begin;
    const double trials = static_cast<double>(walk_->walkers() * config_.sweeps * lattice_.sites());
    json fields{{"ln_f", walk_->ln_f()},
                {"seconds", seconds},
                {"trials_per_second", trials / std::max(seconds, 1e-9)},
                {"shown", {"ln_f", "exchange_rate", "trials_per_second"}}};
    if (walk_->tried() > 0)
      fields["exchange_rate"] =
          static_cast<double>(walk_->exchanged()) / static_cast<double>(walk_->tried());
    context_.events.emit({"step", position(), std::move(fields)});
  }

  run::State state() override {
    run::State state;
    walk_->add_state(state);
    return state;
  }
  void loaded(const json& values) override { walk_->loaded(values); }

  void finish() override {
    const trace::Scope scope("analysis");
    const std::vector<std::vector<double>> ln_g = walk_->ln_g();
    const std::vector<alloy::BinMoments> met = walk_->bin_moments();
    const std::array<int64_t, 2> beyond = walk_->beyond();
    if (ranks_.rank() != 0) return;
    if (!walk_->finished())
      context_.events.emit(
          {"warning",
           position(),
           {{"text", fmt::format("ended at ln f = {:.2g}, above wang_landau.final_ln_f; raise "
                                 "wang_landau.most_steps",
                                 walk_->ln_f())}}});
    // What a given range leaves out nobody counted, so the number of all states says nothing of it.
    const bool given = config_.low<config_.high, left_out = beyond[0] + beyond[1]> 0;
    absolute_ = !(given && left_out);
    if (left_out)
      warn(fmt::format("{} moves led below the range of energies and {} above it{}", beyond[0],
                       beyond[1],
                       given ? ": it leaves states out, so entropy and free energy are not known "
                               "absolutely and are left out"
                             : ": the search for its ends missed some; give wang_landau.low and "
                               "high a little further out"));
    std::vector<alloy::DensityOfStates> estimates;
    int64_t fewer = 0;
    for (size_t k = 0; k < ln_g.size(); ++k) {
      estimates.push_back(walk_->density(
          ln_g[k], absolute_ ? config_.system.ln_states(lattice_.sites()) : NAN, met[k]));
      for (const double value : estimates.back().ln_g) fewer += absolute_ && value < -0.5;
    }
    if (fewer > 0)
      warn(
          fmt::format("{} levels hold fewer than one state (ln g < -0.5): the walk has not "
                      "settled there; lower wang_landau.final_ln_f or raise sweeps",
                      fewer));
    report(estimates);
  }

 private:
  void warn(const std::string& text) {
    context_.events.emit({"warning", position(), {{"text", text}}});
  }

  alloy::EnergyBins bins(const alloy::Moves& moves) const {
    const auto sites = static_cast<double>(lattice_.sites());
    alloy::Energy low = 0, high = 0;
    if (config_.low < config_.high) {
      const auto quanta = [&](double energy) {
        return std::llround((energy - model_.bonds->pairs().constant) * sites /
                            model_.energy->quantum());
      };
      low = quanta(config_.low);
      high = quanta(config_.high);
    } else {
      low = extreme(moves, 1);
      high = -extreme(moves, -1);
    }
    const bool levels = config_.bin == 0;
    const alloy::Energy spacing = model_.bonds->level_spacing();
    const alloy::Energy width =
        levels ? spacing
               : std::max<alloy::Energy>(1, std::llround(config_.bin / model_.energy->quantum()));
    if (levels) low = (low - (low >= 0 ? 0 : spacing - 1)) / spacing * spacing;
    alloy::EnergyBins out = alloy::EnergyBins::covering(low, high, width);
    out.levels = levels;
    if (out.count > 50'000'000)
      fail(ErrorKind::config, "wang_landau.bin: {} bins are too many\n    fix: a larger width",
           out.count);
    return out;
  }

  // The lowest energy of `sign` times the interactions, by annealing; the same on every rank.
  alloy::Energy extreme(const alloy::Moves& moves, int sign) const {
    alloy::ClusterInteractions energies = config_.system.interactions_read();
    alloy::PairInteractions& pairs = energies.pairs;
    for (std::vector<double>* list : {&pairs.values, &pairs.point, &energies.values})
      for (double& value : *list) value *= sign;
    const auto model = config_.system.model(lattice_, energies).energy;
    double largest = 1e-12;
    for (const double value : pairs.values) largest = std::max(largest, std::abs(value));
    comm::World alone = comm::World::alone();
    alloy::AnnealingSettings settings;
    settings.first_k_t = 20 * largest;
    settings.last_k_t = 0.05 * largest;
    settings.steps = 80;
    settings.sweeps = 20;
    settings.chains = 6;
    settings.moves = moves;
    settings.seed = static_cast<uint64_t>(context_.run.seed) + 1;
    std::vector<std::vector<uint8_t>> start;
    for (uint64_t chain = 0; chain < 6; ++chain)
      start.push_back(
          alloy::random_arrangement(config_.system.atoms(lattice_.sites()), settings.seed, chain));
    alloy::Annealing annealing(model, settings, *alone.host(), start);
    while (!annealing.finished()) annealing.advance();
    alloy::Configuration lowest(model->grid());
    lowest.assign(annealing.lowest());
    return model->total(lowest);
  }

  void report(const std::vector<alloy::DensityOfStates>& estimates) {
    const double scale = config_.system.k_t(1);
    const std::string unit = config_.system.energy_unit(),
                      kelvin = config_.system.temperature_unit();
    const auto sites = static_cast<double>(lattice_.sites());
    struct Curve {
      const char* title;
      std::string unit;
      double alloy::DensityOfStates::Thermodynamics::*field;
    };
    using Point = alloy::DensityOfStates::Thermodynamics;
    std::vector<Curve> curves{{"Heat capacity", "k_B a site", &Point::heat_capacity},
                              {"Energy", unit + " a site", &Point::energy}};
    if (absolute_) {
      curves.push_back({"Free energy", unit + " a site", &Point::free_energy});
      curves.push_back({"Entropy", "k_B a site", &Point::entropy});
    }
    std::vector<double> temperatures;
    for (int i = 0; i <= 160; ++i)
      temperatures.push_back(config_.from + (config_.to - config_.from) * i / 160);
    json figures = json::array(), points = json::array();
    for (const double t : temperatures) points.push_back({{"temperature", t}});

    std::vector<double> peaks;
    for (const auto& one : estimates)
      peaks.push_back(alloy::find_peak([&](double t) { return one.at(scale * t).heat_capacity; },
                                       config_.from, config_.to));
    const alloy::Estimate peak = alloy::mean_of_independent(peaks);
    const bool inside = peak.value > temperatures[1] && peak.value < temperatures[159];

    std::set<std::string> wide;  // curves that the width of bins may move, and where
    std::vector<double> too_wide;
    for (const Curve& one : curves) {
      std::vector<double> value, low, high;
      for (size_t i = 0; i < temperatures.size(); ++i) {
        std::vector<double> each;
        double left_out = 0;
        for (const auto& estimate : estimates) {
          each.push_back(estimate.at(scale * temperatures[i]).*one.field);
          left_out += estimate.left_out(scale * temperatures[i]).*one.field /
                      static_cast<double>(estimates.size());
        }
        const alloy::Estimate e = alloy::mean_of_independent(each);
        if (left_out > (std::isfinite(e.error) ? e.error : 0.01 * std::abs(e.value)))
          wide.insert(one.title), too_wide.push_back(temperatures[i]);
        value.push_back(e.value);
        low.push_back(e.value - (std::isfinite(e.error) ? e.error : 0));
        high.push_back(e.value + (std::isfinite(e.error) ? e.error : 0));
        points[i][one.title] = json_of(e);
      }
      json line = curve("", temperatures, value, {}, "line");
      if (estimates.size() > 1) line["low"] = low, line["high"] = high;
      json figure{{"chart", "line"},
                  {"title", one.title},
                  {"x", {{"label", "temperature, " + kelvin}}},
                  {"y", {{"label", one.unit}}},
                  {"series", json::array({line})}};
      if (estimates.size() > 1)
        figure["caption"] = fmt::format("Band: 68 % error of the mean of {} independent estimates.",
                                        estimates.size());
      if (inside && figures.empty())
        figure["references"] = json::array({json{{"label", "peak " + alloy::text_of(peak, kelvin)},
                                                 {"value", peak.value},
                                                 {"vertical", true}}});
      figures.push_back(figure);
    }
    if (!wide.empty())
      warn(
          fmt::format("bins of {:g} {} are wide: from {:.4g} to {:.4g} {} what they leave out may "
                      "exceed {} of: {}; give a narrower wang_landau.bin",
                      config_.bin, unit, *std::min_element(too_wide.begin(), too_wide.end()),
                      *std::max_element(too_wide.begin(), too_wide.end()), kelvin,
                      estimates.size() > 1 ? "the stated error" : "a hundredth",
                      join({wide.begin(), wide.end()}, ", ")));
    json results{{"temperatures", points},
                 {"estimates", json::array()},
                 {"absolute", absolute_},
                 {"units", config_.system.units()}};
    if (inside) figures.push_back(energies_at_transition(estimates, peak, results));
    const alloy::MeanStates states = alloy::mean_of(estimates);
    const std::string shared =
        estimates.size() > 1 && !states.error.empty()
            ? fmt::format(" 68 % error of the mean of {} estimates: at most {:.2g}.",
                          estimates.size(),
                          *std::max_element(states.error.begin(), states.error.end()))
            : "";
    json series = json::array();
    for (size_t k = 0; k < estimates.size(); ++k) {
      std::vector<double> energy = estimates[k].energy;
      for (double& e : energy) e /= sites;
      series.push_back(curve(estimates.size() > 1 ? fmt::format("estimate {}", k + 1) : "", energy,
                             estimates[k].ln_g, {}, "line"));
    }
    figures.push_back(
        {{"chart", "line"},
         {"title", "Number of states"},
         {"x", {{"label", "energy, " + unit + " a site"}}},
         {"y", {{"label", "ln g"}}},
         {"series", series},
         {"caption",
          fmt::format("{} levels; ", estimates.front().energy.size()) +
              (absolute_ ? fmt::format("all states together: ln = {:.6g}.",
                                       config_.system.ln_states(lattice_.sites()))
                         : std::string("the range leaves states out: up to a constant, 0 "
                                       "where it is lowest.")) +
              shared}});
    results["states"] = {{"energy", states.energy}, {"ln_g", states.ln_g}, {"error", states.error}};
    for (const auto& one : estimates)
      results["estimates"].push_back(
          {{"energy", one.energy}, {"ln_g", one.ln_g}, {"variance", one.variance}});
    json headline = json::array();
    json final{{"ln_f", walk_->ln_f()}};
    if (inside) {
      headline.push_back(headline_of("heat capacity peak", peak, kelvin));
      results["heat_capacity_peak"] = json_of(peak);
      final["transition_temperature"] = peak.value;
    }
    write_file_atomically(context_.folder / "results.json", results.dump(1) + "\n");
    context_.events.emit(
        {"summary", position(), {{"figures", figures}, {"headline", headline}, {"final", final}}});
  }

  // Probabilities of energies where the transition is; in two phases, if a valley parts them.
  json energies_at_transition(const std::vector<alloy::DensityOfStates>& estimates,
                              const alloy::Estimate& peak, json& results) const {
    const double scale = config_.system.k_t(1);
    const std::string unit = config_.system.energy_unit(),
                      kelvin = config_.system.temperature_unit();
    std::vector<double> valley, t, heat;
    std::vector<alloy::DensityOfStates::Phases> all;
    for (const auto& one : estimates) {
      const auto smooth = static_cast<int64_t>(one.energy.size() / 60);
      all.push_back(one.phases(0.9 * scale * peak.value, 1.1 * scale * peak.value, smooth));
      valley.push_back(all.back().valley);
      t.push_back(all.back().k_t / scale);
      heat.push_back(all.back().high - all.back().low);
    }
    // A walk's noise makes valleys of its own: every estimate must have one that is none.
    const bool two = *std::min_element(valley.begin(), valley.end()) > 1;
    json series = json::array();
    for (size_t k = 0; k < estimates.size(); ++k) {
      std::vector<double> energy = estimates[k].energy;
      for (double& e : energy) e /= static_cast<double>(lattice_.sites());
      series.push_back(curve(estimates.size() > 1 ? fmt::format("estimate {}", k + 1) : "", energy,
                             estimates[k].probabilities(two ? all[k].k_t : scale * peak.value), {},
                             "line"));
    }
    std::string caption = fmt::format(
        "At {:.6g} {}, where the heat capacity is highest: no two phases of unlike energy stand "
        "side by side.",
        peak.value, kelvin);
    if (two) {
      const alloy::Estimate where = alloy::mean_of_independent(t),
                            latent = alloy::mean_of_independent(heat),
                            depth = alloy::mean_of_independent(valley);
      caption = fmt::format(
          "A transition of first order: at {} {} two phases are equally probable, {} {} a site "
          "apart, and the valley between them is e^-{:.2g} as high.",
          alloy::text_of(where), kelvin, alloy::text_of(latent), unit, depth.value);
      results["first_order"] = {{"temperature", json_of(where)},
                                {"latent_heat", json_of(latent)},
                                {"ln_peak_over_valley", json_of(depth)}};
    }
    return {{"chart", "line"},
            {"title", "Energies at the transition"},
            {"x", {{"label", "energy, " + unit + " a site"}}},
            {"y", {{"label", "probability of a bin"}}},
            {"series", series},
            {"caption", caption}};
  }

  WangLandauConfig config_;
  run::Context& context_;
  comm::Communicator& ranks_;
  alloy::Lattice lattice_;
  AlloyModel model_;
  std::unique_ptr<alloy::WangLandau> walk_;
  int64_t bins_ = 0;
  bool absolute_ = true;  // all states lie in the range, so ln g is no longer up to a constant
};

run::DebugRecipe debug_wang_landau(const std::filesystem::path&) {
  return {
      "version = 1\n"
      "[task]\nname = \"alloy_wang_landau\"\n"
      "[lattice]\nkind = \"square\"\ncells = [4, 4, 1]\n"
      "[interactions]\nmodel = \"ising\"\n"
      "[composition]\nensemble = \"semi_grand\"\n"
      "[wang_landau]\nestimates = 1\nwindows = 2\nsweeps = 20\nfinal_ln_f = 1e-3\n"
      "checkpoint_every = 8\n"
      "[temperatures]\nlow = 1\nhigh = 4\n",
      "ln_f", 1e-3};
}

}  // namespace

run::TaskType alloy_wang_landau_task() {
  return {"alloy_wang_landau",
          "the density of states of an alloy: entropy and free energy at any temperature",
          [] { return std::make_unique<WangLandauConfig>(); },
          [](const run::TaskConfig& config, run::Context& context) -> std::unique_ptr<run::Task> {
            return std::make_unique<WangLandauTask>(dynamic_cast<const WangLandauConfig&>(config),
                                                    context);
          },
          debug_wang_landau};
}

}  // namespace ocoee::tasks
