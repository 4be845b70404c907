// SPDX-License-Identifier: Apache-2.0
// What else a host did while this program measured it.
#pragma once

#include <string>

namespace ocoee {

// Seconds that the processors of this host worked for anyone since it started, or were taken away
// by the machine beneath a virtual one; 0 where the system does not say.
double host_busy_seconds();
double host_busy_seconds(const std::string& proc_stat, double ticks_a_second);

double process_busy_seconds();  // of this process, all threads

}  // namespace ocoee
