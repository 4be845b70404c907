// SPDX-License-Identifier: Apache-2.0
#include "comm/control_message.h"

#include <cstring>

namespace ocoee::comm {
namespace {

constexpr uint32_t kLongest = 1 << 20;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}

struct Reader {
  std::string_view rest;
  bool good = true;
  template <class T>
  T take() {
    T value{};
    if (rest.size() < sizeof value) return good = false, value;
    std::memcpy(&value, rest.data(), sizeof value);
    rest.remove_prefix(sizeof value);
    return value;
  }
  std::string take_text() {
    const auto length = take<uint32_t>();
    if (!good || length > rest.size()) return good = false, "";
    std::string out(rest.substr(0, length));
    rest.remove_prefix(length);
    return out;
  }
};

}  // namespace

std::string encode(const ControlMessage& message) {
  std::string body;
  put(body, static_cast<uint8_t>(message.kind));
  put(body, static_cast<int32_t>(message.rank));
  put_text(body, std::string_view(message.text).substr(0, 1 << 16));
  put(body, static_cast<uint32_t>(message.entries.size()));
  for (const FlightEntry& e : message.entries) {
    put_text(body, e.communicator);
    put(body, e.key);
    put(body, e.sequence);
    put(body, static_cast<uint8_t>(e.kind));
    put(body, e.count);
    put(body, static_cast<uint8_t>(e.dtype));
    put(body, static_cast<int32_t>(e.peer));
    put_text(body, e.file);
    put(body, static_cast<int32_t>(e.line));
    put(body, static_cast<uint8_t>(e.finished > 0));
  }
  std::string out;
  put(out, static_cast<uint32_t>(body.size()));
  return out + body;
}

std::optional<std::pair<ControlMessage, size_t>> decode(std::string_view bytes) {
  uint32_t length = 0;
  if (bytes.size() < 4) return std::nullopt;
  std::memcpy(&length, bytes.data(), 4);
  if (length > kLongest || bytes.size() < 4 + static_cast<size_t>(length)) return std::nullopt;
  Reader in{bytes.substr(4, length)};
  ControlMessage message;
  const auto kind = in.take<uint8_t>();
  message.rank = in.take<int32_t>();
  message.text = in.take_text();
  const auto count = in.take<uint32_t>();
  if (!in.good || kind > static_cast<uint8_t>(ControlKind::abort) || message.rank < 0 || count > 4096) return std::nullopt;
  message.kind = static_cast<ControlKind>(kind);
  for (uint32_t i = 0; i < count; ++i) {
    FlightEntry e;
    e.communicator = in.take_text();
    e.key = in.take<uint64_t>();
    e.sequence = in.take<uint64_t>();
    const auto operation = in.take<uint8_t>();
    e.count = in.take<int64_t>();
    const auto dtype = in.take<uint8_t>();
    e.peer = in.take<int32_t>();
    e.file = in.take_text();
    e.line = in.take<int32_t>();
    e.finished = in.take<uint8_t>();
    if (!in.good || operation >= kKinds || dtype > static_cast<uint8_t>(DType::boolean)) return std::nullopt;
    e.kind = static_cast<Kind>(operation);
    e.dtype = static_cast<DType>(dtype);
    message.entries.push_back(std::move(e));
  }
  return std::pair(std::move(message), 4 + static_cast<size_t>(length));
}

}  // namespace ocoee::comm
