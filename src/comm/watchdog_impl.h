// SPDX-License-Identifier: Apache-2.0
// What the two kinds of watchdog thread share: the hub on rank 0, and the others, which talk to it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "comm/control_socket.h"
#include "comm/flight_reporter.h"
#include "comm/watchdog.h"

namespace ocoee::comm {

// Where a rank can be reached, and how to call it.
struct Endpoint {
  std::string host;
  int process = 0;
  int port = 0;
  uint64_t token = 0;  // that connections to it must show
  std::vector<std::string> addresses;
  std::string text() const;
  static Endpoint from(const std::string& host, const std::string& text);
};

struct Watchdog::Impl {
  int rank = 0, size = 1;
  WatchdogOptions options;
  std::vector<Endpoint> endpoints;  // of all ranks
  Listener listener;
  Descriptor wake;  // an eventfd: something below has changed
  ControlChannel to_hub;
  std::thread thread;
  int exceptions_at_start = 0;

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  bool judging = false;    // all ranks are connected
  bool cancelled = false;  // some could not be
  bool leaving = false;    // the destructor waits
  bool failing = false;    // report_failure() waits
  bool told = false;       // the user has been told
  bool over = false;       // the thread ends
  FailureReport failure;
  std::vector<std::function<void(const std::string&)>> listeners;

  struct Wishes {
    bool judging, cancelled, leaving, failing;
    FailureReport failure;
  };
  Wishes wishes();

  void run_hub();
  void run_other();
  void wake_up() const;
  void drain_wake() const;
  std::vector<std::string> rank_names() const;
  ControlChannel connect(const Endpoint& to, double seconds) const;
  // The end: prints if this rank is the one to speak, writes the flight record, tells the
  // listeners. Then the process ends, unless report_failure() waits: its caller ends it.
  void say(int code, const std::string& message) const;
  void end(int code, const std::string& message, bool user_is_told);
};

double watch_seconds();  // on a clock that does not jump

}  // namespace ocoee::comm
