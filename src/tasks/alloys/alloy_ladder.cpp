// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/alloy_ladder.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "core/text.h"
#include "core/trace.h"
#include "science/alloy/link_cell_moves.h"
#include "science/alloy/tempering.h"
#include "science/atoms/arrangements.h"
#include "tasks/alloys/ladder_report.h"
#include "tasks/registry.h"

namespace ocoee::tasks {

using nlohmann::json;

namespace {
const std::vector<std::string> kLinkCellLattices{"square", "sc", "bcc", "fcc"};
// Of a column: how many pairs there would be at random, which is what a Warren-Cowley parameter of
// one sample is worth; without one of the two species it is worth nothing.
const std::string kWeight = "weight ";
bool is_weight(const std::string& column) {
  return column.starts_with(kWeight);
}

// Bonds a site between species a and b if the others' ends were at random.
double at_random(const alloy::BondCounts& bonds, const std::vector<int64_t>& atoms, int shell,
                 int a, int b) {
  double ends = 0, sites = 0;  // ends of bonds at atoms of a
  for (int i = 0; i < bonds.species; ++i) {
    ends += static_cast<double>(bonds.at(shell, a, i)) * (i == a ? 2 : 1);
    sites += static_cast<double>(atoms[static_cast<size_t>(i)]);
  }
  return ends / sites * static_cast<double>(atoms[static_cast<size_t>(b)]) / sites;
}
}  // namespace

void LadderConfig::describe(config::Description& recipe) {
  config::Description& task = recipe.section(
      "task", "An alloy at a ladder of temperatures: curves with errors, transitions.");
  task.field("name", name_, "the task; `ocoee list tasks` shows them").required();
  system.describe(recipe, true);

  config::Description& t =
      recipe.section("temperatures", "Kelvin, or J/k_B where energies are in J; from low to high.");
  t.field("values", values, "every temperature; empty = count of them between low and high")
      .above(0);
  const auto is_ladder = [this] { return values.empty(); };
  const std::string no_values = "values are empty";
  t.field("low", low, "the lowest").at_least(0).acts_where(no_values, is_ladder);
  t.field("high", high, "the highest").at_least(0).acts_where(no_values, is_ladder);
  t.field("count", count, "how many").at_least(1).at_most(4096).acts_where(no_values, is_ladder);
  t.field("spacing", spacing, "between low and high")
      .choices({"linear", "geometric"})
      .acts_where(no_values, is_ladder);

  config::Description& s =
      recipe.section("sampling", "How each temperature is sampled. A sweep is a trial a site.");
  s.field("sampler", sampler,
          "sequential: one move after another; link_cell: many near swaps at once, on threads or a "
          "GPU, canonical, on square, sc, bcc and fcc lattices")
      .choices({"sequential", "link_cell"});
  s.field("moves", moves,
          "swaps of any two sites (far), of nearest neighbours (near), or half of each (mixed)")
      .choices({"far", "near", "mixed"})
      .acts_where("composition.ensemble = canonical", [this] { return system.canonical(); });
  s.field("start", start, "random, an ordering that the composition allows, or file")
      .choices({"random", "B2", "L1_0", "L1_2", "D0_3", "B32", "file"});
  s.field("start_file", start_file,
          "arrangements of this lattice, or of a part of the crystal that "
          "fills it "
          "in copies; one for all temperatures, or one for each from low to high, as in another "
          "run's snapshots.extxyz")
      .names_files()
      .acts_where("start = file", [this] { return start == "file"; });
  s.field("exchange", exchange, "parallel tempering: neighbouring temperatures exchange replicas");
  s.field("equilibration", equilibration, "samples at the beginning that are not used")
      .at_least(0)
      .at_most(1e9);
  s.field("samples", samples, "of each temperature").at_least(1).at_most(1e9);
  s.field("sweeps", sweeps, "between samples, and between exchanges").at_least(1).at_most(1e9);
  s.field("samples_per_round", samples_per_round,
          "a round is what is done between looks at signals and checkpoints")
      .at_least(1)
      .at_most(1e9);
  s.field("crystal_ranks", crystal_ranks,
          "ranks that share each crystal, in slabs along x; the others hold other temperatures. No "
          "number depends on it")
      .at_least(1)
      .at_most(1e6)
      .may_change_on_resume()
      .acts_where("sampler = link_cell", [this] { return sampler == "link_cell"; });
  s.field("checkpoint_every", checkpoint_every, "rounds; 0 = only at the end")
      .at_least(0)
      .at_most(1e9)
      .may_change_on_resume();

  config::Description& o = recipe.section("observables", "What is measured beside the energy.");
  o.field("order", order,
          "order parameter: that of an ordering, the magnetisation, waves of your own, or none")
      .choices({"none", "B2", "L1_0", "L1_2", "D0_3", "B32", "magnetisation", "waves"});
  o.field("waves", waves, "h, k, l of each, in units of 2 pi over the unit cell's edges")
      .acts_where("order = waves", [this] { return order == "waves"; });
  o.field("shells", shells, "coordination shells whose Warren-Cowley parameters are measured")
      .at_least(0)
      .at_most(20);
  o.field("structure_factor", structure_factor,
          "measured at every sample along (h 0 0) and (h h h), with errors");
  o.field("snapshots", snapshots,
          "arrangements of each temperature that are kept, spread evenly over the samples")
      .at_least(1)
      .at_most(1e6);
  o.field("snapshot_format", snapshot_format,
          "snapshots.extxyz, snapshots.h5 (arrays, for many), or both")
      .choices({"extxyz", "hdf5", "both"});
  o.field("reweight", reweight,
          "join all temperatures (MBAR) for curves between them and for transition temperatures")
      .may_change_on_resume();
}

std::vector<double> LadderConfig::temperatures() const {
  std::vector<double> out = values;
  if (out.empty()) {
    for (int64_t k = 0; k < count; ++k) {
      const double part = count == 1 ? 0 : static_cast<double>(k) / static_cast<double>(count - 1);
      out.push_back(spacing == "linear" ? low + (high - low) * part
                                        : low * std::pow(high / low, part));
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

int LadderConfig::counted_shells() const {
  return static_cast<int>(std::max<int64_t>(shells, system.pairs().shells));
}

std::vector<std::string> LadderConfig::columns() const {
  const alloy::PairInteractions pairs = system.pairs();
  std::vector<std::string> out{"energy"};
  if (!system.canonical()) out.emplace_back("energy less mu N");
  if (order != "none") out.emplace_back("order");
  if (!system.canonical())
    for (const std::string& name : pairs.species) out.push_back("fraction " + name);
  if (measures_domains()) {
    out.emplace_back("largest domain");
    out.emplace_back("mean domain");
  }
  for (int64_t shell = 1; shell <= shells; ++shell)
    for (const auto& [a, b] : pairs_present())
      out.push_back(fmt::format("alpha {} {}-{}", shell, pairs.species[static_cast<size_t>(a)],
                                pairs.species[static_cast<size_t>(b)]));
  const alloy::Lattice cells = system.lattice_of(1);
  for (const std::array<int, 3>& line : lines())
    for (int a = 0; a < structure_factor_species(); ++a)
      for (const double h : alloy::waves_along(cells, line))
        out.push_back(fmt::format("S {} {} {} {} {:.6g}", pairs.species[static_cast<size_t>(a)],
                                  line[0], line[1], line[2], h));
  for (const std::string& name : std::vector<std::string>(out))
    if (name.starts_with("alpha ")) out.push_back(kWeight + name);
  return out;
}

std::vector<std::pair<int, int>> LadderConfig::pairs_present() const {
  std::vector<std::pair<int, int>> out;
  const std::vector<int64_t> atoms =
      system.atoms(system.lattice_of(system.sizes().front()).sites());
  const int species = static_cast<int>(atoms.size());
  for (int a = 0; a < species; ++a)
    for (int b = a + 1; b < species; ++b)
      if (atoms[static_cast<size_t>(a)] > 0 && atoms[static_cast<size_t>(b)] > 0)
        out.emplace_back(a, b);
  return out;
}

std::vector<std::array<int, 3>> LadderConfig::lines() const {
  if (!structure_factor) return {};
  if (system.lattice.cells[2] == 1) return {{1, 0, 0}, {1, 1, 0}};
  return {{1, 0, 0}, {1, 1, 1}};
}

// Of two species each says what the other says.
int LadderConfig::structure_factor_species() const {
  const int species = system.pairs().count();
  return species == 2 ? 1 : species;
}

std::optional<int64_t> LadderConfig::snapshot(int64_t sample) const {
  const int64_t before = sample * snapshots / samples, after = (sample + 1) * snapshots / samples;
  return after > before ? std::optional(before) : std::nullopt;
}

std::vector<alloy::WaveVector> LadderConfig::wave_vectors() const {
  std::vector<alloy::WaveVector> out;
  for (size_t i = 0; i + 2 < waves.size(); i += 3)
    out.push_back({waves[i], waves[i + 1], waves[i + 2]});
  return out;
}

alloy::LinkCellSetup LadderConfig::link_cells(int64_t size, const std::vector<double>& at) const {
  const alloy::Lattice cells = system.lattice_of(size);
  return alloy::link_cell_setup(system.lattice.kind, cells.repeats(), system.pairs(), at);
}

void LadderConfig::check(config::Problems& problems, const run::RunConfig& run, int ranks) const {
  system.check(problems);
  if (crystal_ranks > 1 && sampler != "link_cell")
    problems.add("sampling.crystal_ranks", "a sequential chain runs on one rank",
                 "sampling.sampler = \"link_cell\", or 1");
  if (ranks % crystal_ranks != 0)
    problems.add(
        "sampling.crystal_ranks",
        fmt::format("{} do not divide {} rank{}", crystal_ranks, ranks, ranks == 1 ? "" : "s"),
        "a divisor of the ranks that mpirun starts");
  if (run.device == "cuda" && sampler == "sequential")
    problems.add("run.device", "sequential chains run on CPU cores, a GPU would stand idle",
                 "sampling.sampler = \"link_cell\", or run.device = \"cpu\"");
  if (values.empty() && !(low > 0 && high >= low))
    problems.add("temperatures.low", fmt::format("from {} to {} there is no ladder", low, high),
                 "0 < low <= high, or values");
  for (const auto& [key, number] :
       {std::pair{"sampling.samples", samples}, std::pair{"sampling.equilibration", equilibration}})
    if (number % samples_per_round != 0)
      problems.add(key, fmt::format("{} is no multiple of sampling.samples_per_round = {}", number,
                                    samples_per_round));
  if (snapshots > samples)
    problems.add("observables.snapshots",
                 fmt::format("{} are more than sampling.samples = {}", snapshots, samples));
  if (snapshot_format != "extxyz" && !atoms::hdf5_is_there())
    problems.add("observables.snapshot_format", "this program was built without HDF5",
                 "\"extxyz\"; or apt-get install libhdf5-dev, and build again");
  if (order == "waves" && (waves.empty() || waves.size() % 3 != 0))
    problems.add("observables.waves", fmt::format("{} numbers", waves.size()),
                 "three for each wave: h, k, l");
  if (start_file.empty() != (start != "file"))
    problems.add("sampling.start_file",
                 start_file.empty() ? "sampling.start = \"file\" without a file"
                                    : "sampling.start does not ask for a file",
                 "sampling.start = \"file\" and a file, or neither");
  if (sampler == "link_cell" && moves != "far")
    problems.add("sampling.moves", "link cells have moves of their own",
                 "leave the key out, or sampling.sampler = \"sequential\"");
  if (order == "magnetisation" && system.canonical())
    problems.add("observables.order", "at fixed composition the magnetisation never changes",
                 "the ordering that is expected, \"waves\", or composition.ensemble = "
                 "\"semi_grand\"");
  if (!problems.empty()) return;
  system.check_moves(problems, "sampling.moves", moves);
  if (!problems.empty()) return;
  if (sampler == "link_cell" && (!system.canonical() || !system.lattice.file.empty())) {
    problems.add("sampling.sampler", "link cells swap atoms of a lattice that lattice.kind names",
                 "composition.ensemble = \"canonical\" and no lattice.file, or sequential");
    return;
  }
  if (sampler == "link_cell" && system.interactions_read().has_clusters()) {
    problems.add(
        "sampling.sampler", "link cells take pair interactions, interactions.file holds clusters",
        "sequential, or pairs alone (alloy_fit with fit.triplets = 0, fit.quadruplets = 0)");
    return;
  }
  if (sampler == "link_cell" &&
      std::count(kLinkCellLattices.begin(), kLinkCellLattices.end(), system.lattice.kind) > 0) {
    const int acting = system.pairs().shells;
    const std::vector<double> there = alloy::link_cell_coordination(system.lattice.kind, acting);
    std::vector<double> here;
    for (const alloy::Shell& shell : system.shells(acting)) here.push_back(shell.coordination());
    for (size_t s = 0; s < here.size(); ++s)
      if (std::abs(here[s] - there[s]) > 1e-6) {
        problems.add("lattice.shell_tolerance",
                     fmt::format("joins shells: of {:.6g} neighbours, where link cells act on "
                                 "shells of {:.6g}",
                                 fmt::join(here, ", "), fmt::join(there, ", ")),
                     "a smaller tolerance, or sampling.sampler = \"sequential\"");
        return;
      }
  }
  for (const int64_t size : system.sizes()) {
    const alloy::Lattice cells = system.lattice_of(size);
    try {
      if (sampler == "link_cell")
        alloy::check_link_cells(link_cells(size, temperatures()), static_cast<int>(crystal_ranks));
    } catch (const Error& error) {
      problems.add("sampling.sampler", error.what());
    }
    try {
      if (order != "none") alloy::OrderParameter(order, cells, wave_vectors());
    } catch (const Error& error) {
      problems.add("observables.order", error.what());
    }
    try {
      if (start == "file")
        starts_of_file(*this, cells, 0, static_cast<int64_t>(temperatures().size()));
      else if (start != "random")
        ordered_start(system, start, cells);
    } catch (const Error& error) {
      problems.add(start == "file" ? "sampling.start_file" : "sampling.start", error.what());
    }
    if (!problems.empty()) return;
  }
}

comm::Shape LadderConfig::mesh(int ranks) const {
  comm::Shape shape;
  shape[comm::Axis::spatial] = static_cast<int>(crystal_ranks);
  shape[comm::Axis::data] = ranks / static_cast<int>(crystal_ranks);
  return shape;
}

json LadderConfig::preview(const run::RunConfig&, int ranks) const {
  const std::vector<double> ladder = temperatures();
  std::vector<std::string> lines = system.lines();
  const auto replicas = static_cast<int64_t>(ladder.size());
  const auto width = static_cast<int64_t>(columns().size());
  int64_t elements = 0, sites = 0;
  for (const int64_t size : system.sizes()) {
    const int64_t n = system.lattice_of(size).sites();
    sites += n;
    elements += replicas * (n + samples * (width + 1));
    if (size == system.sizes().back()) elements += replicas * snapshots * n;
  }
  const int64_t groups = ranks / crystal_ranks, held = (replicas + groups - 1) / groups;
  lines.push_back(fmt::format(
      "ladder: {} temperatures from {:.6g} to {:.6g} {}, {} samples each, {} sweeps between them{}",
      replicas, ladder.front(), ladder.back(), system.temperature_unit(), samples, sweeps,
      exchange ? ", with exchanges" : ""));
  lines.push_back(
      fmt::format("work: {} trials on {} rank{}",
                  format_count(static_cast<double>(equilibration + samples) *
                               static_cast<double>(sweeps) * static_cast<double>(sites * replicas)),
                  ranks, ranks == 1 ? "" : "s") +
      (crystal_ranks > 1 ? fmt::format(", {} a crystal", crystal_ranks) : ""));
  return alloy_preview(lines, elements, static_cast<double>(3 * held * sites),
                       static_cast<double>(8 * (held + replicas) * samples * (width + 1)) *
                           static_cast<double>(system.sizes().size()),
                       rounds());
}

namespace {

class LadderTask final : public run::Task {
 public:
  LadderTask(const LadderConfig& config, run::Context& context)
      : config_(config),
        context_(context),
        ladder_(config.temperatures()),
        names_(config.columns()),
        pairs_(config.pairs_present()),
        structure_factors_(config.structure_factor_species()) {
    const alloy::ClusterInteractions energies = config.system.interactions_read();
    const std::vector<alloy::Shell> shells =
        config.system.shells(std::max(1, config.counted_shells()));
    comm::Communicator& ranks = context.mesh.axis(comm::Axis::data);
    for (const int64_t size : config.system.sizes()) {
      const alloy::Lattice lattice = config.system.lattice_of(size);
      One one{size, lattice, config.system.model(lattice, energies, config.counted_shells())};
      one.weigh = config.system.moves("far", lattice, {});
      alloy::TemperingSettings settings;
      for (const double t : ladder_) settings.betas.push_back(1 / config.system.k_t(t));
      settings.moves = config.system.moves(config.moves, lattice, shells);
      settings.exchange = config.exchange;
      settings.seed = static_cast<uint64_t>(context.run.seed);
      settings.id = systems_.size();
      const alloy::Share share(static_cast<int64_t>(ladder_.size()), ranks.rank(), ranks.size());
      if (config.sampler == "link_cell" && share.count > 0) {
        const auto first = ladder_.begin() + share.first;
        alloy::LinkCellSetup cells = config.link_cells(size, {first, first + share.count});
        cells.seed = mix64(settings.seed + settings.id), cells.first_replica = share.first;
        settings.mover = std::make_shared<alloy::LinkCellMoves>(
            std::move(cells), context.mesh.device(), context.mesh.shared_axis(comm::Axis::spatial));
      }
      std::vector<std::vector<uint8_t>> start;
      if (config.start == "file") start = starts_of_file(config, lattice, share.first, share.count);
      for (int64_t row = 0; config.start != "file" && row < share.count; ++row)
        start.push_back(config.start == "random"
                            ? alloy::random_arrangement(
                                  config.system.atoms(lattice.sites()), settings.seed,
                                  static_cast<uint64_t>(share.first + row) + (settings.id << 32))
                            : ordered_start(config.system, config.start, lattice));
      one.tempering = std::make_unique<alloy::Tempering>(one.model.energy, settings, ranks, start);
      if (config.order != "none")
        one.order =
            std::make_unique<alloy::OrderParameter>(config.order, lattice, config.wave_vectors(),
                                                    config.system.fixed_atoms(lattice.sites()));
      if (config.measures_domains())
        one.domains =
            config.order == "magnetisation"
                ? std::make_unique<alloy::Domains>(one.lattice)
                : std::make_unique<alloy::Domains>(alloy::ordering(config.order), one.lattice);
      for (const std::array<int, 3>& line : config.lines())
        one.lines.emplace_back(one.lattice, line,
                               alloy::waves_along(config.system.lattice_of(1), line));
      if (keeps(one))
        one.kept.assign(
            static_cast<size_t>(share.count),
            std::vector<uint8_t>(static_cast<size_t>(config.snapshots * lattice.sites()), 0));
      const auto numbers = static_cast<size_t>(config.samples * width());
      one.series.assign(static_cast<size_t>(share.count), std::vector<double>(numbers, 0));
      one.temperature.assign(static_cast<size_t>(share.count),
                             std::vector<int32_t>(static_cast<size_t>(config.samples), 0));
      systems_.push_back(std::move(one));
    }
  }

  int64_t position() const override { return round_; }
  int64_t total() const override { return config_.rounds(); }
  int64_t checkpoint_every() const override { return config_.checkpoint_every; }
  std::string position_name() const override { return "round"; }

  void advance() override {
    const double begin = trace::now_seconds();
    const alloy::Tally before = tally();
    for (int64_t k = 0; k < config_.samples_per_round; ++k) {
      const int64_t sample = round_ * config_.samples_per_round + k - config_.equilibration;
      for (One& one : systems_) {
        one.tempering->advance(config_.sweeps);
        if (sample >= 0) measure(one, sample);
      }
    }
    ++round_;
    if (round_ % context_.run.log_every == 0 || round_ == total()) log(before, begin);
  }

  run::State state() override {
    run::State state;
    for (One& one : systems_) {
      const std::string prefix = fmt::format("size{}", one.size);
      one.tempering->add_state(prefix, state);
      const alloy::Share& share = one.tempering->share();
      run::StateArray series{
          prefix + ".series", {share.rows, config_.samples, width()}, DType::f64, {}};
      run::StateArray temperature{
          prefix + ".temperature", {share.rows, config_.samples}, DType::i32, {}};
      for (int64_t row = 0; row < share.count; ++row) {
        const auto r = static_cast<size_t>(row);
        series.pieces.push_back(
            run::host_piece({{share.first + row, 0, 0}, {1, config_.samples, width()}},
                            one.series[r].data(), DType::f64));
        temperature.pieces.push_back(run::host_piece({{share.first + row, 0}, {1, config_.samples}},
                                                     one.temperature[r].data(), DType::i32));
      }
      state.arrays.push_back(std::move(series));
      state.arrays.push_back(std::move(temperature));
      if (!keeps(one)) continue;
      const int64_t bytes = config_.snapshots * one.lattice.sites();
      run::StateArray kept{prefix + ".snapshots", {share.rows, bytes}, DType::u8, {}};
      for (int64_t row = 0; row < share.count; ++row)
        kept.pieces.push_back(run::host_piece({{share.first + row, 0}, {1, bytes}},
                                              one.kept[static_cast<size_t>(row)].data(),
                                              DType::u8));
      state.arrays.push_back(std::move(kept));
    }
    state.values["round"] = round_;
    return state;
  }
  void loaded(const json& values) override {
    round_ = values.at("round");
    for (One& one : systems_) one.tempering->loaded(fmt::format("size{}", one.size), values);
  }

  void finish() override {
    std::vector<LadderResult> results;
    for (One& one : systems_) {
      LadderResult result{one.size, one.lattice, gather(one), {}, one.tempering->round_trips(), 0};
      if (keeps(one)) result.snapshots = kept_by_temperature(one);
      int64_t tried = 0, exchanged = 0;
      for (const int64_t n : one.tempering->tried()) tried += n;
      for (const int64_t n : one.tempering->exchanged()) exchanged += n;
      result.exchange_rate =
          tried > 0 ? static_cast<double>(exchanged) / static_cast<double>(tried) : 0;
      results.push_back(std::move(result));
    }
    if (context_.world.rank() != 0) return;
    json summary = ladder_summary(config_, results, context_.folder, context_.events);
    context_.events.emit({"summary", round_, std::move(summary)});
  }

 private:
  struct One {
    int64_t size;
    alloy::Lattice lattice;
    AlloyModel model;
    alloy::Moves weigh;
    std::unique_ptr<alloy::Tempering> tempering;
    std::unique_ptr<alloy::OrderParameter> order;
    std::unique_ptr<alloy::Domains> domains;
    std::vector<alloy::StructureFactorLine> lines;
    std::vector<std::vector<double>> series;        // by held replica: [sample][column]
    std::vector<std::vector<int32_t>> temperature;  // by held replica and sample
    std::vector<std::vector<uint8_t>> kept;         // by held replica: [snapshot][site]
  };

  // Arrangements of the largest cell are kept.
  bool keeps(const One& one) const { return one.size == config_.system.sizes().back(); }
  int64_t width() const { return static_cast<int64_t>(names_.size()); }

  void measure(One& one, int64_t sample) {
    const alloy::Tempering& replicas = *one.tempering;
    for (int64_t row = 0; row < replicas.share().count; ++row) {
      const alloy::Configuration& now = replicas.replica(row);
      const std::vector<int64_t> atoms = now.composition(one.model.energy->species());
      std::vector<double> values{one.model.energy->value(replicas.energy(row))}, weights;
      if (!config_.system.canonical())
        values.push_back(one.weigh.weighed(*one.model.energy, now, replicas.energy(row)));
      if (one.order) values.push_back(one.order->of(now, one.model.energy->species()));
      if (!config_.system.canonical())
        for (const int64_t n : atoms)
          values.push_back(static_cast<double>(n) / static_cast<double>(now.sites()));
      if (one.domains) {
        const std::vector<int64_t> sizes = one.domains->sizes(now.species());
        values.push_back(static_cast<double>(sizes.front()) / static_cast<double>(now.sites()));
        values.push_back(alloy::mean_share(sizes));
      }
      if (config_.shells > 0) {
        const alloy::BondCounts bonds = one.model.bonds->count_bonds(now);
        for (int shell = 0; shell < static_cast<int>(config_.shells); ++shell)
          for (const auto& [a, b] : pairs_) {
            const double alpha = alloy::warren_cowley(bonds, atoms, shell, a, b);
            values.push_back(std::isfinite(alpha) ? alpha : 0);
            weights.push_back(at_random(bonds, atoms, shell, a, b));
          }
      }
      for (const alloy::StructureFactorLine& line : one.lines)
        for (int a = 0; a < structure_factors_; ++a)
          for (const double s : line.of(now, a)) values.push_back(s);
      values.insert(values.end(), weights.begin(), weights.end());
      const auto r = static_cast<size_t>(row);
      if (const auto slot = config_.snapshot(sample); slot && keeps(one)) {
        const std::vector<uint8_t> species = now.species();
        std::copy(species.begin(), species.end(),
                  one.kept[r].begin() + *slot * one.lattice.sites());
      }
      std::copy(values.begin(), values.end(),
                one.series[r].begin() + static_cast<std::ptrdiff_t>(sample * width()));
      one.temperature[r][static_cast<size_t>(sample)] = static_cast<int32_t>(
          replicas.temperature()[static_cast<size_t>(replicas.share().first + row)]);
    }
  }

  // The kept arrangements [temperature][snapshot], on rank 0.
  std::vector<std::vector<std::vector<uint8_t>>> kept_by_temperature(const One& one) {
    comm::Communicator& ranks = context_.mesh.axis(comm::Axis::data);
    std::string mine, together;
    std::vector<double> where;
    for (size_t r = 0; r < one.kept.size(); ++r) {
      mine.append(one.kept[r].begin(), one.kept[r].end());
      where.insert(where.end(), one.temperature[r].begin(), one.temperature[r].end());
    }
    where = alloy::gather_rows(ranks, one.tempering->share(), where, config_.samples);
    for (const std::string& part : ranks.gather_text(mine, 0)) together += part;
    if (ranks.rank() != 0) return {};
    std::vector<std::vector<std::vector<uint8_t>>> out(
        ladder_.size(), std::vector<std::vector<uint8_t>>(static_cast<size_t>(config_.snapshots)));
    const int64_t sites = one.lattice.sites();
    for (size_t r = 0; r < ladder_.size(); ++r)
      for (int64_t sample = 0; sample < config_.samples; ++sample) {
        const auto slot = config_.snapshot(sample);
        if (!slot) continue;
        const auto t = static_cast<size_t>(
            where[r * static_cast<size_t>(config_.samples) + static_cast<size_t>(sample)]);
        const auto from =
            together.begin() + (static_cast<int64_t>(r) * config_.snapshots + *slot) * sites;
        out[t][static_cast<size_t>(*slot)].assign(from, from + sites);
      }
    return out;
  }

  // From series by replica to series by temperature, on every rank.
  alloy::LadderSeries gather(One& one) {
    comm::Communicator& ranks = context_.mesh.axis(comm::Axis::data);
    const size_t columns = names_.size(), samples = static_cast<size_t>(config_.samples),
                 replicas = ladder_.size();
    std::vector<double> mine, where;
    for (size_t r = 0; r < one.series.size(); ++r) {
      mine.insert(mine.end(), one.series[r].begin(), one.series[r].end());
      where.insert(where.end(), one.temperature[r].begin(), one.temperature[r].end());
    }
    const alloy::Share& share = one.tempering->share();
    mine = alloy::gather_rows(ranks, share, mine, static_cast<int64_t>(samples * columns));
    where = alloy::gather_rows(ranks, share, where, static_cast<int64_t>(samples));

    alloy::LadderSeries out;
    out.sites = one.lattice.sites();
    for (const double t : ladder_) out.k_t.push_back(config_.system.k_t(t));
    const std::vector<std::vector<double>> empty(replicas, std::vector<double>(samples, 0));
    const bool weighs = !config_.system.canonical(), has_order = config_.order != "none";
    const size_t first = 1 + (weighs ? 1 : 0) + (has_order ? 1 : 0);
    out.energy = empty;
    if (weighs) {
      out.weighed = empty;
      out.fractions = config_.system.pairs().species.size();
    }
    if (has_order) out.order = empty;
    const auto named = names_.begin() + static_cast<std::ptrdiff_t>(first),
               end = std::find_if(named, names_.end(), is_weight);
    out.column_names.assign(named, end);
    out.columns.assign(out.column_names.size(), empty);
    std::vector<std::vector<std::vector<double>>*> places;  // of the columns from `first` on
    for (auto& column : out.columns) places.push_back(&column);
    for (auto name = end; name != names_.end(); ++name) {
      const auto of = std::find(named, end, name->substr(kWeight.size())) - named;
      places.push_back(&(out.column_weights[static_cast<size_t>(of)] = empty));
    }
    for (size_t r = 0; r < replicas; ++r) {
      for (size_t i = 0; i < samples; ++i) {
        const double* row = mine.data() + (r * samples + i) * columns;
        const auto t = static_cast<size_t>(where[r * samples + i]);
        out.energy[t][i] = row[0];
        if (weighs) out.weighed[t][i] = row[1];
        if (has_order) out.order[t][i] = row[first - 1];
        for (size_t c = first; c < columns; ++c) (*places[c - first])[t][i] = row[c];
      }
    }
    return out;
  }

  alloy::Tally tally() const {
    alloy::Tally sum;
    for (const One& one : systems_) sum += one.tempering->tally();
    return sum;
  }

  void log(const alloy::Tally& before, double begin) {
    comm::Communicator& ranks = context_.mesh.axis(comm::Axis::data);
    const One& one = systems_.back();
    const alloy::Tally now = tally();
    double sums[2] = {static_cast<double>(now.trials - before.trials),
                      static_cast<double>(now.accepted - before.accepted)};
    ranks.all_reduce({sums, 2, DType::f64, {}}, comm::Reduce::sum);
    std::vector<double> mine;
    for (int64_t row = 0; row < one.tempering->share().count; ++row)
      mine.push_back(one.model.energy->value(one.tempering->energy(row)) /
                     static_cast<double>(one.lattice.sites()));
    const std::vector<double> energies = alloy::gather_rows(ranks, one.tempering->share(), mine);
    json fields;
    for (size_t r = 0; r < energies.size(); ++r)
      if (one.tempering->temperature()[r] == 0) fields["energy"] = energies[r];
    fields["acceptance"] = sums[1] / sums[0];
    const double seconds = trace::now_seconds() - begin;
    fields["seconds"] = seconds;
    fields["trials_per_second"] = sums[0] / std::max(seconds, 1e-9);
    if (config_.exchange && ladder_.size() > 1) {
      int64_t tried = 0, exchanged = 0;
      for (const int64_t n : one.tempering->tried()) tried += n;
      for (const int64_t n : one.tempering->exchanged()) exchanged += n;
      fields["exchange_rate"] =
          tried > 0 ? static_cast<double>(exchanged) / static_cast<double>(tried) : 0.0;
    }
    fields["shown"] = {"energy", "acceptance", "exchange_rate"};
    context_.events.emit({"step", round_, std::move(fields)});
  }

  LadderConfig config_;
  run::Context& context_;
  std::vector<double> ladder_;
  std::vector<std::string> names_;          // of a sample's columns
  std::vector<std::pair<int, int>> pairs_;  // of species that are there
  int structure_factors_;                   // species that they are measured of
  std::vector<One> systems_;
  int64_t round_ = 0;
};

run::DebugRecipe debug_ladder(const std::filesystem::path&) {
  return {
      "version = 1\n"
      "[task]\nname = \"alloy_ladder\"\n"
      "[lattice]\nkind = \"bcc\"\ncells = [4, 4, 4]\n"
      "[interactions]\nmodel = \"ising\"\ncoupling = -1\n"
      "[temperatures]\nlow = 2\nhigh = 4\ncount = 2\n"
      "[sampling]\nequilibration = 4\nsamples = 8\nsweeps = 1\nsamples_per_round = 1\n"
      "checkpoint_every = 3\n"
      "[observables]\norder = \"B2\"\nreweight = false\n",
      "energy", -2.5};
}

}  // namespace

run::TaskType alloy_ladder_task() {
  return {"alloy_ladder",
          "an alloy at a ladder of temperatures: curves with errors, transition temperatures",
          [] { return std::make_unique<LadderConfig>(); },
          [](const run::TaskConfig& config, run::Context& context) -> std::unique_ptr<run::Task> {
            return std::make_unique<LadderTask>(dynamic_cast<const LadderConfig&>(config), context);
          },
          debug_ladder};
}

}  // namespace ocoee::tasks
