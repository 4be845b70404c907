// SPDX-License-Identifier: Apache-2.0
#include "comm/flight_reporter.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "core/trace.h"

namespace ocoee::comm {
namespace {

constexpr size_t kUnderWay =
    8;  // the oldest of what is under way; what the host waits for is always sent

}  // namespace

OperationReport report_of(const FlightEntry& entry, double now) {
  OperationReport out;
  out.id = entry.id;
  out.group = entry.group->key;
  out.stream = entry.stream;
  out.sequence = entry.sequence;
  out.rolling = entry.rolling;
  out.kind = entry.kind;
  out.op = entry.op;
  out.dtype = entry.dtype;
  out.count = entry.count;
  out.peer = entry.peer;
  out.age = static_cast<float>(now - entry.started);
  out.under_way = entry.finished == 0;
  out.blocked = entry.blocked;
  out.on_device = entry.on_device;
  out.site = flight_site(entry);
  return out;
}

FlightReporter::FlightReporter(int rank, int ranks)
    : rank_(rank),
      calls_per_stream_(static_cast<size_t>(std::clamp(512 / std::max(ranks, 1), 1, 8))) {}

std::vector<ControlMessage> FlightReporter::next() {
  std::vector<ControlMessage> out;
  for (const FlightGroup* group : flight_groups(groups_seen_)) {
    ++groups_seen_;
    if (group->world_ranks.front() == rank_)
      out.push_back(GroupReport{group->key, group->name, group->world_ranks});
  }
  out.push_back(state());
  return out;
}

StateReport FlightReporter::state() {
  const FlightEntryId after = seen_;
  const double now = trace::now_seconds();
  std::map<FlightEntryId, FlightEntry> chosen;
  for (const FlightEntry& entry : flight_latest(after)) {
    chosen[entry.id] = entry;
    seen_ = std::max(seen_, entry.id);
  }
  const std::vector<FlightEntry> record = flight_entries();
  std::unordered_map<uint64_t, size_t> taken;
  for (size_t i = record.size(); i-- > 0 && record[i].id > after;) {
    if (record[i].id > seen_) continue;  // began after flight_latest(): the next report has it
    if (taken[record[i].stream]++ < calls_per_stream_) chosen[record[i].id] = record[i];
  }
  size_t under_way = 0;
  for (const FlightEntry& entry : record) {
    if (entry.finished > 0 || entry.id > seen_) continue;
    if (entry.blocked || under_way++ < kUnderWay) chosen[entry.id] = entry;
  }
  StateReport out;
  for (const auto& [id, entry] : chosen) out.operations.push_back(report_of(entry, now));
  return out;
}

}  // namespace ocoee::comm
