// SPDX-License-Identifier: Apache-2.0
// ocoee doctor: what this machine is, which parts of Ocoee work on it, and how to mend those that
// do not.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cli/verbs.h"
#include "comm/world.h"
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

bool is_command(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path ? path : "", ':')) {
    if (::access((folder + "/" + name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

void check_mpi(const comm::World& world) {
  const comm::Launcher launcher = comm::detect_launcher();
  if (launcher != comm::Launcher::none)
    good("MPI", std::to_string(world.size()) + " ranks by " + comm::name_of(launcher));
  else if (is_command("mpirun") || is_command("srun"))
    good("MPI", "one rank; `mpirun -n N ocoee ...` or srun starts more");
  else
    bad("MPI", "neither mpirun nor srun is in PATH: only one rank can run",
        "apt-get install openmpi-bin, or load the cluster's MPI module");
}

void check_writable(const char* part, const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto probe = folder / ".ocoee-doctor";
  const bool works = !error && std::ofstream(probe).put('x').good();
  std::filesystem::remove(probe, error);
  const auto space = std::filesystem::space(folder, error);
  if (works)
    good(part,
         folder.string() + ", " + format_bytes(static_cast<double>(space.available)) + " free");
  else
    bad(part, folder.string() + " cannot be written",
        "check its permissions, or set run.dir (runs) or OCOEE_CACHE (cache)");
}

int doctor() {
  std::printf("ocoee %s\n", kVersion);
  comm::World world = comm::World::start();
  if (world.rank() != 0) return 0;
  const auto environment = run::environment(world, {});
  std::printf("  host  %s, %u cores (%s), %s\n", world.hosts()[0].c_str(),
              std::thread::hardware_concurrency(),
              environment.value("cpu", std::string("?")).c_str(),
              environment["host_memory"].get<std::string>().c_str());
  if (tasks::builder_of("genome_lm"))
    good("training", "LibTorch is in this program");
  else
    bad("training", "this program was built without LibTorch", "./dev build");
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
  return 0;
}

}  // namespace

void add_doctor(CLI::App& program, Action& chosen) {
  CLI::App* verb = program.add_subcommand(
      "doctor", "what this machine is, which parts work, and how to mend the rest");
  verb->callback([&chosen] { chosen = doctor; });
}

}  // namespace ocoee::cli
