// SPDX-License-Identifier: Apache-2.0
#include "core/host.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <numeric>

namespace ocoee {

std::string host_name() {
  char name[256] = "";
  const bool known = ::gethostname(name, sizeof name - 1) == 0 && *name;
  return known ? name : "unknown";
}

double host_memory_bytes() {
  return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<double>(::sysconf(_SC_PAGE_SIZE));
}

int host_cores() {
  return std::max(1, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

std::vector<int> usable_cores() {
  constexpr int kMost = 1 << 16;  // the kernel refuses a set that is smaller than its own
  const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(kMost),
                                                             [](cpu_set_t* one) { CPU_FREE(one); });
  const size_t bytes = CPU_ALLOC_SIZE(kMost);
  std::vector<int> cores;
  if (set && ::sched_getaffinity(0, bytes, set.get()) == 0) {
    for (int core = 0; core < kMost; ++core) {
      if (CPU_ISSET_S(core, bytes, set.get())) cores.push_back(core);
    }
  }
  if (cores.empty()) {
    cores.resize(static_cast<size_t>(host_cores()));
    std::iota(cores.begin(), cores.end(), 0);
  }
  return cores;
}

}  // namespace ocoee
