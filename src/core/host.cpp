// SPDX-License-Identifier: Apache-2.0
#include "core/host.h"

#include <unistd.h>

namespace ocoee {

std::string host_name() {
  char name[256] = "";
  const bool known = ::gethostname(name, sizeof name - 1) == 0 && *name;
  return known ? name : "unknown";
}

}  // namespace ocoee
