// SPDX-License-Identifier: Apache-2.0
// A record: u64 length, masked CRC of the length, payload, masked CRC of the payload. The payload
// is protobuf's Event {1 wall_time double, 2 step int64, 3 file_version string, 5 summary {1 value
// {1 tag string, 2 simple_value float}}, 7 session_log {1 status enum}}.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include "core/crc32c.h"
#include "core/file.h"
#include "core/host.h"
#include "run/elsewhere.h"
#include "run/listeners.h"

namespace ocoee::run {
namespace {

template <class T>
std::string raw(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

uint32_t masked_crc(const std::string& data) {
  const uint32_t crc = crc32c(data.data(), data.size());
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

// ---- protobuf, as far as an Event needs it

enum Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string field(int number, Wire wire, const std::string& body) {
  return varint(static_cast<uint64_t>(number << 3 | wire)) + body;
}
std::string bytes_field(int number, const std::string& body) {
  return field(number, kBytes, varint(body.size()) + body);
}
std::string stamp(double wall_time) {
  return field(1, kFixed64, raw(wall_time));
}
std::string step_field(int64_t step) {
  return field(2, kVarint, varint(static_cast<uint64_t>(step)));
}

double wall_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

class TensorBoard final : public Listener {
 public:
  TensorBoard(const std::filesystem::path& folder, int64_t resume_step) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    const double now = wall_clock();
    const auto path = folder / fmt::format("events.out.tfevents.{:010}.{}.{}",
                                           static_cast<int64_t>(now), host_name(), ::getpid());
    path_ = path.string();
    file_ = std::fopen(path.c_str(), "abe");
    if (!file_) fail_errno(path_, "write", kElsewhere);
    write(tensorboard_version_event(now));
    if (resume_step >= 0) write(tensorboard_restart_event(now, resume_step + 1));
  }
  ~TensorBoard() override { std::fclose(file_); }

  void on(const Event& event) override {
    if (event.kind != "step" && event.kind != "evaluation") return;
    const std::string payload = tensorboard_scalars_event(wall_clock(), event);
    if (!payload.empty()) write(payload);
  }
  void flush() override { std::fflush(file_); }

 private:
  void write(const std::string& payload) {
    const std::string record = tensorboard_record(payload);
    if (std::fwrite(record.data(), 1, record.size(), file_) != record.size() ||
        std::fflush(file_) != 0)
      fail_errno(path_, "write", kElsewhere);
  }
  std::string path_;
  std::FILE* file_ = nullptr;
};

}  // namespace

std::string tensorboard_record(const std::string& payload) {
  const std::string length = raw(static_cast<uint64_t>(payload.size()));
  return length + raw(masked_crc(length)) + payload + raw(masked_crc(payload));
}

std::string tensorboard_version_event(double wall_time) {
  return stamp(wall_time) + bytes_field(3, "brain.Event:2");
}

std::string tensorboard_restart_event(double wall_time, int64_t step) {
  constexpr uint64_t kStart = 1;
  return stamp(wall_time) + step_field(step) + bytes_field(7, field(1, kVarint, varint(kStart)));
}

std::string tensorboard_scalars_event(double wall_time, const Event& event) {
  const std::string group = event.kind == "step" ? "train/" : event.kind + "/";
  std::string values;
  for (const auto& [name, value] : event.fields.items()) {
    if (!value.is_number()) continue;
    values +=
        bytes_field(1, bytes_field(1, group + name) + field(2, kFixed32, raw(value.get<float>())));
  }
  if (values.empty()) return "";
  return stamp(wall_time) + step_field(event.step) + bytes_field(5, values);
}

std::unique_ptr<Listener> make_tensorboard(const std::filesystem::path& folder,
                                           int64_t resume_step) {
  return std::make_unique<TensorBoard>(folder, resume_step);
}

}  // namespace ocoee::run
