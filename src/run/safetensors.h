// SPDX-License-Identifier: Apache-2.0
// The safetensors format: 8 bytes little-endian header length, a JSON header, then raw row-major
// little-endian data without holes. https://github.com/huggingface/safetensors
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/file.h"

namespace ocoee::run {

struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;   // empty for a scalar
  uint64_t begin = 0, end = 0;  // bytes, from the start of the data
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in the order of their data
  std::map<std::string, std::string> metadata;
  uint64_t data_offset = 0;                                // of the data within the file
  const TensorEntry* find(const std::string& name) const;  // null where there is none
};

// Strict: every offset, size, overlap, hole and name is checked against `file_bytes`. `head` holds
// at least the length and the header. Throws Error(data) naming `file` and the tensor.
SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes,
                                           const std::string& file);
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

// A whole file, mapped: tensors are views that live as long as the object.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const SafetensorsHeader& header() const { return header_; }
  const TensorEntry& entry(const std::string& name) const;  // throws Error(data), nearest name
  const void* data(const TensorEntry& entry) const {
    return file_.data() + header_.data_offset + entry.begin;
  }

 private:
  std::string path_;
  MappedFile file_;
  SafetensorsHeader header_;
};

struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};
// A file whose tensors come piece by piece: all bytes of the first, then of the next. Their `data`
// is not looked at. Throws Error(file).
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                    const std::map<std::string, std::string>& metadata = {});
  ~SafetensorsWriter();
  void write(const void* data, size_t bytes);
  uint64_t finish();  // syncs; the XXH64 of all bytes

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes and syncs the file; returns the XXH64 of all its bytes. Throws Error(file).
uint64_t write_safetensors(const std::filesystem::path& path,
                           const std::vector<TensorToWrite>& tensors,
                           const std::map<std::string, std::string>& metadata = {});

}  // namespace ocoee::run
