// SPDX-License-Identifier: Apache-2.0
#include "core/host.h"

#include <unistd.h>

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

}  // namespace ocoee
