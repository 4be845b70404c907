// SPDX-License-Identifier: Apache-2.0
// What the watchdogs of a job say to each other over TCP: frames of a 4-byte little-endian length
// and a payload whose first byte is the type. Parsing takes any bytes: what is not a whole, valid
// message is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "comm/communicator.h"

namespace ocoee::comm {

struct Hello {  // first words of every connection
  uint64_t token = 0;
  int32_t rank = 0;
  bool operator==(const Hello&) const = default;
};

struct GroupReport {  // sent once by the first rank of each communicator
  uint64_t key = 0;
  std::string name;
  std::vector<int32_t> world_ranks;
  bool operator==(const GroupReport&) const = default;
};

struct OperationReport {  // one call; see FlightEntry
  uint64_t id = 0, group = 0, stream = 0, sequence = 0, rolling = 0;
  Kind kind = Kind::barrier;
  Reduce op = Reduce::sum;
  DType dtype = DType::u8;
  int64_t count = 0;
  int32_t peer = -1;       // root, destination or source, as rank in the group
  float age = 0;           // seconds since the call
  bool under_way = false;  // started, not finished
  bool blocked = false;    // the host stands still for it
  bool on_device = false;  // a GPU works on it; the host goes on
  std::string site;        // file:line
  bool operator==(const OperationReport&) const = default;
};

struct StateReport {  // at every heartbeat: what was called since the last one, and what is under
                      // way
  std::vector<OperationReport> operations;
  bool operator==(const StateReport&) const = default;
};

struct FailureReport {  // this rank ends by an error of its own
  int32_t code = 0;     // of the process
  std::string reason;
  bool operator==(const FailureReport&) const = default;
};

struct Goodbye {  // this rank ends as it should
  bool operator==(const Goodbye&) const = default;
};
struct Farewell {  // the hub has heard the goodbye
  bool operator==(const Farewell&) const = default;
};
struct Alive {  // heartbeat of the hub
  bool operator==(const Alive&) const = default;
};
struct Ask {  // the hub wants a StateReport now
  bool operator==(const Ask&) const = default;
};
struct Abort {  // the user has been told: by the hub, or of the hub by others; everyone ends
  int32_t code = 0;
  std::string message;
  bool operator==(const Abort&) const = default;
};

using ControlMessage = std::variant<Hello, GroupReport, StateReport, FailureReport, Goodbye,
                                    Farewell, Alive, Ask, Abort>;

constexpr size_t kLargestFrame = size_t{4} << 20;

std::string control_frame(const ControlMessage& message);                       // with its length
std::optional<ControlMessage> parse_control_message(std::string_view payload);  // without

// Puts a stream of bytes back into payloads.
class FrameReader {
 public:
  void append(std::string_view bytes) { pending_.append(bytes); }
  std::optional<std::string> next();       // the next payload, if it is whole
  bool broken() const { return broken_; }  // a length that no message has: nothing more can be read

 private:
  std::string pending_;
  bool broken_ = false;
};

}  // namespace ocoee::comm
