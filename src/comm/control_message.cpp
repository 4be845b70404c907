// SPDX-License-Identifier: Apache-2.0
#include "comm/control_message.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

namespace ocoee::comm {
namespace {

constexpr size_t kLargestText = 64 << 10;

// The same visit() functions describe each message for writing and for reading.
class Writer {
 public:
  template <class T>
  void number(const T& value) {
    using Bits = std::conditional_t<sizeof(T) == 8, uint64_t,
                                    std::conditional_t<sizeof(T) == 4, uint32_t, uint8_t>>;
    auto bits = std::bit_cast<Bits>(value);
    for (size_t i = 0; i < sizeof(T); ++i) {
      out_ += static_cast<char>(bits & 0xff);
      if constexpr (sizeof(T) > 1) bits >>= 8;
    }
  }
  template <class Enum>
  void choice(const Enum& value, Enum) {
    out_ += static_cast<char>(value);
  }
  void text(const std::string& value) {
    const std::string_view cut = std::string_view(value).substr(0, kLargestText);
    number(static_cast<uint32_t>(cut.size()));
    out_ += cut;
  }
  template <class T, class F>
  void list(const std::vector<T>& values, size_t, F&& each) {
    number(static_cast<uint32_t>(values.size()));
    for (const T& value : values) each(value);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <class T>
  void number(T& value) {
    using Bits = std::conditional_t<sizeof(T) == 8, uint64_t,
                                    std::conditional_t<sizeof(T) == 4, uint32_t, uint8_t>>;
    if (!has(sizeof(T))) return;
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof(T); ++i)
      bits |= uint64_t{static_cast<unsigned char>(rest_[i])} << (8 * i);
    rest_.remove_prefix(sizeof(T));
    if constexpr (std::is_same_v<T, bool>) {
      good_ = good_ && bits <= 1;
      value = bits == 1;
    } else {
      value = std::bit_cast<T>(static_cast<Bits>(bits));
    }
  }
  template <class Enum>
  void choice(Enum& value, Enum last) {
    uint8_t byte = 0;
    number(byte);
    good_ = good_ && byte <= static_cast<uint8_t>(last);
    if (good_) value = static_cast<Enum>(byte);
  }
  void text(std::string& value) {
    uint32_t size = 0;
    number(size);
    if (size > kLargestText || !has(size)) {
      good_ = false;
      return;
    }
    value = std::string(rest_.substr(0, size));
    rest_.remove_prefix(size);
  }
  // `smallest`: bytes of the smallest element, so that a false length cannot ask for more memory
  // than there are bytes.
  template <class T, class F>
  void list(std::vector<T>& values, size_t smallest, F&& each) {
    uint32_t size = 0;
    number(size);
    if (!good_ || size > rest_.size() / smallest) {
      good_ = false;
      return;
    }
    values.resize(size);
    for (T& value : values) {
      if (good_) each(value);
    }
  }
  bool whole() const { return good_ && rest_.empty(); }

 private:
  bool has(size_t bytes) {
    good_ = good_ && rest_.size() >= bytes;
    return good_;
  }
  std::string_view rest_;
  bool good_ = true;
};

template <class Visitor, class Message>
void visit_fields(Visitor& v, Message& m) {
  using M = std::remove_const_t<Message>;
  if constexpr (std::is_same_v<M, Hello>) {
    v.number(m.token);
    v.number(m.rank);
  } else if constexpr (std::is_same_v<M, GroupReport>) {
    v.number(m.key);
    v.text(m.name);
    v.list(m.world_ranks, 4, [&](auto& rank) { v.number(rank); });
  } else if constexpr (std::is_same_v<M, OperationReport>) {
    for (auto* number : {&m.id, &m.group, &m.stream, &m.sequence, &m.rolling}) v.number(*number);
    v.choice(m.kind, Kind::barrier);
    v.choice(m.op, Reduce::min);
    v.choice(m.dtype, DType::boolean);
    v.number(m.count);
    v.number(m.peer);
    v.number(m.age);
    for (auto* flag : {&m.under_way, &m.blocked, &m.on_device}) v.number(*flag);
    v.text(m.site);
  } else if constexpr (std::is_same_v<M, StateReport>) {
    v.list(m.operations, 60, [&](auto& operation) { visit_fields(v, operation); });
  } else if constexpr (std::is_same_v<M, FailureReport>) {
    v.number(m.code);
    v.text(m.reason);
  } else if constexpr (std::is_same_v<M, Abort>) {
    v.number(m.code);
    v.text(m.message);
  }  // the others have no fields
}

template <size_t Type = 0>
std::optional<ControlMessage> parse_as(size_t type, std::string_view fields) {
  if constexpr (Type < std::variant_size_v<ControlMessage>) {
    if (type != Type) return parse_as<Type + 1>(type, fields);
    std::variant_alternative_t<Type, ControlMessage> message;
    Reader reader(fields);
    visit_fields(reader, message);
    if (reader.whole()) return message;
  }
  return std::nullopt;
}

}  // namespace

std::string control_frame(const ControlMessage& message) {
  Writer fields;
  std::visit([&](const auto& m) { visit_fields(fields, m); }, message);
  const std::string payload = static_cast<char>(message.index()) + fields.take();
  Writer length;
  length.number(static_cast<uint32_t>(payload.size()));
  return length.take() + payload;
}

std::optional<ControlMessage> parse_control_message(std::string_view payload) {
  if (payload.empty() || payload.size() > kLargestFrame) return std::nullopt;
  return parse_as(static_cast<unsigned char>(payload[0]), payload.substr(1));
}

std::optional<std::string> FrameReader::next() {
  if (broken_ || pending_.size() < 4) return std::nullopt;
  uint32_t size = 0;
  Reader(std::string_view(pending_).substr(0, 4)).number(size);
  if (size == 0 || size > kLargestFrame) {
    broken_ = true;
    return std::nullopt;
  }
  if (pending_.size() < 4 + size_t{size}) return std::nullopt;
  std::string payload = pending_.substr(4, size);
  pending_.erase(0, 4 + size_t{size});
  return payload;
}

}  // namespace ocoee::comm
