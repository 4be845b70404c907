// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string_view>

#include "core/build_commit.h"
#include "core/build_info.h"
#include "core/host.h"
#include "core/shell_word.h"
#include "core/text.h"
#include "core/version.h"
#include "run/run_directory.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

std::string processor() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) return std::string(trim(line.substr(line.find(':') + 1)));
  }
  return "unknown";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// What changes speed or results without being in the recipe.
json variables() {
  json out = json::object();
  for (const char* name :
       {"OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
        "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "CUBLAS_WORKSPACE_CONFIG", "SLURM_JOB_ID",
        "SLURM_JOB_NUM_NODES", "SLURM_JOB_PARTITION"}) {
    if (const char* value = std::getenv(name)) out[name] = value;
  }
  return out;
}

}  // namespace

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string all((std::istreambuf_iterator<char>(file)), {}), out;
  if (!all.empty() && all.back() == '\0') all.pop_back();
  for (const std::string& argument : split(all, '\0'))
    out += (out.empty() ? "" : " ") + shell_word(argument);
  return out;
}

std::string program_words() {
  return fmt::format("Ocoee {}{}{}", kVersion, *kBuildCommit ? ", commit " : "", kBuildCommit);
}

json environment(const comm::World& world, const device::Device& device) {
  json out;
  out["ocoee"] = {{"version", kVersion},
                  {"build", kBuildType},
                  {"compiler", kBuildCompiler},
                  {"flags", kBuildFlags},
                  {"mpi", kBuildMpi}};
  if (*kBuildCommit) out["ocoee"]["commit"] = kBuildCommit;
  if (*kBuildTorch) out["libtorch"] = kBuildTorch;
  out["ranks"] = world.size();
  out["ranks_on_this_host"] = world.local_size();
  out["host"] = world.hosts().at(static_cast<size_t>(world.rank()));
  json& hosts = out["hosts"] = json::array();
  for (const std::string& host : world.hosts()) {
    if (hosts.empty() || hosts.back() != host) hosts.push_back(host);
  }
  out["launcher"] = name_of(comm::detect_launcher());
  utsname system{};
  ::uname(&system);
  out["system"] = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  out["cpu"] = processor();
  out["cores"] = host_cores();
  out["host_memory"] = format_bytes(host_memory_bytes());
  out["device"] = device::name_of(device);
  const device::Properties properties = device::properties(device);
  const auto device_bytes = static_cast<double>(properties.memory_bytes);
  if (device.is_cuda()) {
    out["gpu"] = properties.name;
    out["gpu_memory"] = format_bytes(device_bytes);
  }
  // A rank's own: ranks share the host where they compute on it.
  out["device_bytes"] = device.is_cuda() ? device_bytes : device_bytes / world.local_size();
  out["started"] = utc_now();
  out["command"] = command_line();
  out["variables"] = variables();
  return out;
}

}  // namespace ocoee::run
