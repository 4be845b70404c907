// SPDX-License-Identifier: Apache-2.0
#include "run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "core/version.h"

namespace ocoee::run {

DirectoryLock::DirectoryLock(const std::filesystem::path& folder) {
  const auto path = folder / ".lock";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(ErrorKind::file, "{}: cannot write: {}\n    fix: check the permissions of the folder, or set run.dir", path.string(), std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd_);
    fail(ErrorKind::file, "{}: another run is writing there\n    fix: wait for it, or give this one another run.name or run.dir", folder.string());
  }
}
DirectoryLock::~DirectoryLock() { ::close(fd_); }

nlohmann::json environment(const comm::World& world, const device::Device& device) {
  nlohmann::json out;
  out["ocoee"] = kVersion;
  out["compiler"] = __VERSION__;
  out["ranks"] = world.size();
  out["hosts"] = world.hosts();
  out["launcher"] = name_of(comm::detect_launcher());
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) {
      out["cpu"] = std::string(trim(line.substr(line.find(':') + 1)));
      break;
    }
  }
  out["cores"] = std::thread::hardware_concurrency();
  out["host_memory"] = format_bytes(static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE)));
  out["device"] = device::name_of(device);
  if (device.is_cuda()) {
    const auto properties = device::properties(device);
    out["gpu"] = properties.name;
    out["gpu_memory"] = format_bytes(static_cast<double>(properties.memory_bytes));
  }
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  out["started"] = text;
  if (const char* job = std::getenv("SLURM_JOB_ID")) out["slurm_job"] = job;
  return out;
}

void write_trace(const std::filesystem::path& path, const std::vector<trace::Span>& spans, comm::Communicator& world) {
  constexpr size_t kMostPerRank = 4000;  // the first steps and the last
  nlohmann::json own = nlohmann::json::array();
  for (size_t i = 0; i < spans.size(); ++i) {
    if (i >= kMostPerRank / 2 && i + kMostPerRank / 2 < spans.size()) continue;
    const trace::Span& s = spans[i];
    own.push_back({{"ph", "X"}, {"name", s.name}, {"pid", world.rank()}, {"tid", s.track}, {"ts", s.begin_seconds * 1e6},
                   {"dur", (s.end_seconds - s.begin_seconds) * 1e6}, {"args", {{"step", s.step}}}});
  }
  const auto all = world.gather_text(own.dump(), 0);
  if (world.rank() != 0) return;
  nlohmann::json events = nlohmann::json::array();
  for (const std::string& text : all) {
    for (auto& event : nlohmann::json::parse(text)) events.push_back(std::move(event));
  }
  write_file_atomically(path, nlohmann::json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump());
}

double slurm_seconds_left() {
  const char* end = std::getenv("SLURM_JOB_END_TIME");
  if (!end) return -1;
  return std::max(0.0, std::atof(end) - static_cast<double>(std::time(nullptr)));
}

}  // namespace ocoee::run
