// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/lammps.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "data/content_hash.h"
#include "run/launcher.h"
#include "science/atoms/text_lines.h"

namespace ocoee::atoms {
namespace {

constexpr double kLargestPressure = 1000;  // bar that count as none, after the cell was relaxed

bool has_file_for_each_species(const std::string& style) {
  return style == "eam";
}

// The second line of a funcfl file begins with the atomic number.
void check_element(const std::filesystem::path& file, const std::string& species) {
  std::istringstream stream(read_file(file));
  std::string title;
  int number = 0;
  std::getline(stream, title);
  if (!(stream >> number) || number == atomic_number(species)) return;
  fail(ErrorKind::config,
       "{}: it is a potential of {}, given for {}\n    fix: a file for each species, in the order "
       "of the species",
       file.string(), element_symbol(number).value_or(std::to_string(number)), species);
}

std::filesystem::path find_potential(const std::string& name) {
  std::vector<std::filesystem::path> places = {"."};
  if (const char* folders = std::getenv("LAMMPS_POTENTIALS")) {
    for (const std::string& folder : split(folders, ':')) places.emplace_back(folder);
  }
  places.emplace_back("/usr/share/lammps/potentials");
  std::error_code ignored;
  for (const std::filesystem::path& place : places) {
    const std::filesystem::path candidate = place / name;  // `name` alone where it is absolute
    if (std::filesystem::is_regular_file(candidate, ignored))
      return std::filesystem::absolute(candidate);
  }
  fail(ErrorKind::config,
       "{}: there is no such potential (looked here, in $LAMMPS_POTENTIALS and in "
       "/usr/share/lammps/potentials)\n    fix: give its path, or apt-get install lammps-data",
       name);
}

// "Large-scale Atomic/Molecular Massively Parallel Simulator - 29 Sep 2021 - Update 2"
std::string ask_version(const std::string& program, const std::filesystem::path& scratch) {
  run::ChildJob job;
  job.command = {program, "-h"};
  job.folder = scratch / "version";
  job.timeout = 60;
  const run::ChildEnd end = run::run_child(job);
  const std::string said = read_file(job.folder / "stdout");
  std::filesystem::remove_all(job.folder);
  const size_t at = said.find("Simulator - ");
  if (!end.succeeded() || at == std::string::npos) {
    fail(ErrorKind::config, "{} -h: this is no LAMMPS: {}{}", program, end.text(),
         said.empty() ? "" : " and said '" + said.substr(0, 60) + "'");
  }
  return said.substr(at + 12, said.find('\n', at) - at - 12);
}

// The line in which LAMMPS says why it stopped.
std::string error_line(const std::filesystem::path& folder) {
  for (const char* name : {"stdout", "stderr"}) {
    std::error_code missing;
    if (!std::filesystem::exists(folder / name, missing)) continue;
    const std::string said = read_file(folder / name);
    const size_t at = said.rfind("ERROR");
    if (at != std::string::npos)
      return ": " + said.substr(at, std::min(said.find('\n', at) - at, size_t{300}));
  }
  return "";
}

}  // namespace

void LammpsConfig::describe(config::Description& d) {
  d.field("program", program, "LAMMPS: a path, or a name in PATH");
  d.field("pair_style", pair_style,
          "LAMMPS' pair_style; `eam` takes a file for each species, others (`eam/alloy`, "
          "`eam/fs`) one for all");
  d.field("potentials", potentials,
          "potential files: paths, or names in $LAMMPS_POTENTIALS or among those that Debian's "
          "lammps-data brings")
      .names_files();
  d.field("relax", relax,
          "what moves before the energy is taken: nothing, the atoms, also the cell's volume, or "
          "also its shape")
      .choices({"none", "atoms", "volume", "cell"});
  d.field("force_tolerance", force_tolerance, "largest force component that counts as relaxed")
      .above(0)
      .unit("eV/angstrom")
      .acts_where("relax = atoms, volume or cell", [this] { return relax != "none"; });
  d.field("timeout", timeout, "without a new energy: the process is killed as hung")
      .above(0)
      .unit("seconds")
      .may_change_on_resume();
  d.field("attempts", attempts, "how often a structure that fails is tried")
      .at_least(1)
      .may_change_on_resume();
  d.field("batch", batch, "structures a process").at_least(1).may_change_on_resume();
  d.field("workers", workers, "processes side by side, a rank").at_least(1).may_change_on_resume();
}

std::vector<std::filesystem::path> find_potentials(const LammpsConfig& config) {
  const bool one_each = has_file_for_each_species(config.pair_style);
  const size_t wanted = one_each ? config.species.size() : 1;
  if (config.potentials.size() != wanted) {
    fail(ErrorKind::config, "pair_style {} needs {} potential file{} for {}, but {} are given",
         config.pair_style, wanted, wanted == 1 ? "" : "s", join(config.species, ", "),
         config.potentials.size());
  }
  std::vector<std::filesystem::path> files;
  for (const std::string& name : config.potentials) {
    files.push_back(find_potential(name));
    if (one_each) check_element(files.back(), config.species[files.size() - 1]);
  }
  return files;
}

std::string program_missing(const LammpsConfig& config) {
  if (!run::find_program(config.program).empty()) return "";
  return fmt::format("{}: there is no such program{}", config.program,
                     config.program.find('/') == std::string::npos ? " in PATH" : "");
}

Lammps::Lammps(LammpsConfig config, std::filesystem::path cache,
               const std::filesystem::path& scratch)
    : config_(std::move(config)),
      cache_(std::move(cache)),
      scratch_(std::filesystem::absolute(scratch)) {
  potentials_ = nlohmann::json::array();
  files_ = find_potentials(config_);
  for (const std::filesystem::path& file : files_)
    potentials_.push_back(
        {file.filename().string(), fmt::format("{:016x}", data::content_hash_of_file(file))});
  if (const std::string missing = program_missing(config_); !missing.empty())
    fail(ErrorKind::config,
         "{}\n    fix: apt-get install lammps, or name another one by the key `lammps.program`",
         missing);
  version_ = ask_version(config_.program, scratch_);
}

nlohmann::json Lammps::question(const Structure& structure) const {
  nlohmann::json question = {{"program", "LAMMPS " + version_},  {"pair_style", config_.pair_style},
                             {"potentials", potentials_},        {"species", config_.species},
                             {"relax", config_.relax},           {"cell", structure.cell},
                             {"positions", structure.positions}, {"atoms", structure.species}};
  if (config_.relax != "none") question["force_tolerance"] = config_.force_tolerance;
  return question;
}

std::string Lammps::commands(const std::string& data_file, size_t number) const {
  std::string out =
      "clear\nunits metal\nboundary p p p\natom_style atomic\nbox tilt large\nread_data " +
      data_file + "\npair_style " + config_.pair_style + "\n";
  if (has_file_for_each_species(config_.pair_style)) {
    for (size_t i = 0; i < files_.size(); ++i)
      out += fmt::format("pair_coeff {0} {0} {1}\n", i + 1, files_[i].string());
  } else {
    out += fmt::format("pair_coeff * * {} {}\n", files_[0].string(), join(config_.species, " "));
  }
  out += "thermo_style custom step pe fmax press vol\nthermo_modify norm no\n";
  if (config_.relax != "none") {
    if (config_.relax != "atoms")
      out += fmt::format("fix box all box/relax {} 0.0 vmax 0.01\n",
                         config_.relax == "volume" ? "iso" : "tri");
    // Twice, since the stress refers to the cell with which a minimisation began. The bound is on
    // the norm of all forces, so no component exceeds it; the last digits of an energy end it, too.
    const std::string minimize = fmt::format(
        "min_modify line quadratic\nminimize 1e-15 {} 2000 20000\n", config_.force_tolerance / 2);
    out += minimize + minimize + (config_.relax == "atoms" ? "" : "unfix box\n");
  }
  return out + "run 0\n" +
         fmt::format(
             "print \"{} $(pe:%.17g) $(vol:%.17g) $(fmax:%.9g) $(press:%.9g)\" append energies "
             "screen no\n",
             number);
}

// One process, and what it says of its structures.
class Lammps::Batch {
 public:
  Batch(Lammps& lammps, const std::vector<Structure>& structures, std::vector<size_t> members)
      : lammps_(lammps), members_(std::move(members)) {
    job_.command = {lammps.config_.program, "-in", "in.lammps", "-log", "none"};
    job_.folder = lammps.scratch_ / fmt::format("{}-{}", members_.front(), members_.size());
    // A rank's process is one thread of one core, and a world of its own.
    job_.environment = {{"OMP_NUM_THREADS", "1"}, {"OMPI_MCA_ess_singleton_isolated", "1"}};
    job_.timeout = lammps.config_.timeout;
    job_.grows = "energies";
    std::string script;
    for (size_t i = 0; i < members_.size(); ++i) {
      const std::string name = fmt::format("{}.data", i);
      job_.files[name] = lammps_data(structures[members_[i]], lammps.config_.species);
      script += lammps.commands(name, i);
    }
    job_.files["in.lammps"] = script;
  }

  // `told(structure, label)` for each structure of which something was said, while the process
  // runs. At the end one more where the process stopped before its time: its label is not ok.
  void run(const std::function<void(size_t, const Label&)>& told) {
    std::filesystem::remove_all(job_.folder);  // of a killed run
    const auto read = [&] { read_energies(told); };
    job_.grown = read;
    const run::ChildEnd end = run::run_child(job_);
    read();
    if (next_ == members_.size()) {
      if (!failed_) std::filesystem::remove_all(job_.folder);
      return;
    }
    told(members_[next_],
         problem(end.succeeded() ? "LAMMPS ended without an energy" + error_line(job_.folder)
                                 : "LAMMPS " + end.text() + error_line(job_.folder)));
  }

 private:
  Label problem(const std::string& text) {
    failed_ = true;
    Label label;
    label.problem = fmt::format("{} (its files: {})", text, job_.folder.string());
    return label;
  }

  // The whole lines that were not read yet: number, energy, volume, force, pressure.
  void read_energies(const std::function<void(size_t, const Label&)>& told) {
    std::error_code missing;
    if (!std::filesystem::exists(job_.folder / "energies", missing)) return;
    const std::string said = read_file(job_.folder / "energies");
    for (size_t end = said.find('\n', read_); end != std::string::npos && next_ < members_.size();
         end = said.find('\n', read_)) {
      const std::string line = said.substr(read_, end - read_);
      read_ = end + 1;
      told(members_[next_], label_of(line));
      ++next_;
    }
  }

  Label label_of(const std::string& line) {
    const std::vector<std::string_view> words = words_of(line);
    if (words.size() != 5 || words[0] != std::to_string(next_))
      return problem(fmt::format("LAMMPS said '{}' where an energy was expected", line));
    std::array<double, 4> values{};
    for (size_t i = 0; i < 4; ++i) {
      const std::optional<double> value = number_of<double>(words[i + 1]);
      if (!value || !std::isfinite(*value))
        return problem(fmt::format("LAMMPS printed '{}' for the {}", words[i + 1],
                                   std::array{"energy", "volume", "largest force", "pressure"}[i]));
      values[i] = *value;
    }
    const LammpsConfig& config = lammps_.config_;
    const bool moves_cell = config.relax == "volume" || config.relax == "cell";
    if (config.relax != "none" && values[2] > config.force_tolerance)
      return problem(fmt::format("it did not relax: the largest force is still {:.3g} eV/angstrom",
                                 values[2]));
    if (moves_cell && std::abs(values[3]) > kLargestPressure)
      return problem(
          fmt::format("its cell did not relax: the pressure is still {:.3g} bar", values[3]));
    Label label;
    label.ok = true;
    label.energy = values[0];
    label.volume = values[1];
    label.largest_force = values[2];
    return label;
  }

  Lammps& lammps_;
  std::vector<size_t> members_;
  run::ChildJob job_;
  size_t read_ = 0;  // bytes
  size_t next_ = 0;  // member
  bool failed_ = false;
};

std::vector<Label> Lammps::energies(const std::vector<Structure>& given,
                                    const std::function<void(int64_t)>& progress) {
  std::vector<Structure> structures;
  for (size_t i = 0; i < given.size(); ++i) {
    require_sound(given[i], fmt::format("structure {}", i + 1));
    structures.push_back(
        with_species_names(given[i], config_.species, fmt::format("structure {}", i + 1)));
  }
  std::vector<Label> labels(structures.size());
  std::vector<size_t> pending;
  int64_t done = 0;
  for (size_t i = 0; i < structures.size(); ++i) {
    if (const std::optional<nlohmann::json> answer = cache_.find(question(structures[i]))) {
      Label& label = labels[i];
      label.ok = label.cached = true;
      label.energy = answer->at("energy");
      label.volume = answer->at("volume");
      label.largest_force = answer->at("largest_force");
      ++done;
    } else {
      pending.push_back(i);
    }
  }
  if (progress) progress(done);

  std::vector<int64_t> attempts(structures.size());
  std::mutex guard;
  const auto told = [&](size_t i, const Label& label) {
    if (label.ok) {
      cache_.keep(question(structures[i]), {{"energy", label.energy},
                                            {"volume", label.volume},
                                            {"largest_force", label.largest_force}});
    }
    const std::lock_guard lock(guard);
    labels[i] = label;
    if (!label.ok && ++attempts[i] < config_.attempts) return;
    attempts[i] = config_.attempts;  // settled
    ++done;
    if (progress) progress(done);
  };
  while (!pending.empty()) {
    // Those that failed go alone; the others are shared out evenly.
    std::vector<std::vector<size_t>> batches;
    const size_t share = (pending.size() + static_cast<size_t>(config_.workers) - 1) /
                         static_cast<size_t>(config_.workers);
    const size_t size = std::min(share, static_cast<size_t>(config_.batch));
    bool last_is_open = false;
    for (const size_t i : pending) {
      const bool alone = attempts[i] > 0;
      if (alone || !last_is_open || batches.back().size() == size) batches.emplace_back();
      batches.back().push_back(i);
      last_is_open = !alone;
    }
    run::run_side_by_side(batches.size(), static_cast<int>(config_.workers),
                          [&](size_t b) { Batch(*this, structures, batches[b]).run(told); });
    std::erase_if(pending, [&](size_t i) { return attempts[i] >= config_.attempts; });
  }
  return labels;
}

std::string lammps_data(const Structure& s, const std::vector<std::string>& species) {
  // Lengths and dot products of the cell vectors give the turned cell; a left-handed cell is seen
  // in a mirror, which no energy notices.
  const auto dot = [](const Vector3& a, const Vector3& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  };
  const auto& [a, b, c] = s.cell;
  const double lx = std::sqrt(dot(a, a)), xy = dot(b, a) / lx, ly = std::sqrt(dot(b, b) - xy * xy);
  const double xz = dot(c, a) / lx, yz = (dot(b, c) - xy * xz) / ly,
               lz = std::sqrt(dot(c, c) - xz * xz - yz * yz);
  // The same lattice with the smallest tilts.
  const double b_turns = std::round(xy / lx), c_turns_b = std::round(yz / ly);
  const double short_xy = xy - b_turns * lx;
  double short_xz = xz - c_turns_b * short_xy;
  short_xz -= std::round(short_xz / lx) * lx;
  std::string out = fmt::format("{}\n\n{} atoms\n{} atom types\n",
                                s.comment.empty() ? "ocoee" : s.comment, s.size(), species.size());
  out += fmt::format(
      "0 {:.17g} xlo xhi\n0 {:.17g} ylo yhi\n0 {:.17g} zlo zhi\n{:.17g} {:.17g} {:.17g} xy xz yz\n",
      lx, ly, lz, short_xy, short_xz, yz - c_turns_b * ly);
  out += "\nMasses\n\n";
  for (size_t i = 0; i < species.size(); ++i) {
    const int number = atomic_number(species[i]);
    out += fmt::format("{} {}\n", i + 1, number == 0 ? 1.0 : atomic_mass(number));
  }
  out += "\nAtoms # atomic\n\n";
  for (int64_t i = 0; i < s.size(); ++i) {
    const Vector3& f = s.positions[static_cast<size_t>(i)];
    const auto inside = [](double x) { return x - std::floor(x); };
    const double u = inside(f[0]), v = inside(f[1]), w = inside(f[2]);
    out +=
        fmt::format("{} {} {:.17g} {:.17g} {:.17g}\n", i + 1, s.species[static_cast<size_t>(i)] + 1,
                    u * lx + v * xy + w * xz, v * ly + w * yz, w * lz);
  }
  return out;
}

}  // namespace ocoee::atoms
