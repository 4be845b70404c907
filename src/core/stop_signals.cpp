// SPDX-License-Identifier: Apache-2.0
#include "core/stop_signals.h"

#include <time.h>

#include <atomic>

#include "core/error.h"

namespace ocoee {
namespace {

std::atomic<int> first_signal{0};
std::atomic<long> first_milliseconds{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<long>::is_always_lock_free);

long milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void on_signal(int number) {
  constexpr long kSameRequest = 1000;
  int none = 0;
  if (first_signal.compare_exchange_strong(none, number)) {
    first_milliseconds = milliseconds();
  } else if (milliseconds() - first_milliseconds >= kSameRequest) {
    ::signal(number, SIG_DFL);
    ::raise(number);
  }
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  for (int i = 0; i < 3; ++i) ::sigaction(kNumbers[i], &action, &old_[i]);
  ::signal(SIGXFSZ, SIG_IGN);  // a file too large is then an error of the write, with a message
}

StopSignals::~StopSignals() {
  for (int i = 0; i < 3; ++i) ::sigaction(kNumbers[i], &old_[i], nullptr);
  first_signal = 0;
}

int StopSignals::received() {
  return first_signal;
}

void stop_if_signalled() {
  if (StopSignals::received() != 0)
    fail(ErrorKind::interrupted,
         "stopped by a signal before anything was computed; the same command begins again");
}

}  // namespace ocoee
