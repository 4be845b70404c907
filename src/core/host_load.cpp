// SPDX-License-Identifier: Apache-2.0
#include "core/host_load.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>

namespace ocoee {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

}  // namespace

double host_busy_seconds(const std::string& proc_stat, double ticks_a_second) {
  std::istringstream line(proc_stat);
  std::string name;
  std::array<double, 8> ticks{};  // user, nice, system, idle, iowait, irq, softirq, steal
  if (!(line >> name) || name != "cpu") return 0;
  for (double& one : ticks) {
    if (!(line >> one)) break;  // of old kernels, which count fewer kinds
  }
  double sum = 0;
  for (const size_t busy : {0, 1, 2, 5, 6, 7}) sum += ticks.at(busy);
  return sum / ticks_a_second;
}

double host_busy_seconds() {
  std::ifstream file("/proc/stat");
  std::string line;
  std::getline(file, line);
  return host_busy_seconds(line, static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

double process_busy_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

}  // namespace ocoee
