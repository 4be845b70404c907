// SPDX-License-Identifier: Apache-2.0
// How the judge speaks: each verdict as a text that names the rank, what it did, where, and what to
// do.
#include <algorithm>
#include <set>

#include "comm/judge.h"
#include "core/error.h"
#include "core/text.h"

namespace ocoee::comm {
namespace {

std::string list_of(std::vector<int> ranks) {
  std::sort(ranks.begin(), ranks.end());
  std::vector<std::string> parts;
  for (size_t i = 0; i < ranks.size() && i < 8; ++i) parts.push_back(std::to_string(ranks[i]));
  std::string out = (ranks.size() == 1 ? "rank " : "ranks ") + join(parts, ", ");
  if (ranks.size() > 8) out += fmt::format(" and {} more", ranks.size() - 8);
  return out;
}

std::string call_of(const OperationReport& o) {
  std::string out = name_of(o.kind);
  if (o.kind == Kind::all_reduce || o.kind == Kind::reduce_scatter)
    out += std::string(" (") + name_of(o.op) + ")";
  if (o.kind == Kind::barrier) return out;
  out += fmt::format(" of {} x {}", o.count, name_of(o.dtype));
  if (o.kind == Kind::broadcast) out += fmt::format(" from its rank {}", o.peer);
  if (o.kind == Kind::send) out += fmt::format(" to its rank {}", o.peer);
  if (o.kind == Kind::receive) out += fmt::format(" from its rank {}", o.peer);
  return out;
}

}  // namespace

std::string Judge::who(int rank) const {
  return fmt::format("rank {} of {} ({})", rank, ranks_.size(),
                     ranks_[static_cast<size_t>(rank)].name);
}

std::string Judge::describe(const OperationReport& o) const {
  const auto group = groups_.find(o.group);
  const std::string axis = group == groups_.end() ? "?" : group->second.name;
  return fmt::format("{}, operation {} on '{}', called at {}", call_of(o), o.sequence, axis,
                     o.site);
}

std::string Judge::last_of(int rank, double now) const {
  const Rank& r = ranks_[static_cast<size_t>(rank)];
  if (r.last.id == 0) return "no operation of it is known";
  const double seconds = std::max(0.0, static_cast<double>(r.last.age) + (now - r.last_reported));
  return fmt::format("its last known operation: {}, called {} ago, {}", describe(r.last),
                     format_seconds(seconds), r.last.under_way ? "under way" : "finished");
}

std::optional<std::string> Judge::mismatch_text(double) const {
  if (!differs_) return std::nullopt;
  const auto stream = streams_.find(differs_->first);
  if (stream == streams_.end()) return std::nullopt;
  const auto place = stream->second.places.find(differs_->second);
  if (place == stream->second.places.end()) return std::nullopt;
  std::vector<Version> versions = place->second;
  std::stable_sort(versions.begin(), versions.end(), [](const Version& a, const Version& b) {
    return a.ranks.size() < b.ranks.size();
  });
  const auto group = groups_.find(stream->second.group);
  const std::string axis = group == groups_.end() ? "?" : group->second.name;
  const bool clear =
      versions.front().ranks.size() < versions.back().ranks.size();  // the few differ from the many
  const bool earlier = same_operation(versions.front().operation, versions.back().operation);
  std::string text = fmt::format(
      "{} on '{}' in operation {}: the ranks do not call the same{}\n",
      clear ? list_of(versions.front().ranks) +
                  (versions.front().ranks.size() == 1 ? " differs" : " differ")
            : std::string("the ranks differ"),
      axis, differs_->second, earlier ? "; they agree in this call, but not in one before it" : "");
  for (const Version& version : versions) {
    text +=
        fmt::format("    {}: {}, called at {}\n",
                    version.ranks.size() == 1 ? who(version.ranks.front()) : list_of(version.ranks),
                    call_of(version.operation), version.operation.site);
  }
  for (const Rank& rank : ranks_) {
    if (rank.failed)
      text += fmt::format("    {} reported: {}\n",
                          list_of({static_cast<int>(&rank - ranks_.data())}), rank.reason);
  }
  return text +
         "    fix: all ranks of an axis must call the same operations in the same order; look for "
         "a branch on the rank before these lines";
}

std::optional<std::string> Judge::failure_text(int& code) const {
  std::map<std::string, std::vector<int>> reasons;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    if (!ranks_[r].failed) continue;
    reasons[ranks_[r].reason].push_back(static_cast<int>(r));
    if (reasons.size() == 1 && ranks_[r].code != 0) code = ranks_[r].code;
  }
  if (reasons.empty()) return std::nullopt;
  std::vector<std::string> lines;
  for (const auto& [reason, ranks] : reasons) {
    lines.push_back(fmt::format("{} failed: {}",
                                ranks.size() == 1 ? who(ranks.front()) : list_of(ranks), reason));
  }
  return join(lines, "\n");
}

std::optional<std::string> Judge::loss_text(double now) const {
  std::vector<int> lost;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    if (ranks_[r].lost) lost.push_back(static_cast<int>(r));
  }
  if (lost.empty()) return std::nullopt;
  std::string text =
      fmt::format("{} died: its connection closed without a goodbye\n", who(lost.front()));
  if (lost.size() > 1)
    text = fmt::format("{} died: their connections closed without a goodbye\n", list_of(lost));
  for (size_t i = 0; i < lost.size() && i < 4; ++i) {
    text += fmt::format("    {}: {}\n", lost.size() == 1 ? "before" : list_of({lost[i]}),
                        last_of(lost[i], now));
  }
  return text +
         "    fix: look for its own last words above, then for the out-of-memory killer (dmesg) or "
         "a lost node; run again to go on from the last checkpoint";
}

std::optional<std::string> Judge::silence_text(double now) const {
  std::vector<int> silent;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    if (!is_silent(static_cast<int>(r)) && now - ranks_[r].heard > options_.stopped_after_seconds)
      silent.push_back(static_cast<int>(r));
  }
  if (silent.empty()) return std::nullopt;
  std::string text =
      fmt::format("{} gives no sign of life for {}: it is stopped, or its node hangs\n",
                  silent.size() == 1 ? who(silent.front()) : list_of(silent),
                  format_seconds(now - ranks_[static_cast<size_t>(silent.front())].heard));
  for (size_t i = 0; i < silent.size() && i < 4; ++i)
    text += fmt::format("    {}: {}\n", list_of({silent[i]}), last_of(silent[i], now));
  return text +
         "    fix: look at that node (stopped process, swapping, a dead file system); run again to "
         "go on from the last checkpoint";
}

std::optional<std::string> Judge::deadlock_text(double) const {
  const auto stuck = deadlocked();
  if (stuck.empty()) return std::nullopt;
  std::vector<int> left, ring;
  std::string lines;
  for (const auto& [rank, wait] : stuck) {
    ring.push_back(rank);
    if (ring.size() <= 8)
      lines += fmt::format("    {} waits for {} in {}\n", who(rank), list_of(wait.second),
                           describe(*wait.first));
    for (const int other : wait.second) {
      if (has_left(other) && std::find(left.begin(), left.end(), other) == left.end())
        left.push_back(other);
    }
  }
  if (!left.empty()) {
    return fmt::format(
        "{} ended, but {} wait{} for it\n{}    fix: all ranks must call the same operations; look "
        "for a branch on the rank",
        list_of(left), list_of(ring), ring.size() == 1 ? "s" : "", lines);
  }
  // Where all wait for the same one, that one took another way.
  std::string head = fmt::format("{} wait for each other for ever", list_of(ring));
  for (const int odd : ring) {
    std::vector<int> others;
    for (const auto& [rank, wait] : stuck) {
      if (rank != odd && wait.second == std::vector<int>{odd}) others.push_back(rank);
    }
    if (others.size() >= 2 && others.size() + 1 == ring.size()) {
      head = fmt::format("{} is at another operation than {}: they wait for each other for ever",
                         list_of({odd}), list_of(others));
    }
  }
  return fmt::format(
      "{}\n{}    fix: all ranks must call the operations of their axes in the same order", head,
      lines);
}

std::optional<std::string> Judge::hang_text(double now) const {
  int rank = 0;
  const OperationReport* operation = hung(now, rank);
  if (!operation) return std::nullopt;
  // The rank that is missing may itself wait for another: go to the end of the chain.
  std::set<int> seen{rank};
  for (std::vector<int> next = missing(rank, *operation);
       !next.empty() && seen.insert(next.front()).second;) {
    const OperationReport* further = standstill(next.front());
    if (!further) break;
    operation = further;
    rank = next.front();
    next = missing(rank, *further);
  }
  const std::string seconds = format_seconds(age(rank, *operation, now));
  const std::vector<int> absent = missing(rank, *operation);
  if (absent.empty()) {
    return fmt::format(
        "an operation hangs: all its ranks have called it, but {} still waits after {}\n    {}\n"
        "    fix: look at the network or the GPUs; run.collective_timeout sets the limit",
        who(rank), seconds, describe(*operation));
  }
  std::string text = fmt::format("{} hang{}: {} waited {} for {}\n    in {}\n",
                                 absent.size() == 1 ? who(absent.front()) : list_of(absent),
                                 absent.size() == 1 ? "s" : "", list_of({rank}), seconds,
                                 absent.size() == 1 ? "it" : "them", describe(*operation));
  for (size_t i = 0; i < absent.size() && i < 4; ++i)
    text += fmt::format("    {}: {}\n", list_of({absent[i]}), last_of(absent[i], now));
  return text +
         "    fix: see what that rank does (gdb -p, its input files); if it is only slow, raise "
         "run.collective_timeout";
}

}  // namespace ocoee::comm
