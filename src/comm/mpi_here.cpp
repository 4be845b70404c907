// SPDX-License-Identifier: Apache-2.0
// The MPI of this program and the one that mpirun belongs to.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>

#include "comm/mpi_header.h"
#include "comm/world.h"
#include "core/file.h"
#include "core/text.h"

namespace ocoee::comm {
namespace {

constexpr const char* kAsRoot = "OMPI_ALLOW_RUN_AS_ROOT";
constexpr const char* kAsRootConfirm = "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM";
constexpr const char* kOversubscribe = "OMPI_MCA_rmaps_base_oversubscribe";

bool is_on(const char* name) {
  const char* value = std::getenv(name);
  return value && *value && std::string(value) != "0";
}

std::string built_with() {
#if defined(OMPI_MAJOR_VERSION)
  return fmt::format("Open MPI {}.{}.{}", OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION,
                     OMPI_RELEASE_VERSION);
#elif defined(I_MPI_VERSION)
  return fmt::format("Intel MPI {}", I_MPI_VERSION);
#elif defined(MPICH_VERSION)
  return fmt::format("MPICH {}", MPICH_VERSION);
#else
  return fmt::format("an MPI of standard {}.{}", MPI_VERSION, MPI_SUBVERSION);
#endif
}

std::string first_line_of(const char* command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command, "r"), ::pclose);
  std::array<char, 256> line{};
  if (!pipe || !std::fgets(line.data(), line.size(), pipe.get())) return "";
  return std::string(trim(line.data()));
}

// Open MPI counts cores, not their hardware threads.
int cores() {
  std::set<std::string> found;
  const auto processors = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  for (int p = 0; p < processors; ++p) {
    try {
      found.insert(
          read_file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", p)));
    } catch (const std::exception&) {
      return processors;
    }
  }
  return std::max(1, static_cast<int>(found.size()));
}

}  // namespace

std::string mpi_family(const std::string& text) {
  if (text.find("Open MPI") != std::string::npos || text.find("OpenRTE") != std::string::npos ||
      text.find("PRRTE") != std::string::npos)
    return "Open MPI";
  if (text.find("Intel") != std::string::npos) return "Intel MPI";
  const bool hydra = text.find("HYDRA") != std::string::npos;
  return hydra || text.find("MPICH") != std::string::npos ? "MPICH" : "";
}

MpiHere mpi_here() {
  MpiHere here;
  here.built_with = built_with();
  here.launcher = first_line_of("mpirun --version 2>/dev/null");
  here.slots = cores();
  const std::string own = mpi_family(here.built_with), its = mpi_family(here.launcher);
  here.same_family = own.empty() || its.empty() || own == its;
  if (its != "Open MPI") return here;
  if (::geteuid() == 0 && !(is_on(kAsRoot) && is_on(kAsRootConfirm)))
    here.needs = fmt::format("export {}=1 {}=1", kAsRoot, kAsRootConfirm);
  if (!is_on(kOversubscribe)) here.for_more = fmt::format("export {}=1", kOversubscribe);
  return here;
}

// Scripts may set more than this machine asks for: only what is needed here is named.
std::string launch_prefix() {
  if (launched_size() == 1) return "";
  const Launcher launcher = detect_launcher();
  std::string out;
  const auto name_if = [&](bool needed, const char* name) {
    if (needed && is_on(name)) out += fmt::format("{}={} ", name, std::getenv(name));
  };
  if (launcher == Launcher::mpirun) {
    name_if(::geteuid() == 0, kAsRoot);
    name_if(::geteuid() == 0, kAsRootConfirm);
    const char* here = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    name_if(here && std::atoi(here) > cores(), kOversubscribe);
  }
  return out + fmt::format("{} -n {} ", name_of(launcher), launched_size());
}

}  // namespace ocoee::comm
