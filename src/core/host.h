// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace ocoee {

std::string host_name();     // as the system calls itself; "unknown" if it does not say
double host_memory_bytes();  // all that it has
int host_cores();            // hardware threads that are on line
// Numbers of those that this process may run on: all of them, unless a launcher or a batch system
// bound it. Never empty.
std::vector<int> usable_cores();

}  // namespace ocoee
