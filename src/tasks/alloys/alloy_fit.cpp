// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/alloy_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "core/text.h"
#include "science/alloy/training_set.h"
#include "science/atoms/formats.h"
#include "tasks/registry.h"

namespace ocoee::tasks {

void AlloyFitConfig::describe(config::Description& recipe) {
  config::Description& task = recipe.section(
      "task", "Energies of arrangements on a lattice, and the interactions that explain them.");
  task.field("name", name_, "the task; `ocoee list tasks` shows them").required();
  task.field("checkpoint_every", checkpoint_every, "blocks of structures; 0 = only at the end")
      .at_least(0)
      .may_change_on_resume();

  lattice.describe(recipe.section(
      "lattice", "Where the atoms sit; `cells` are those of the structures that are made."));

  config::Description& d =
      recipe.section("data", "Which structures, and where energies come from.");
  d.field("species", data.species, "names of the species; the order that other keys follow")
      .required();
  d.field("energies", data.energies,
          "lammps: computed, also those of files; files: as the files state them")
      .choices({"lammps", "files"});
  constexpr const char* kComputed = "data.energies = lammps";
  const auto computes = [this] { return data.energies == "lammps"; };
  d.field("random", data.random, "random structures that are made, of every composition")
      .at_least(0)
      .at_most(1e6)
      .acts_where(kComputed, computes);
  d.field("ordered", data.ordered,
          "structures that are made from known orderings (L1_2, B2, ...), disordered by degrees")
      .at_least(0)
      .at_most(1e6)
      .acts_where(kComputed, computes);
  d.field("files", data.files, "POSCAR, extended XYZ or info_evec_out files with more structures")
      .names_files();
  d.field("check_files", data.check_files,
          "structures that are never fitted to: the model is held against them at the end")
      .names_files();
  d.field(
      "edges", data.edges,
      "of info_evec_out files, which hold none, angstrom: three at right angles, or nine numbers, "
      "row after row");
  d.field("test_fraction", data.test_fraction,
          "share of the structures that is held out, rounded up, evenly over compositions")
      .above(0)
      .at_most(0.5);
  d.field("block", data.block, "structures between two fits").at_least(1).at_most(1e6);
  d.field("cache", data.cache, "folder of computed energies; empty = below Ocoee's own cache")
      .may_change_on_resume()
      .acts_where(kComputed, computes);

  config::Description& f = recipe.section("fit", "What is fitted, and how.");
  f.field("method", fit.method,
          "evidence: Bayesian, shrinkage and noise by maximum evidence; leave_one_out: ridge with "
          "the smallest leave-one-out error; ridge: lambda as given; least_squares")
      .choices({"evidence", "leave_one_out", "ridge", "least_squares"});
  f.field("lambda", fit.lambda, "how strongly values are shrunk")
      .at_least(0)
      .acts_where("method = ridge", [this] { return fit.method == "ridge"; });
  f.field("shells", fit.shells, "coordination shells of pairs; 0 = as many as BIC says")
      .at_least(0)
      .at_most(30);
  f.field("max_shells", fit.max_shells, "where BIC stops looking")
      .at_least(1)
      .at_most(30)
      .acts_where("shells = 0", [this] { return fit.shells == 0; });
  f.field("triplets", fit.triplets, "shells within which the pairs of a triplet lie; 0 = none")
      .at_least(0)
      .at_most(6);
  f.field("quadruplets", fit.quadruplets, "the same for quadruplets").at_least(0).at_most(6);
  f.field("folds", fit.folds, "of the learning curve")
      .at_least(2)
      .at_most(1000)
      .acts_where("learning_points > 0", [this] { return fit.learning_points > 0; });
  f.field("learning_points", fit.learning_points, "of the learning curve; 0 = none")
      .at_least(0)
      .at_most(1000);

  config::Description& program =
      recipe.section("lammps", lammps, "The program that computes energies.");
  for (config::Field& field : program.fields()) field.acts_where(kComputed, computes);
}

void AlloyFitConfig::check(config::Problems& problems, const run::RunConfig&, int) const {
  const std::set<std::string> different(data.species.begin(), data.species.end());
  if (data.species.size() < 2 || data.species.size() > 16 ||
      different.size() != data.species.size())
    problems.add("data.species", "an alloy has from 2 to 16 species with different names");
  lattice.check(problems);
  if (data.energies == "lammps" && lattice.file.empty() && lattice.a == 0)
    problems.add("lattice.a", "LAMMPS computes energies of an edge, and none is given",
                 "that of the conventional cell, in angstrom");
  if (data.energies == "files" && data.files.empty())
    problems.add("data.files", "energies shall come from files, but there are none",
                 "name them, or data.energies = \"lammps\"");
  if (data.energies == "lammps") {
    const size_t wanted = lammps.pair_style == "eam" ? data.species.size() : 1;
    if (lammps.potentials.size() != wanted)
      problems.add(
          "lammps.potentials",
          fmt::format("pair_style {} needs {} potential file{}, but {} are given",
                      lammps.pair_style, wanted, wanted == 1 ? "" : "s", lammps.potentials.size()),
          "one for each of data.species, in their order; or one for all with eam/alloy");
    if (data.random + data.ordered == 0 && data.files.empty())
      problems.add("data.random", "there are no structures to fit to",
                   "let some be made (data.random, data.ordered), or name data.files");
  }
  for (const bool is_check : {false, true}) {
    for (const std::string& file : is_check ? data.check_files : data.files) {
      try {
        for (const atoms::Frame& frame : frames_of(file))
          atoms::with_species_names(frame.structure, data.species, file);
      } catch (const Error& error) {
        problems.add(is_check ? "data.check_files" : "data.files", error.what());
      }
    }
  }
  const int64_t reach = std::max(fit.triplets, fit.quadruplets);
  if (reach > most_shells())
    problems.add(
        fit.triplets >= fit.quadruplets ? "fit.triplets" : "fit.quadruplets",
        fmt::format("clusters reach to shell {}, pairs only to shell {}", reach, most_shells()),
        "raise fit.shells (or fit.max_shells), or let clusters reach less far");
  const bool cells_stay = lammps.relax == "none" || lammps.relax == "atoms";
  if (problems.empty() && data.energies == "lammps" && cells_stay) check_volumes(problems);
  if (problems.empty() && data.energies == "lammps") {
    atoms::LammpsConfig program = lammps;
    program.species = data.species;
    try {
      atoms::find_potentials(program);
    } catch (const Error& error) {
      problems.add("lammps.potentials", error.what());
    }
  }
}

// Where LAMMPS leaves cells as they are, energies of another volume are those of another model.
void AlloyFitConfig::check_volumes(config::Problems& problems) const {
  constexpr double kAlike = 1e-3;
  const double wanted = alloy::site_volume(lattice.unit_cell());
  for (const bool is_check : {false, true}) {
    for (const std::string& file : is_check ? data.check_files : data.files) {
      int number = 0;
      for (const atoms::Frame& frame : frames_of(file)) {
        ++number;
        const double there =
            atoms::volume(frame.structure) / static_cast<double>(frame.structure.size());
        if (std::abs(there / wanted - 1) <= kAlike) continue;
        problems.add(
            is_check ? "data.check_files" : "data.files",
            fmt::format("{} frame {} has {:.6g} cubic angstrom an atom, [lattice] {:.6g}, and "
                        "LAMMPS leaves cells as they are: the energies would be of two models",
                        file, number, there, wanted),
            (lattice.file.empty()
                 ? fmt::format("lattice.a = {:.6g}, ", lattice.a * std::cbrt(there / wanted))
                 : "") +
                std::string("structures of one volume, or lammps.relax = \"volume\""));
        break;
      }
    }
  }
}

comm::Shape AlloyFitConfig::mesh(int ranks) const {
  comm::Shape shape;
  shape[comm::Axis::data] = ranks;
  return shape;
}

std::vector<atoms::Frame> AlloyFitConfig::frames_of(const std::string& file) const {
  return atoms::read_structures(file,
                                atoms::is_info_evec(file) ? data.edges : std::vector<double>{});
}

alloy::FeatureSpace AlloyFitConfig::features() const {
  return {lattice.unit_cell(),
          data.species,
          static_cast<int>(most_shells()),
          static_cast<int>(fit.triplets),
          static_cast<int>(fit.quadruplets),
          lattice.shell_tolerance};
}

alloy::Shrinkage AlloyFitConfig::shrinkage() const {
  if (fit.method == "evidence") return alloy::Shrinkage::evidence;
  if (fit.method == "leave_one_out") return alloy::Shrinkage::leave_one_out;
  return fit.method == "ridge" ? alloy::Shrinkage::given : alloy::Shrinkage::none;
}

nlohmann::json AlloyFitConfig::preview(const run::RunConfig&, int ranks) const {
  int64_t made = 0, read = 0;
  if (data.energies == "lammps") {
    made = static_cast<int64_t>(
        alloy::training_set(lattice.crystal(), data.species, data.random, data.ordered, 1).size());
  }
  for (const auto& files : {data.files, data.check_files}) {
    for (const std::string& file : files) read += static_cast<int64_t>(frames_of(file).size());
  }
  const int64_t structures = made + read;
  const alloy::FeatureSpace space = features();
  const auto sites = static_cast<double>(lattice.crystal().sites());
  const double bytes =
      static_cast<double>(structures + 1) * (40 * sites + 8 * static_cast<double>(space.columns()));
  nlohmann::json out;
  out["state_elements"] = structures;  // an energy each
  out["flops_per_step"] = 2.0 * static_cast<double>(structures + 1) *
                          static_cast<double>(space.columns() * space.columns());
  out["memory_bytes"] = {{"structures", bytes}};
  out["memory_total_bytes"] = bytes;
  out["lines"] = {
      fmt::format("samples: {} structures of {:.0f} sites are made, {} come from files", made,
                  sites, read),
      data.energies == "lammps"
          ? fmt::format(
                "energies: LAMMPS, pair_style {} ({}), relaxed: {}; {} process{} side by side",
                lammps.pair_style, join(lammps.potentials, ", "), lammps.relax,
                ranks * lammps.workers, ranks * lammps.workers == 1 ? "" : "es")
          : "energies: as the files state them",
      fmt::format(
          "parameters: at most {} ({} species, {} shells of pairs, clusters within shell {}); "
          "{} a fit",
          space.columns(), data.species.size(), most_shells(),
          std::max(fit.triplets, fit.quadruplets),
          format_flops(out["flops_per_step"].get<double>())),
      fmt::format("memory per rank, at most: {} (structures)", format_bytes(bytes))};
  if (const std::string missing = atoms::program_missing(lammps);
      data.energies == "lammps" && !missing.empty())
    out["lines"].push_back("not on this host: " + missing);
  return out;
}

namespace {

// Energies of a planted pair model, in a file; a few structures say little, all of them everything.
run::DebugRecipe debug_alloy_fit(const std::filesystem::path& folder) {
  const alloy::Lattice lattice(alloy::lattice_cell("bcc", 3), {3, 3, 3});
  const std::vector<std::string> species = {"A", "B", "C"};
  const alloy::FeatureSpace space(lattice.cell(), species, 3);
  std::string text;
  for (const alloy::Arranged& entry : alloy::training_set(lattice, species, 60, 0, 1)) {
    atoms::Frame frame;
    frame.structure = alloy::structure_of(lattice, entry.species, species);
    double energy = 0;
    const std::vector<double> features = space.of(lattice, entry.species);
    for (size_t j = 0; j < features.size(); ++j)
      energy += features[j] * RandomStream(1, Purpose::plugin_first, 0, j).normal();
    frame.energy = energy * static_cast<double>(lattice.sites());
    text += atoms::write_extxyz(frame);
  }
  write_file_atomically(folder / "planted.extxyz", text);
  return {fmt::format("version = 1\n[task]\nname = \"alloy_fit\"\n"
                      "[lattice]\nkind = \"bcc\"\n"
                      "[data]\nspecies = [\"A\", \"B\", \"C\"]\nenergies = \"files\"\nfiles = "
                      "[\"{}\"]\nblock = 8\n"
                      "[fit]\nmax_shells = 4\n",
                      (folder / "planted.extxyz").string()),
          "held_out_rmse_mev", 1e-4};
}

}  // namespace

run::TaskType alloy_fit_task() {
  return {"alloy_fit", "interactions of an alloy from energies of structures (LAMMPS, or files)",
          [] { return std::make_unique<AlloyFitConfig>(); }, build_alloy_fit, debug_alloy_fit};
}

}  // namespace ocoee::tasks
