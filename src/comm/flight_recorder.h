// SPDX-License-Identifier: Apache-2.0
// The last operations of this process, with their call sites: what the watchdog compares and a crash leaves behind.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace ocoee::comm {

using FlightEntryId = uint64_t;

struct FlightStart {
  const void* communicator;
  const std::string* name;
  Kind kind;
  int64_t count;
  DType dtype;
  Reduce op;
  int peer;
  std::source_location site;
};

struct FlightEntry {
  std::string communicator;     // name and world ranks are equal on all its ranks; told apart by `key`
  uint64_t key = 0;             // of the communicator: equal on all its ranks
  uint64_t sequence = 0;        // per communicator, from 1
  Kind kind = Kind::barrier;
  int64_t count = 0;
  DType dtype = DType::u8;
  int peer = -1;
  std::string file;
  int line = 0;
  double started = 0, finished = 0;  // seconds on this process's clock; finished 0 = under way
};

FlightEntryId flight_started(const FlightStart& start);
void flight_finished(FlightEntryId id);
std::vector<FlightEntry> flight_entries();            // newest last, at most 1,024
void flight_name_communicator(const void* communicator, uint64_t key);  // forgets what an old one at this address did

}  // namespace ocoee::comm
