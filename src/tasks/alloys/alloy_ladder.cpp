// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/alloy_ladder.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/text.h"
#include "science/atoms/arrangements.h"
#include "tasks/alloys/ladder_starts.h"
#include "tasks/registry.h"

namespace ocoee::tasks {

using nlohmann::json;

namespace {
const std::vector<std::string> kLinkCellLattices{"square", "sc", "bcc", "fcc"};
}

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
    if (!system.canonical() && name.starts_with("alpha "))
      out.push_back(std::string(kWeight) + name);
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
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
    problems.add("temperatures.values", fmt::format("{} stands there twice", *twice),
                 "each temperature once; sampling.samples says how long it is sampled");
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
          [] { return std::make_unique<LadderConfig>(); }, build_alloy_ladder, debug_ladder};
}

}  // namespace ocoee::tasks
