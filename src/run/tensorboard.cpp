// SPDX-License-Identifier: Apache-2.0
// A record: u64 length, masked CRC of the length, payload, masked CRC of the payload. The payload is protobuf's Event
// {1 wall_time double, 2 step int64, 3 file_version string, 5 summary {1 value {1 tag string, 2 simple_value float}}}.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "run/listeners.h"

namespace ocoee::run {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? (value >> 1) ^ 0x82F63B78u : value >> 1;
    table[i] = value;
  }
  return table;
}
constexpr auto kTable = make_table();

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
template <class T>
std::string raw(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}
std::string field(int number, int wire, const std::string& body) { return varint(static_cast<uint64_t>(number << 3 | wire)) + body; }
std::string text_field(int number, const std::string& text) { return field(number, 2, varint(text.size()) + text); }

double wall_clock() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

class TensorBoard final : public Listener {
 public:
  explicit TensorBoard(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    char host[128] = "host";
    ::gethostname(host, sizeof host - 1);
    const auto path = folder / fmt::format("events.out.tfevents.{:010}.{}.{}", static_cast<int64_t>(wall_clock()), host, ::getpid());
    file_ = std::fopen(path.c_str(), "ab");
    if (!file_) fail(ErrorKind::file, "{}: cannot write: {}", path.string(), std::strerror(errno));
    write(field(1, 1, raw(wall_clock())) + text_field(3, "brain.Event:2"));
  }
  ~TensorBoard() override { std::fclose(file_); }

  void on(const Event& event) override {
    if (event.kind != "step" && event.kind != "evaluation") return;
    std::string values;
    for (const auto& [name, value] : event.fields.items()) {
      if (!value.is_number()) continue;
      const std::string tag = (event.kind == "step" ? "train/" : "held_out/") + name;
      values += text_field(1, text_field(1, tag) + field(2, 5, raw(value.get<float>())));
    }
    write(field(1, 1, raw(wall_clock())) + field(2, 0, varint(static_cast<uint64_t>(event.step))) + text_field(5, values));
  }
  void flush() override { std::fflush(file_); }

 private:
  void write(const std::string& payload) {
    const std::string length = raw(static_cast<uint64_t>(payload.size()));
    const std::string record = length + raw(masked(length)) + payload + raw(masked(payload));
    std::fwrite(record.data(), 1, record.size(), file_);
    std::fflush(file_);
  }
  static uint32_t masked(const std::string& data) {
    const uint32_t crc = crc32c(data.data(), data.size());
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
  }
  std::FILE* file_ = nullptr;
};

}  // namespace

uint32_t crc32c(const void* data, size_t bytes, uint32_t seed) {
  uint32_t crc = ~seed;
  for (size_t i = 0; i < bytes; ++i) crc = kTable[(crc ^ static_cast<const unsigned char*>(data)[i]) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

std::unique_ptr<Listener> make_tensorboard(const std::filesystem::path& folder) { return std::make_unique<TensorBoard>(folder); }

}  // namespace ocoee::run
