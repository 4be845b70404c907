// SPDX-License-Identifier: Apache-2.0
// Task alloy_anneal: ground states by simulated annealing of independent chains.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "core/trace.h"
#include "science/alloy/annealing.h"
#include "science/alloy/order.h"
#include "science/atoms/formats.h"
#include "tasks/alloys/pictures.h"
#include "tasks/alloys/system_config.h"
#include "tasks/registry.h"

namespace ocoee::tasks {
namespace {

using nlohmann::json;

struct AnnealConfig final : run::TaskConfig {
  SystemConfig system;
  double first = 0, last = 0;
  int64_t steps = 100, sweeps = 20, chains = 4, quench_sweeps = 20, checkpoint_every = 20;
  std::string moves = "far";
  std::string name;

  void describe(config::Description& recipe) override {
    config::Description& task =
        recipe.section("task", "Ground states of an alloy by simulated annealing.");
    task.field("name", name, "the task; `ocoee list tasks` shows them").required();
    system.describe(recipe, false);
    config::Description& d = recipe.section("annealing", "How the temperature falls.");
    d.field("first", first, "temperature at the beginning: K, or J/k_B").above(0).required();
    d.field("last", last, "temperature at the end").above(0).required();
    d.field("steps", steps, "temperatures, in geometric progression").at_least(1).at_most(1e6);
    d.field("sweeps", sweeps, "at each temperature; a sweep is a trial a site")
        .at_least(1)
        .at_most(1e9);
    d.field("quench_sweeps", quench_sweeps, "at zero temperature, at the end")
        .at_least(0)
        .at_most(1e9);
    d.field("chains", chains, "independent ones, dealt out to the ranks").at_least(1).at_most(1e6);
    d.field("moves", moves, "swaps of any two sites, of neighbours, or half of each")
        .choices({"far", "near", "mixed"})
        .acts_where("composition.ensemble = canonical", [this] { return system.canonical(); });
    d.field("checkpoint_every", checkpoint_every, "temperatures; 0 = only at the end")
        .at_least(0)
        .at_most(1e9)
        .may_change_on_resume();
  }
  void check(config::Problems& problems, const run::RunConfig&, int) const override {
    system.check(problems);
    if (last > first)
      problems.add("annealing.last", fmt::format("{} is above annealing.first = {}", last, first));
    if (problems.empty()) system.check_moves(problems, "annealing.moves", moves);
  }
  comm::Shape mesh(int ranks) const override {
    comm::Shape shape;
    shape[comm::Axis::data] = ranks;
    return shape;
  }
  json preview(const run::RunConfig&, int ranks) const override {
    const int64_t sites = system.lattice_of(1).sites();
    std::vector<std::string> lines = system.lines();
    lines.push_back(
        fmt::format("annealing: {} chain{} from {:.6g} to {:.6g} {} in {} steps of {} "
                    "sweeps: {} trials",
                    chains, chains == 1 ? "" : "s", first, last, system.temperature_unit(), steps,
                    sweeps, format_count(static_cast<double>(chains * steps * sweeps * sites))));
    const int64_t held = (chains + ranks - 1) / ranks;
    return alloy_preview(lines, 2 * chains * sites, static_cast<double>(4 * held * sites), 0,
                         steps + 1);
  }
};

class AnnealTask final : public run::Task {
 public:
  AnnealTask(const AnnealConfig& config, run::Context& context)
      : config_(config),
        context_(context),
        ranks_(context.mesh.axis(comm::Axis::data)),
        lattice_(config.system.lattice_of(1)),
        pairs_(config.system.pairs()) {
    counted_ = std::max(2, pairs_.shells);
    const std::vector<alloy::Shell> shells = config.system.shells(counted_);
    model_ = config.system.model(lattice_, config.system.interactions_read(), counted_);
    alloy::AnnealingSettings settings;
    settings.first_k_t = config.system.k_t(config.first);
    settings.last_k_t = config.system.k_t(config.last);
    settings.steps = config.steps;
    settings.sweeps = config.sweeps;
    settings.quench_sweeps = config.quench_sweeps;
    settings.chains = config.chains;
    settings.moves = config.system.moves(config.moves, lattice_, shells);
    settings.seed = static_cast<uint64_t>(context.run.seed);
    const alloy::Share share(config.chains, ranks_.rank(), ranks_.size());
    std::vector<std::vector<uint8_t>> start;
    for (int64_t chain = share.first; chain < share.first + share.count; ++chain)
      start.push_back(alloy::random_arrangement(config.system.atoms(lattice_.sites()),
                                                settings.seed, static_cast<uint64_t>(chain)));
    annealing_ = std::make_unique<alloy::Annealing>(model_.energy, settings, ranks_, start);
  }

  int64_t position() const override { return annealing_->steps(); }
  int64_t total() const override { return config_.steps + 1; }
  int64_t checkpoint_every() const override { return config_.checkpoint_every; }

  void advance() override {
    const trace::Scope scope("sampling");
    const double begin = trace::now_seconds();
    const double k_t = annealing_->k_t();
    annealing_->advance();
    const std::vector<double> energies = annealing_->energies();
    const std::vector<double> lowest = annealing_->lowest_energies();
    const auto sites = static_cast<double>(lattice_.sites());
    double mean = 0;
    for (const double energy : energies)
      mean += energy / sites / static_cast<double>(energies.size());
    const double best = *std::min_element(lowest.begin(), lowest.end()) / sites;
    curve_.insert(curve_.end(), {k_t / config_.system.k_t(1), mean, best});
    if (position() % context_.run.log_every != 0 && position() != total()) return;
    const std::string now = key(), lowest_now = "lowest_" + key();
    context_.events.emit({"step",
                          position(),
                          {{now, mean},
                           {lowest_now, best},
                           {"temperature", k_t / config_.system.k_t(1)},
                           {"seconds", trace::now_seconds() - begin},
                           {"shown", {"temperature", now, lowest_now}}}});
  }

  run::State state() override {
    run::State state;
    annealing_->add_state(state);
    state.values["curve"] = curve_;
    return state;
  }
  void loaded(const json& values) override {
    annealing_->loaded(values);
    curve_ = values.at("curve").get<std::vector<double>>();
  }

  void finish() override {
    const trace::Scope scope("analysis");
    const std::vector<uint8_t> species = annealing_->lowest();
    const std::vector<double> lowest = annealing_->lowest_energies();
    if (ranks_.rank() != 0) return;
    const auto sites = static_cast<double>(lattice_.sites());
    alloy::Configuration configuration(model_.energy->grid());
    configuration.assign(species);
    const double energy = model_.energy->value(model_.energy->total(configuration));
    const double least = *std::min_element(lowest.begin(), lowest.end());
    const bool flips = !config_.system.canonical();
    const std::string weighed = flips ? "energy less sum mu N" : "energy";
    const alloy::BondCounts bonds = model_.bonds->count_bonds(configuration);
    const std::vector<int64_t> atoms = configuration.composition(pairs_.count());

    json rows = json::array();
    for (int shell = 0; shell < counted_; ++shell) {
      json row = json::array({fmt::format("shell {}", shell + 1)});
      for (int a = 0; a < pairs_.count(); ++a)
        for (int b = a + 1; b < pairs_.count(); ++b)
          row.push_back(alloy::warren_cowley(bonds, atoms, shell, a, b));
      rows.push_back(row);
    }
    json columns = json::array({""});
    for (const std::string& pair : alloy::pair_names(pairs_.species)) columns.push_back(pair);
    std::vector<double> t, mean, best, chains, ends;
    for (size_t i = 0; i + 2 < curve_.size(); i += 3) {
      if (curve_[i] <= 0) continue;
      t.push_back(curve_[i]);
      mean.push_back(curve_[i + 1]);
      best.push_back(curve_[i + 2]);
    }
    for (size_t c = 0; c < lowest.size(); ++c) {
      chains.push_back(static_cast<double>(c + 1));
      ends.push_back(lowest[c] / sites);
    }
    const int64_t agree = std::count_if(lowest.begin(), lowest.end(),
                                        [&](double e) { return e <= least + 1e-9 * sites; });
    const std::string unit = config_.system.energy_unit();
    json figures = json::array();
    figures.push_back(
        {{"chart", "line"},
         {"title", (flips ? "Energy less sum mu N" : "Energy") +
                       std::string(" while the temperature falls")},
         {"x", {{"label", "temperature, " + config_.system.temperature_unit()}, {"log", true}}},
         {"y", {{"label", unit + " a site"}}},
         {"series", json::array({curve("mean of the chains", t, mean, {}, "line"),
                                 curve("lowest", t, best, {}, "line")})}});
    figures.push_back(
        {{"chart", "line"},
         {"title", "Lowest " + weighed + " of each chain"},
         {"caption", fmt::format("{} of {} chains end at the same energy.", agree, lowest.size())},
         {"x", {{"label", "chain"}}},
         {"y", {{"label", unit + " a site"}}},
         {"series", json::array({curve("", chains, ends)})}});
    figures.push_back({{"chart", "table"},
                       {"title", "Warren-Cowley parameters of the lowest arrangement"},
                       {"columns", columns},
                       {"rows", rows}});
    figures.push_back(slice_figure(lattice_, species, pairs_.species,
                                   "A layer of atoms of the lowest arrangement"));
    figures.push_back(crystal_figure(lattice_, species, pairs_.species, "The lowest arrangement"));
    write_snapshots(context_.folder / "ground_state.extxyz", lattice_, pairs_.species,
                    {{species, energy, {}}});
    json orders = json::object();
    for (const std::string& name : alloy::ordering_names()) {
      try {
        const alloy::OrderParameter eta(name, lattice_, {},
                                        config_.system.fixed_atoms(lattice_.sites()));
        orders[name] = eta.of(configuration, pairs_.count());
      } catch (const Error&) {
        continue;  // of another lattice
      }
    }
    json results{{"energy", energy},
                 {"energy_per_site", energy / sites},
                 {"chains_that_agree", agree},
                 {"order", orders},
                 {"units", config_.system.units()}};
    if (!orders.empty()) {
      json order_rows = json::array();
      for (const auto& [name, eta] : orders.items()) order_rows.push_back({name, eta});
      figures.push_back(
          {{"chart", "table"},
           {"title", "Order parameters of the lowest arrangement"},
           {"columns", {"ordering", "eta"}},
           {"rows", order_rows},
           {"caption", "1: perfect. Orderings of the same waves agree, such as L1_0 and L1_2."}});
    }
    json final{{"energy", energy / sites}};
    json headline = json::array(
        {{{"label", "lowest " + weighed + " a site"}, {"value", least / sites}, {"unit", unit}}});
    if (flips) {
      results["energy_less_mu_n"] = least;
      results["energy_less_mu_n_per_site"] = final["energy_less_mu_n"] = least / sites;
      headline.push_back(
          {{"label", "its energy a site"}, {"value", energy / sites}, {"unit", unit}});
    }
    write_file_atomically(context_.folder / "results.json", results.dump(1) + "\n");
    context_.events.emit(
        {"summary", position(), {{"final", final}, {"figures", figures}, {"headline", headline}}});
  }

 private:
  // What falls: of flips it is not the energy alone.
  std::string key() const { return config_.system.canonical() ? "energy" : "energy_less_mu_n"; }

  AnnealConfig config_;
  run::Context& context_;
  comm::Communicator& ranks_;
  alloy::Lattice lattice_;
  alloy::PairInteractions pairs_;
  int counted_ = 0;
  AlloyModel model_;
  std::unique_ptr<alloy::Annealing> annealing_;
  std::vector<double> curve_;  // temperature, mean energy, lowest energy; step after step
};

run::DebugRecipe debug_anneal(const std::filesystem::path&) {
  return {
      "version = 1\n"
      "[task]\nname = \"alloy_anneal\"\n"
      "[lattice]\nkind = \"bcc\"\ncells = [3, 3, 3]\n"
      "[interactions]\nmodel = \"ising\"\ncoupling = -1\n"
      "[annealing]\nfirst = 20\nlast = 0.5\nsteps = 12\nsweeps = 2\nchains = 2\n"
      "checkpoint_every = 4\n",
      "energy", -3.5};
}

}  // namespace

run::TaskType alloy_anneal_task() {
  return {"alloy_anneal", "ground states of an alloy by simulated annealing",
          [] { return std::make_unique<AnnealConfig>(); },
          [](const run::TaskConfig& config, run::Context& context) -> std::unique_ptr<run::Task> {
            return std::make_unique<AnnealTask>(dynamic_cast<const AnnealConfig&>(config), context);
          },
          debug_anneal};
}

}  // namespace ocoee::tasks
