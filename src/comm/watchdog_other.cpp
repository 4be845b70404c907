// SPDX-License-Identifier: Apache-2.0
// The thread on every rank but 0: reports to the hub, and steps in when the hub itself is lost.
#include <unistd.h>

#include <chrono>
#include <thread>

#include "comm/watchdog_impl.h"
#include "core/text.h"

namespace ocoee::comm {
namespace {

constexpr double kSleptSeconds = 2.0;

std::string last_of(const std::vector<FlightEntry>& record) {
  if (record.empty()) return "no operation was called";
  const FlightEntry& e = record.back();
  return fmt::format("{} of {} x {}, operation {} on '{}', called at {}, {}", name_of(e.kind),
                     e.count, ocoee::name_of(e.dtype), e.sequence, e.group->name, flight_site(e),
                     e.finished > 0 ? "finished" : "under way");
}

class Other {
 public:
  explicit Other(Watchdog::Impl& w) : w_(w), reporter_(w.rank, w.size) {}

  void run() {
    double last = watch_seconds(), next_beat = last, heard = last;
    for (;;) {
      double now = watch_seconds();
      if (now - last > kSleptSeconds)
        heard = now;  // we were stopped: the hub may have been there all the time
      last = now;
      if (now >= next_beat) {
        next_beat = now + w_.options.heartbeat_seconds;
        report();
      }
      wait_for_any({&w_.to_hub}, {w_.wake.get()}, next_beat - watch_seconds());
      w_.drain_wake();
      tell_wishes();
      w_.to_hub.flush();
      now = watch_seconds();
      for (const ControlMessage& message : w_.to_hub.receive()) {
        heard = now;
        if (std::holds_alternative<Ask>(message)) report();
        if (std::holds_alternative<Farewell>(message)) return leave();
        if (const auto* abort = std::get_if<Abort>(&message))
          return w_.end(abort->code, abort->message, true);
      }
      if (!w_.to_hub.open())
        return hub_is_lost("died: its connection closed without a goodbye", 0.4);
      if (now - heard > w_.options.stopped_after_seconds) {
        return hub_is_lost(
            fmt::format("gives no sign of life for {}: it is stopped, or its node hangs",
                        format_seconds(now - heard)),
            1.5);
      }
    }
  }

 private:
  void report() {
    for (const ControlMessage& message : reporter_.next()) w_.to_hub.send(message);
  }

  void tell_wishes() {
    const auto wishes = w_.wishes();
    if (wishes.failing && !said_failure_) {
      said_failure_ = true;
      report();
      w_.to_hub.send(wishes.failure);
    } else if (wishes.leaving && !said_goodbye_) {
      said_goodbye_ = true;
      report();
      w_.to_hub.send(Goodbye{});
    }
  }

  void leave() {
    const std::lock_guard lock(w_.mutex);
    w_.over = true;
    w_.changed.notify_all();
  }

  // The lowest rank that lives tells the user: the one that can reach none below it. The speaker
  // stays for a moment, so that the others, who find out at nearly the same time, still reach it.
  void hub_is_lost(const std::string& how, double seconds) {
    const int code = exit_code(ErrorKind::comm);
    const Endpoint& hub = w_.endpoints[0];
    std::string message =
        fmt::format("rank 0 of {} (host {}, process {}) {}\n", w_.size, hub.host, hub.process, how);
    message += fmt::format("    rank {}, which says this, was at: {}\n", w_.rank,
                           last_of(flight_entries()));
    message +=
        "    fix: look for its own last words above, then for the out-of-memory killer (dmesg) or "
        "a lost node; run again to go on "
        "from the last checkpoint";
    bool lower_lives = false;
    for (int r = 1; r < w_.rank && !lower_lives; ++r)
      lower_lives = w_.connect(w_.endpoints[static_cast<size_t>(r)], 0.15).open();
    if (!lower_lives) w_.say(code, message);
    // A hub that was only stopped, and is woken by the end of the job, shall not call us dead.
    if (w_.to_hub.open()) w_.to_hub.send(Abort{code, message});
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    w_.end(code, message, false);  // a failure of our own is not yet told
  }

  Watchdog::Impl& w_;
  FlightReporter reporter_;
  bool said_failure_ = false, said_goodbye_ = false;
};

}  // namespace

void Watchdog::Impl::run_other() {
  Other(*this).run();
}

}  // namespace ocoee::comm
