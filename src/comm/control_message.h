// SPDX-License-Identifier: Apache-2.0
// What travels between watchdogs: a 4-byte length, then a small binary message. decode() trusts nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/flight_recorder.h"

namespace ocoee::comm {

enum class ControlKind : uint8_t { heartbeat, goodbye, failure, abort };

struct ControlMessage {
  ControlKind kind = ControlKind::heartbeat;
  int rank = 0;
  std::string text;
  std::vector<FlightEntry> entries;
};

std::string encode(const ControlMessage& message);
// The first whole message of `bytes` and how many bytes it took; nothing when more must come, or when it makes no sense
// (then the connection is as good as closed).
std::optional<std::pair<ControlMessage, size_t>> decode(std::string_view bytes);

}  // namespace ocoee::comm
