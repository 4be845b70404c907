// SPDX-License-Identifier: Apache-2.0
// The safetensors format: 8 bytes little-endian header length, a JSON header, then raw row-major little-endian data without
// holes. https://github.com/huggingface/safetensors
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace ocoee::run {

struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;   // bytes, from the start of the data
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;            // in the order of their data
  std::map<std::string, std::string> metadata;
  uint64_t data_offset = 0;                    // of the data within the file
};

// Strict: every offset, size, overlap, hole and name is checked against `file_bytes`. Throws Error(data) naming `file`.
SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes, const std::string& file);
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};
// Writes and syncs the file; returns the XXH-style 64-bit checksum of all its bytes. Throws Error(file).
uint64_t write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                           const std::map<std::string, std::string>& metadata = {});

// A streaming checksum of bytes, 8 at a time: fast, and sensitive to order and length.
class Checksum {
 public:
  void add(const void* data, size_t bytes);
  uint64_t value() const;

 private:
  uint64_t lanes_[4] = {0x9E3779B97F4A7C15ull, 0xBF58476D1CE4E5B9ull, 0x94D049BB133111EBull, 0xD6E8FEB86659FD93ull};
  unsigned char tail_[32];
  size_t tail_bytes_ = 0;
  uint64_t total_ = 0;
};
uint64_t checksum_of_file(const std::filesystem::path& path);

}  // namespace ocoee::run
