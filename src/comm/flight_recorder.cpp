// SPDX-License-Identifier: Apache-2.0
#include "comm/flight_recorder.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "comm/watchdog.h"
#include "core/trace.h"

namespace ocoee::comm {
namespace {

constexpr size_t kCapacity = 1024;

struct Recorder {
  std::mutex mutex;
  std::array<FlightEntry, kCapacity> ring;
  std::array<FlightEntryId, kCapacity> ids{};
  FlightEntryId next = 1;
  std::map<const void*, uint64_t> keys, sequences;
};

Recorder& recorder() {
  static auto* instance = new Recorder;  // outlives every thread
  return *instance;
}

std::string short_path(const char* file) {
  const std::string path = file;
  const size_t source = path.rfind("src/");
  return source == std::string::npos ? path : path.substr(source);
}

}  // namespace

void flight_name_communicator(const void* communicator, uint64_t key) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  r.keys[communicator] = key;
  r.sequences[communicator] = 0;
}

FlightEntryId flight_started(const FlightStart& start) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  const FlightEntryId id = r.next++;
  FlightEntry& entry = r.ring[id % kCapacity];
  r.ids[id % kCapacity] = id;
  entry.communicator = *start.name;
  entry.key = r.keys[start.communicator];
  entry.sequence = ++r.sequences[start.communicator];
  entry.kind = start.kind;
  entry.count = start.count;
  entry.dtype = start.dtype;
  entry.peer = start.peer;
  entry.file = short_path(start.site.file_name());
  entry.line = static_cast<int>(start.site.line());
  entry.started = trace::now_seconds();
  entry.finished = 0;
  return id;
}

void flight_finished(FlightEntryId id) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  if (r.ids[id % kCapacity] == id) r.ring[id % kCapacity].finished = trace::now_seconds();
}

std::vector<FlightEntry> flight_entries() {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  std::vector<FlightEntry> out;
  const FlightEntryId first = r.next > kCapacity ? r.next - kCapacity : 1;
  for (FlightEntryId id = first; id < r.next; ++id) out.push_back(r.ring[id % kCapacity]);
  return out;
}

std::string flight_record() {
  nlohmann::json out = nlohmann::json::array();
  for (const FlightEntry& e : flight_entries()) {
    out.push_back({{"communicator", e.communicator}, {"sequence", e.sequence}, {"kind", name_of(e.kind)}, {"count", e.count},
                   {"dtype", name_of(e.dtype)}, {"peer", e.peer}, {"site", e.file + ":" + std::to_string(e.line)},
                   {"started", e.started}, {"finished", e.finished}, {"state", e.finished > 0 ? "finished" : "under way"}});
  }
  return out.dump(1);
}

}  // namespace ocoee::comm
