// SPDX-License-Identifier: Apache-2.0
// Requests to stop: SIGTERM, SIGUSR1 (batch systems), SIGINT (Ctrl-C).
#pragma once

#include <csignal>

namespace ocoee {

// While it lives, the first signal is only noted; one that comes a second or more later ends the
// program as if nobody listened. (Launchers often deliver one request twice.) One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  static int received();  // the number of the first signal, or 0

 private:
  static constexpr int kNumbers[] = {SIGTERM, SIGUSR1, SIGINT};
  struct sigaction old_[3] = {};
};

// Between the pieces of long work that leaves nothing behind: throws Error(interrupted) when a
// signal was noted.
void stop_if_signalled();

}  // namespace ocoee
