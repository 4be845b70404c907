// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace ocoee {

std::string host_name();     // as the system calls itself; "unknown" if it does not say
double host_memory_bytes();  // all that it has

}  // namespace ocoee
