// SPDX-License-Identifier: Apache-2.0
#include "run/safetensors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"

namespace ocoee::run {
namespace {

constexpr uint64_t kLongestHeader = 100'000'000;  // the reference implementation's own limit

[[noreturn]] void broken(const std::string& file, const std::string& what) {
  fail(ErrorKind::data, "{}: not a whole safetensors file: {}", file, what);
}

TensorEntry read_entry(const std::string& name, const nlohmann::json& value, uint64_t data_bytes, const std::string& file) {
  const auto is_natural = [](const nlohmann::json& v) { return v.is_number_unsigned(); };
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets"))
    broken(file, fmt::format("tensor '{}' lacks dtype, shape or data_offsets", name));
  const auto& offsets = value["data_offsets"];
  if (!value["dtype"].is_string() || !value["shape"].is_array() || !offsets.is_array() || offsets.size() != 2 || !is_natural(offsets[0]) || !is_natural(offsets[1]))
    broken(file, fmt::format("tensor '{}' has a dtype, shape or data_offsets of the wrong type", name));
  TensorEntry entry;
  entry.name = name;
  entry.dtype = dtype_from_name(value["dtype"].get<std::string>());
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  if (entry.begin > entry.end || entry.end > data_bytes)
    broken(file, fmt::format("tensor '{}' lies at bytes {} to {} of {}", name, entry.begin, entry.end, data_bytes));
  unsigned __int128 bytes = size_of(entry.dtype);
  for (const auto& extent : value["shape"]) {
    if (!is_natural(extent) || extent.get<uint64_t>() > (uint64_t{1} << 62)) broken(file, fmt::format("tensor '{}' has an impossible shape", name));
    bytes *= extent.get<uint64_t>();
    if (bytes > (static_cast<unsigned __int128>(1) << 63)) broken(file, fmt::format("tensor '{}' has an impossible shape", name));
    entry.shape.push_back(static_cast<int64_t>(extent.get<uint64_t>()));
  }
  if (bytes != entry.end - entry.begin)
    broken(file, fmt::format("tensor '{}' has {} bytes, its shape and type need {}", name, entry.end - entry.begin, static_cast<uint64_t>(bytes)));
  return entry;
}

struct Output {
  std::filesystem::path path;
  int fd = -1;
  Checksum checksum;
  explicit Output(const std::filesystem::path& p) : path(p), fd(::open(p.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
    if (fd < 0) fail(ErrorKind::file, "{}: cannot write: {}", path.string(), std::strerror(errno));
  }
  ~Output() {
    if (fd >= 0) ::close(fd);
  }
  void write(const void* data, size_t bytes) {
    checksum.add(data, bytes);
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t put = ::write(fd, at, std::min<size_t>(bytes, 1 << 26));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail(ErrorKind::file, "{}: cannot write: {}{}", path.string(), std::strerror(errno), errno == ENOSPC ? ": free space, or set run.dir to another file system" : "");
      at += put;
      bytes -= static_cast<size_t>(put);
    }
  }
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes, const std::string& file) {
  if (head.size() < 8) broken(file, "shorter than its 8-byte header length");
  uint64_t length = 0;
  std::memcpy(&length, head.data(), 8);
  if (length > kLongestHeader || length + 8 > file_bytes || head.size() < length + 8)
    broken(file, fmt::format("its header claims {} bytes, the file has {}", length, file_bytes));
  std::set<std::string> names;
  bool repeated = false;
  const auto keep = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::key && depth == 1 && !names.insert(parsed.get<std::string>()).second) repeated = true;
    return depth < 16;
  };
  const nlohmann::json header = nlohmann::json::parse(head.substr(8, length), keep, /*allow_exceptions=*/false);
  if (!header.is_object()) broken(file, "its header is not a JSON object");
  if (repeated) broken(file, "a tensor name appears twice");

  SafetensorsHeader out;
  out.data_offset = 8 + length;
  const uint64_t data_bytes = file_bytes - out.data_offset;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) broken(file, "__metadata__ is not an object");
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) broken(file, "__metadata__ holds something that is not text");
        out.metadata[key] = text.get<std::string>();
      }
    } else {
      out.tensors.push_back(read_entry(name, value, data_bytes, file));
    }
  }
  std::sort(out.tensors.begin(), out.tensors.end(), [](const TensorEntry& a, const TensorEntry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t expected = 0;
  for (const TensorEntry& entry : out.tensors) {
    if (entry.begin != expected) broken(file, fmt::format("tensor '{}' begins at byte {} where {} was expected: a hole or an overlap", entry.name, entry.begin, expected));
    expected = entry.end;
  }
  if (expected != data_bytes) broken(file, fmt::format("{} bytes of data belong to no tensor", data_bytes - expected));
  return out;
}

SafetensorsHeader read_safetensors_header(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_safetensors_header(file.text(), file.size(), path.string());
}

uint64_t write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    uint64_t bytes = size_of(tensor.dtype);
    for (const int64_t extent : tensor.shape) bytes *= static_cast<uint64_t>(extent);
    header[tensor.name] = {{"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  Output out(path);
  out.write(&length, 8);
  out.write(text.data(), text.size());
  for (const TensorToWrite& tensor : tensors) {
    uint64_t bytes = size_of(tensor.dtype);
    for (const int64_t extent : tensor.shape) bytes *= static_cast<uint64_t>(extent);
    out.write(tensor.data, bytes);
  }
  if (::fsync(out.fd) != 0) fail(ErrorKind::file, "{}: cannot sync: {}", path.string(), std::strerror(errno));
  return out.checksum.value();
}

void Checksum::add(const void* data, size_t bytes) {
  total_ += bytes;
  const auto* at = static_cast<const unsigned char*>(data);
  const auto block = [this](const unsigned char* from) {
    for (int lane = 0; lane < 4; ++lane) {
      uint64_t word;
      std::memcpy(&word, from + 8 * lane, 8);
      lanes_[lane] = (lanes_[lane] ^ word) * 0x9FB21C651E98DF25ull;
      lanes_[lane] ^= lanes_[lane] >> 29;
    }
  };
  if (tail_bytes_ > 0) {
    const size_t take = std::min(bytes, 32 - tail_bytes_);
    std::memcpy(tail_ + tail_bytes_, at, take);
    tail_bytes_ += take;
    at += take;
    bytes -= take;
    if (tail_bytes_ < 32) return;
    block(tail_);
    tail_bytes_ = 0;
  }
  for (; bytes >= 32; at += 32, bytes -= 32) block(at);
  std::memcpy(tail_, at, bytes);
  tail_bytes_ = bytes;
}

uint64_t Checksum::value() const {
  uint64_t out = mix64(total_);
  for (const uint64_t lane : lanes_) out = mix64(out ^ lane);
  for (size_t i = 0; i < tail_bytes_; ++i) out = mix64(out ^ (uint64_t{tail_[i]} << (8 * (i % 8))) ^ i);
  return out;
}

uint64_t checksum_of_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  Checksum checksum;
  checksum.add(file.data(), file.size());
  return checksum.value();
}

}  // namespace ocoee::run
