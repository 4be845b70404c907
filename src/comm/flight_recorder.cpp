// SPDX-License-Identifier: Apache-2.0
#include "comm/flight_recorder.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "comm/watchdog.h"
#include "core/error.h"
#include "core/text.h"
#include "core/trace.h"

namespace ocoee::comm {
namespace {

constexpr size_t kCapacity = 1024;

struct Slot {
  FlightEntry entry;
  std::shared_ptr<const device::Event> completion;
};

struct Recorder {
  std::mutex mutex;
  std::array<Slot, kCapacity> ring;
  FlightEntryId next = 1;
  std::deque<FlightGroup> groups;
  std::unordered_map<uint64_t, FlightEntry> latest;  // of each stream, as it was called
  std::map<std::string, int> made;                   // communicators so far, by name and ranks

  Slot* find(FlightEntryId id) {
    Slot& slot = ring[id % kCapacity];
    return slot.entry.id == id ? &slot : nullptr;
  }
};

Recorder& recorder() {
  static auto* instance = new Recorder;  // outlives every thread
  return *instance;
}

void poll(Slot& slot) {
  if (!slot.completion) return;
  try {
    if (!slot.completion->done()) return;
    slot.entry.finished = trace::now_seconds();
    slot.completion.reset();
  } catch (const Error&) {  // the GPU is lost: whoever waits for it will say so; here it is still
                            // under way
  }
}

}  // namespace

const FlightGroup* flight_register(const std::string& name, const std::vector<int>& world_ranks) {
  std::string identity = name;
  for (const int rank : world_ranks) identity += "," + std::to_string(rank);
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  const int number = r.made[identity]++;
  r.groups.push_back({hash64(identity + "#" + std::to_string(number)), name, world_ranks});
  return &r.groups.back();
}

std::vector<const FlightGroup*> flight_groups(size_t first) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  std::vector<const FlightGroup*> out;
  for (size_t i = first; i < r.groups.size(); ++i) out.push_back(&r.groups[i]);
  return out;
}

FlightEntryId flight_started(FlightEntry entry) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  entry.id = r.next++;
  entry.started = trace::now_seconds();
  r.ring[entry.id % kCapacity] = {entry, nullptr};
  r.latest[entry.stream] = entry;
  return entry.id;
}

void flight_waiting(FlightEntryId id) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  if (Slot* slot = r.find(id)) slot->entry.blocked = true;
}

void flight_finished(FlightEntryId id) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  if (Slot* slot = r.find(id)) {
    slot->entry.blocked = false;
    slot->entry.finished = trace::now_seconds();
  }
}

void flight_follow(FlightEntryId id, std::shared_ptr<const device::Event> completion) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  if (Slot* slot = r.find(id)) {
    slot->completion = std::move(completion);
    slot->entry.on_device = true;
  }
}

std::vector<FlightEntry> flight_entries() {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  std::vector<FlightEntry> out;
  const FlightEntryId first = r.next > kCapacity ? r.next - kCapacity : 1;
  out.reserve(r.next - first);
  for (FlightEntryId id = first; id < r.next; ++id) {
    Slot& slot = r.ring[id % kCapacity];
    poll(slot);
    out.push_back(slot.entry);
  }
  return out;
}

std::vector<FlightEntry> flight_latest(FlightEntryId after) {
  Recorder& r = recorder();
  std::vector<FlightEntry> out;
  {
    const std::lock_guard lock(r.mutex);
    for (const auto& [stream, entry] : r.latest) {
      if (entry.id <= after) continue;
      const Slot* slot = r.find(entry.id);  // knows whether it is over
      out.push_back(slot ? slot->entry : entry);
      if (!slot) out.back().finished = out.back().started;  // long ago
    }
  }
  std::sort(out.begin(), out.end(),
            [](const FlightEntry& a, const FlightEntry& b) { return a.id < b.id; });
  return out;
}

std::string flight_site(const FlightEntry& entry) {
  std::string path = entry.file;
  for (const char* room : {"/src/", "/tests/", "/bench/"}) {
    const size_t at = path.rfind(room);
    if (at != std::string::npos) path = path.substr(at + 1);
  }
  return path + ":" + std::to_string(entry.line);
}

std::string flight_record() {
  nlohmann::json out = nlohmann::json::array();
  for (const FlightEntry& e : flight_entries()) {
    out.push_back({{"communicator", e.group->name},
                   {"world_ranks", e.group->world_ranks},
                   {"sequence", e.sequence},
                   {"kind", name_of(e.kind)},
                   {"count", e.count},
                   {"dtype", name_of(e.dtype)},
                   {"bytes", e.count * static_cast<int64_t>(size_of(e.dtype))},
                   {"peer", e.peer},
                   {"site", flight_site(e)},
                   {"started", e.started},
                   {"finished", e.finished},
                   {"state", e.finished > 0 ? "finished"
                             : e.blocked    ? "waited for"
                                            : "under way"}});
  }
  return out.dump(1);
}

}  // namespace ocoee::comm
