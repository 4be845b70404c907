// SPDX-License-Identifier: Apache-2.0
#include "comm/judge.h"

#include <algorithm>

#include "core/error.h"

namespace ocoee::comm {
namespace {

constexpr size_t kPlacesKept = 64;  // per stream, of calls that not all ranks have reported

bool is_message(Kind kind) {
  return kind == Kind::send || kind == Kind::receive;
}

bool contains(const std::vector<int>& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

}  // namespace

bool same_operation(const OperationReport& a, const OperationReport& b) {
  if (a.dtype != b.dtype || a.count != b.count) return false;
  if (is_message(a.kind) && is_message(b.kind)) return true;  // the stream says who sends to whom
  return a.kind == b.kind && a.op == b.op && a.peer == b.peer;
}

Judge::Judge(std::vector<std::string> names, JudgeOptions options, double now) : options_(options) {
  for (std::string& name : names) {
    Rank rank;
    rank.name = std::move(name);
    rank.heard = rank.reported = now;
    ranks_.push_back(std::move(rank));
  }
}

void Judge::hear(int rank, const ControlMessage& message, double now) {
  Rank& from = ranks_.at(static_cast<size_t>(rank));
  from.heard = now;
  if (const auto* group = std::get_if<GroupReport>(&message)) {
    groups_[group->key] = *group;
  } else if (const auto* state = std::get_if<StateReport>(&message)) {
    from.reported = now;
    from.open.clear();
    for (const OperationReport& operation : state->operations) {
      if (operation.under_way) from.open.push_back(operation);
      if (operation.id >= from.last.id) {
        from.last = operation;
        from.last_reported = now;
      }
      take(rank, operation);
    }
  } else if (const auto* failure = std::get_if<FailureReport>(&message)) {
    from.failed = true;
    from.code = failure->code;
    from.reason = failure->reason;
  } else if (std::holds_alternative<Goodbye>(message)) {
    from.left = true;
  }
}

void Judge::closed(int rank) {
  Rank& from = ranks_.at(static_cast<size_t>(rank));
  if (!from.left && !from.failed) from.lost = true;
}

void Judge::slept(double now) {
  for (Rank& rank : ranks_) rank.heard = now;
}

bool Judge::has_failure() const {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.failed; });
}

bool Judge::has_loss() const {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.lost; });
}

bool Judge::undecided() const {
  if (!differs_) return false;
  const auto stream = streams_.find(differs_->first);
  if (stream == streams_.end()) return false;
  const auto place = stream->second.places.find(differs_->second);
  const std::vector<int>* all = members(stream->second);
  if (!all || place == stream->second.places.end()) return false;
  size_t most = 0, second = 0, reports = 0;
  for (const Version& version : place->second) {
    const size_t n = version.ranks.size();
    reports += n;
    second = std::max(second, std::min(n, most));
    most = std::max(most, n);
  }
  return most == second && reports < all->size();
}

bool Judge::has_left(int rank) const {
  return ranks_[static_cast<size_t>(rank)].left;
}

bool Judge::is_silent(int rank) const {
  const Rank& r = ranks_[static_cast<size_t>(rank)];
  return r.left || r.failed || r.lost;
}

// Files one call under its place, beside what the other ranks called there.
void Judge::take(int rank, const OperationReport& operation) {
  Stream& stream = streams_[operation.stream];
  stream.group = operation.group;
  stream.messages = is_message(operation.kind);
  uint64_t& reached = stream.reached[rank];
  reached = std::max(reached, operation.sequence);
  const auto group = groups_.find(operation.group);
  if (is_message(operation.kind) && stream.pair.empty() && group != groups_.end()) {
    const auto& ranks = group->second.world_ranks;
    if (operation.peer >= 0 && static_cast<size_t>(operation.peer) < ranks.size()) {
      stream.pair = {rank, ranks[static_cast<size_t>(operation.peer)]};
    }
  }
  if (operation.sequence <= stream.agreed) return;
  std::vector<Version>& versions = stream.places[operation.sequence];
  Version* same = nullptr;
  size_t reports = 0;
  for (Version& version : versions) {
    if (contains(version.ranks, rank)) return;  // under way, and reported before
    if (same_operation(version.operation, operation) &&
        version.operation.rolling == operation.rolling)
      same = &version;
    reports += version.ranks.size();
  }
  if (same) {
    same->ranks.push_back(rank);
  } else {
    versions.push_back({operation, {rank}});
  }
  if (versions.size() > 1) {
    if (!differs_ ||
        (differs_->first == operation.stream && operation.sequence < differs_->second)) {
      differs_ = {operation.stream, operation.sequence};
    }
    return;
  }
  const std::vector<int>* all = members(stream);
  if (all && reports + 1 >= all->size()) {
    stream.agreed = operation.sequence;
    stream.places.erase(stream.places.begin(), stream.places.upper_bound(operation.sequence));
  } else if (stream.places.size() > kPlacesKept) {
    stream.places.erase(stream.places.begin());
  }
}

const std::vector<int>* Judge::members(const Stream& stream) const {
  if (stream.messages) return stream.pair.empty() ? nullptr : &stream.pair;
  const auto group = groups_.find(stream.group);
  return group == groups_.end() ? nullptr : &group->second.world_ranks;
}

// The ranks that have not come to this call.
std::vector<int> Judge::missing(int rank, const OperationReport& operation) const {
  std::vector<int> out;
  const auto stream = streams_.find(operation.stream);
  if (stream == streams_.end()) return out;
  const std::vector<int>* all = members(stream->second);
  if (!all) return out;
  for (const int member : *all) {
    if (member == rank || member < 0 || static_cast<size_t>(member) >= ranks_.size()) continue;
    const auto reached = stream->second.reached.find(member);
    if (reached == stream->second.reached.end() || reached->second < operation.sequence)
      out.push_back(member);
  }
  return out;
}

double Judge::age(int rank, const OperationReport& operation, double now) const {
  return static_cast<double>(operation.age) + (now - ranks_[static_cast<size_t>(rank)].reported);
}

// Ranks that stand still for a call to which some rank can never come, because that one has left or
// is itself in this set: found by crossing out those that wait only for ranks which may still come.
std::map<int, std::pair<const OperationReport*, std::vector<int>>> Judge::deadlocked() const {
  std::map<int, std::pair<const OperationReport*, std::vector<int>>> stuck;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    for (const OperationReport& operation : ranks_[r].open) {
      // Its age when it was reported, so that nothing newer is assumed than what the rank has said.
      if (!operation.blocked ||
          static_cast<double>(operation.age) < options_.deadlock_after_seconds)
        continue;
      std::vector<int> waits_for = missing(static_cast<int>(r), operation);
      if (!waits_for.empty()) stuck[static_cast<int>(r)] = {&operation, std::move(waits_for)};
    }
  }
  for (bool changed = true; changed;) {
    changed =
        std::erase_if(stuck, [&](const auto& item) {
          return std::none_of(item.second.second.begin(), item.second.second.end(), [&](int other) {
            return stuck.contains(other) || ranks_[static_cast<size_t>(other)].left;
          });
        }) > 0;
  }
  return stuck;
}

// The call that has been under way for longest, beyond the limit.
const OperationReport* Judge::hung(double now, int& rank) const {
  const OperationReport* worst = nullptr;
  double longest = options_.collective_timeout_seconds;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    if (is_silent(static_cast<int>(r))) continue;
    for (const OperationReport& operation : ranks_[r].open) {
      const double seconds = age(static_cast<int>(r), operation, now);
      if ((operation.blocked || operation.on_device) && seconds > longest) {
        longest = seconds;
        worst = &operation;
        rank = static_cast<int>(r);
      }
    }
  }
  return worst;
}

const OperationReport* Judge::standstill(int rank) const {
  for (const OperationReport& operation : ranks_[static_cast<size_t>(rank)].open) {
    if (operation.blocked && !missing(rank, operation).empty()) return &operation;
  }
  return nullptr;
}

bool Judge::suspicious(double now) {
  if (differs_) return true;
  for (const Rank& rank : ranks_) {
    if (rank.lost || rank.failed) return true;
    if (!rank.left && now - rank.heard > options_.stopped_after_seconds) return true;
  }
  int rank = 0;
  return hung(now, rank) || !deadlocked().empty();
}

std::optional<Verdict> Judge::verdict(double now) {
  Verdict verdict{exit_code(ErrorKind::comm), ""};
  // A difference comes first: errors, deaths and hangs are what it leads to.
  std::optional<std::string> text = mismatch_text(now);
  if (!text) text = failure_text(verdict.code);
  if (!text) text = loss_text(now);
  if (!text) text = silence_text(now);
  if (!text) text = deadlock_text(now);
  if (!text) text = hang_text(now);
  if (!text) return std::nullopt;
  verdict.message = *text;
  return verdict;
}

}  // namespace ocoee::comm
