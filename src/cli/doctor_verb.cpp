// SPDX-License-Identifier: Apache-2.0
// ocoee doctor: what this machine is, which parts of Ocoee work on it, and how to mend those that
// do not.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>

#include "cli/engine.h"
#include "cli/verbs.h"
#include "comm/world.h"
#include "core/error.h"
#include "core/file.h"
#include "core/host.h"
#include "core/text.h"
#include "core/version.h"
#include "data/store.h"
#include "device/device.h"
#include "run/run_directory.h"
#include "tasks/builders.h"

namespace ocoee::cli {
namespace {

int problems = 0;

void good(const char* part, const std::string& text) {
  std::printf("  ok    %-14s %s\n", part, text.c_str());
}
void bad(const char* part, const std::string& text, const std::string& fix) {
  ++problems;
  std::printf("  --    %-14s %s\n        %-14s fix: %s\n", part, text.c_str(), "", fix.c_str());
}

void note(const std::string& text) {
  std::printf("        %-14s %s\n", "", text.c_str());
}

void check_mpi(const comm::World& world) {
  const comm::MpiHere mpi = comm::mpi_here();
  const std::string own = "built with " + mpi.built_with;
  const comm::Launcher launcher = comm::detect_launcher();
  if (launcher != comm::Launcher::none)
    good("MPI", fmt::format("{} ranks by {}; {}", world.size(), comm::name_of(launcher), own));
  else if (mpi.launcher.empty())
    bad("MPI", own + ", but there is no mpirun: only one rank can run",
        "apt-get install openmpi-bin, or load the cluster's MPI module; under Slurm srun does");
  else if (!mpi.same_family)
    bad("MPI",
        fmt::format("{}, but mpirun is \"{}\": each rank would think that it is alone", own,
                    mpi.launcher),
        "put the mpirun of the MPI that this program was built with first in PATH, or build anew "
        "with this one");
  else if (!mpi.needs.empty())
    bad("MPI", own + ", but Open MPI starts nothing as root", mpi.needs);
  else
    good("MPI", fmt::format("{}; mpirun is \"{}\"; `mpirun -n N ocoee ...` starts N ranks", own,
                            mpi.launcher));
  if (launcher == comm::Launcher::none && !mpi.for_more.empty())
    note(fmt::format("more ranks than the {} core{} here: {}", mpi.slots, mpi.slots == 1 ? "" : "s",
                     mpi.for_more));
}

// Looks, and leaves nothing behind.
void check_writable(const char* part, const std::filesystem::path& folder) {
  std::error_code error;
  const std::filesystem::path there = nearest_existing(folder);
  const bool works =
      std::filesystem::is_directory(there, error) && ::access(there.c_str(), W_OK | X_OK) == 0;
  const auto space = std::filesystem::space(there, error);
  if (works)
    good(part,
         folder.string() + ", " + format_bytes(static_cast<double>(space.available)) + " free");
  else
    bad(part, folder.string() + " cannot be written",
        "check the permissions, or set run.dir (runs) or OCOEE_CACHE (cache)");
}

// Where the part with LibTorch cannot start, this one tells of everything else.
std::optional<Error> enter_engine_if_it_starts() {
  try {
    enter_engine();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

void check_training(const std::optional<Error>& broken) {
  if (broken) {
    const ErrorText said = split_fix(broken->what());
    bad("training", said.what, said.fix.empty() ? "./dev build" : said.fix);
  } else if (tasks::builder_of("genome_lm")) {
    good("training", "LibTorch is in this program");
  } else {
    bad("training", "this program was built without LibTorch", "./dev build");
  }
}

int doctor() {
  const std::optional<Error> broken = enter_engine_if_it_starts();
  std::printf("ocoee %s\n", kVersion);
  comm::World world = comm::World::start();
  if (world.rank() != 0) return 0;
  const auto environment = run::environment(world, {});
  const int cores = host_cores(), usable = static_cast<int>(usable_cores().size());
  std::printf("  host  %s, %d cores%s (%s), %s\n", world.hosts()[0].c_str(), cores,
              usable < cores ? fmt::format(", {} of them for this process", usable).c_str() : "",
              environment.value("cpu", std::string("?")).c_str(),
              environment["host_memory"].get<std::string>().c_str());
  check_training(broken);
  check_mpi(world);
  if (!device::built_with_cuda())
    bad("GPU", "this program was built without CUDA",
        "./dev cuda, on a machine with a GPU; CPUs work without it");
  else if (device::cuda_device_count() == 0)
    bad("GPU", device::cuda_unavailable_reason(), "check `nvidia-smi`");
  else {
    for (int i = 0; i < device::cuda_device_count(); ++i) {
      const auto p = device::properties({device::Kind::cuda, i});
      good("GPU", p.name + ", " + format_bytes(static_cast<double>(p.memory_bytes)));
    }
  }
  if (const double left = run::slurm_seconds_left(); left >= 0)
    good("Slurm", format_seconds(left) + " left of this job");
  check_writable("runs", "runs");
  check_writable("cache", data::default_cache_folder());
  const char* genome = "data/ecoli_mg1655.fasta.gz";
  if (std::filesystem::exists(genome))
    good("demo genome", genome);
  else
    bad("demo genome", std::string(genome) + " is not here", "./dev setup brings it");
  std::printf("%s\n", problems == 0 ? "all of it works"
                                    : "what is marked -- does not work yet; the rest does");
  return broken ? exit_code(broken->kind()) : 0;
}

}  // namespace

void add_doctor(CLI::App& program, Action& chosen) {
  CLI::App* verb = program.add_subcommand(
      "doctor", "what this machine is, which parts work, and how to mend the rest");
  verb->callback([&chosen] { chosen = doctor; });
}

}  // namespace ocoee::cli
