// SPDX-License-Identifier: Apache-2.0
// The thread on rank 0: hears everybody, judges, tells the user, ends the job.
#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "comm/judge.h"
#include "comm/watchdog_impl.h"

namespace ocoee::comm {
namespace {

constexpr double kAskSeconds = 0.35;       // to hear the others before a verdict
constexpr double kSettleSeconds = 0.1;     // for a second failure on the heels of the first
constexpr double kUndecidedSeconds = 1.0;  // for those who have not come to where the others differ
constexpr double kSleptSeconds = 2.0;      // a gap in our own time: we were stopped, not they
constexpr double kHelloSeconds = 5.0;      // for a connection to say who it is

struct Connection {
  ControlChannel channel;
  int rank = -1;
  double since = 0;
};

class Hub {
 public:
  Hub(Watchdog::Impl& w, Judge judge) : w_(w), judge_(std::move(judge)), reporter_(0, w.size) {}

  void run() {
    double last = watch_seconds(), next_beat = last;
    for (;;) {
      const double now = watch_seconds();
      if (now - last > kSleptSeconds) judge_.slept(now);
      last = now;
      if (now >= next_beat) {
        next_beat = now + w_.options.heartbeat_seconds;
        beat(now);
      }
      double wake_at = next_beat;
      if (due_ > 0) wake_at = std::min(wake_at, judging_at());
      if (due_ > 0 && judge_.undecided())
        wake_at = std::min(wake_at, asked_again_ + kSettleSeconds);
      sleep_until(wake_at);
      listen(watch_seconds());
      if (ended_) return w_.end(ended_->code, ended_->message, true);
      const auto wishes = w_.wishes();
      if (wishes.cancelled) return;
      if (wishes.judging && settle(wishes, watch_seconds())) return;
    }
  }

 private:
  void beat(double now) {
    for (const ControlMessage& message : reporter_.next()) judge_.hear(0, message, now);
    for (const auto& c : connections_) c->channel.send(Alive{});
  }

  void sleep_until(double moment) {
    std::vector<const ControlChannel*> channels;
    for (const auto& c : connections_) channels.push_back(&c->channel);
    wait_for_any(channels, {w_.listener.socket.get(), w_.wake.get()}, moment - watch_seconds());
    w_.drain_wake();
  }

  void listen(double now) {
    for (Descriptor socket = accept_one(w_.listener.socket); socket.open();
         socket = accept_one(w_.listener.socket)) {
      connections_.push_back(
          std::make_unique<Connection>(Connection{ControlChannel(std::move(socket)), -1, now}));
    }
    for (const auto& c : connections_) {
      c->channel.flush();
      for (const ControlMessage& message : c->channel.receive()) hear(*c, message, now);
      if (c->rank < 0 && now - c->since > kHelloSeconds) c->channel.close();
      if (!c->channel.open() && c->rank >= 0) judge_.closed(c->rank);
    }
    std::erase_if(connections_, [](const auto& c) { return !c->channel.open(); });
  }

  void hear(Connection& from, const ControlMessage& message, double now) {
    if (const auto* hello = std::get_if<Hello>(&message)) {
      const bool known = std::any_of(connections_.begin(), connections_.end(),
                                     [&](const auto& c) { return c->rank == hello->rank; });
      if (hello->token != w_.endpoints[0].token || hello->rank < 1 || hello->rank >= w_.size ||
          known || from.rank >= 0) {
        from.channel.close();
        return;
      }
      from.rank = hello->rank;
    }
    if (from.rank < 0) {
      from.channel.close();
      return;
    }
    if (const auto* abort = std::get_if<Abort>(&message)) ended_ = *abort;
    judge_.hear(from.rank, message, now);
    if (std::holds_alternative<Goodbye>(message)) from.channel.send(Farewell{});
    if (std::holds_alternative<StateReport>(message)) awaited_.erase(from.rank);
  }

  // True when the thread is to end.
  bool settle(const Watchdog::Impl::Wishes& wishes, double now) {
    if (wishes.leaving && !judge_.has_left(0)) judge_.hear(0, Goodbye{}, now);
    if (wishes.failing) judge_.hear(0, wishes.failure, now);
    if (due_ == 0 && judge_.suspicious(now)) {  // ask everybody before judging
      asked_ = now;
      due_ = now + kAskSeconds;
      ask(now);
    } else if (due_ > 0 && now >= asked_again_ + kSettleSeconds && judge_.undecided()) {
      ask(now);
    }
    if (due_ > 0 && now >= judging_at()) {
      due_ = 0;
      awaited_.clear();
      if (const auto verdict = judge_.verdict(now)) {
        end(*verdict);
        return true;
      }
    }
    if (!wishes.leaving || !all_left()) return false;
    flush_for(0.5);
    const std::lock_guard lock(w_.mutex);
    w_.over = true;
    w_.changed.notify_all();
    return true;
  }

  // When it is time for a verdict, or for another look.
  double judging_at() const {
    // mpirun, too, sees a death, and soon after forwards no output: say it at once.
    if (judge_.has_loss() && !judge_.has_failure()) return asked_;
    if (judge_.undecided()) return asked_ + kUndecidedSeconds;
    return awaited_.empty() ? asked_ + kSettleSeconds : due_;
  }

  void ask(double now) {
    asked_again_ = now;
    beat(now);
    for (const auto& c : connections_) {
      if (c->rank < 0) continue;
      if (!judge_.is_silent(c->rank)) awaited_.insert(c->rank);
      c->channel.send(Ask{});
    }
  }

  bool all_left() const {
    for (int r = 0; r < w_.size; ++r) {
      if (!judge_.has_left(r)) return false;
    }
    return true;
  }

  void end(const Verdict& verdict) {
    w_.say(verdict.code, verdict.message);
    for (const auto& c : connections_) c->channel.send(Abort{verdict.code, verdict.message});
    flush_for(0.3);
    w_.end(verdict.code, verdict.message, true);
  }

  void flush_for(double seconds) {
    const double until = watch_seconds() + seconds;
    while (watch_seconds() < until) {
      std::vector<const ControlChannel*> waiting;
      for (const auto& c : connections_) {
        c->channel.flush();
        if (c->channel.open() && c->channel.has_output()) waiting.push_back(&c->channel);
      }
      if (waiting.empty()) return;
      wait_for_any(waiting, {}, 0.02);
    }
  }

  Watchdog::Impl& w_;
  Judge judge_;
  FlightReporter reporter_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::set<int> awaited_;       // ranks that have not yet answered
  std::optional<Abort> ended_;  // while we were stopped, the others named us and left
  double asked_ = 0, asked_again_ = 0, due_ = 0;
};

}  // namespace

void Watchdog::Impl::run_hub() {
  JudgeOptions judge_options;
  judge_options.stopped_after_seconds = options.stopped_after_seconds;
  judge_options.collective_timeout_seconds = options.collective_timeout_seconds;
  Hub(*this, Judge(rank_names(), judge_options, watch_seconds())).run();
}

}  // namespace ocoee::comm
