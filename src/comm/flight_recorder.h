// SPDX-License-Identifier: Apache-2.0
// The last operations of this process, with their call sites: what the watchdog compares and a
// crash leaves behind.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace ocoee::comm {

// One communicator of this process; kept to the end of the program, since records point to it.
struct FlightGroup {
  uint64_t key = 0;  // equal on all its ranks; the n-th communicator of the same name and ranks has
                     // a key of its own
  std::string name;
  std::vector<int> world_ranks;
};
const FlightGroup* flight_register(const std::string& name, const std::vector<int>& world_ranks);
std::vector<const FlightGroup*> flight_groups(
    size_t first);  // in order of registration, from number `first` on

using FlightEntryId = uint64_t;  // from 1, in order of the calls

struct FlightEntry {
  FlightEntryId id = 0;
  const FlightGroup* group = nullptr;
  uint64_t stream = 0;    // what is numbered and compared: the group's collectives, or the messages
                          // of one pair one way
  uint64_t sequence = 0;  // within the stream, from 1
  uint64_t rolling = 0;   // hash over all signatures of the stream so far
  Kind kind = Kind::barrier;
  Reduce op = Reduce::sum;
  DType dtype = DType::u8;
  int64_t count = 0;
  int peer = -1;  // root, destination or source, as rank in the group
  const char* file = "";
  int line = 0;
  double started = 0, finished = 0;  // seconds of trace::now_seconds(); finished 0 = under way
  bool blocked = false;              // the host stands in wait() for it
  bool on_device = false;            // a GPU works on it; the host goes on
};

FlightEntryId flight_started(FlightEntry entry);  // id and time are filled in
void flight_waiting(FlightEntryId id);
void flight_finished(FlightEntryId id);
// Finished when the event says so; asked when someone reads the record.
void flight_follow(FlightEntryId id, std::shared_ptr<const device::Event> completion);
std::vector<FlightEntry> flight_entries();  // newest last, at most 1,024
// The newest call of each stream that had one after `after`, in order of the calls; complete
// however many there were.
std::vector<FlightEntry> flight_latest(FlightEntryId after);
std::string flight_site(const FlightEntry& entry);  // "src/parallel/engine.cpp:135"

}  // namespace ocoee::comm
