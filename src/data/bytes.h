// SPDX-License-Identifier: Apache-2.0
// Input files as streams of bytes, plain or gzip. Whether a file is gzip is read from its first
// bytes, not from its name. Several gzip members in a row (as bgzip writes them) are one stream; a
// stream that ends early or fails its checksum is an Error(data), never a shorter file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace ocoee::data {

class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // Up to `capacity` (> 0) bytes; 0 only at the end. Throws Error(data).
  virtual size_t read(char* into, size_t capacity) = 0;
  virtual std::string compression() const { return "none"; }  // "none", "gzip" or "bgzip"
};

// Throws Error(data) with the fix when `path` is missing (naming the nearest file there is), is a
// folder or another thing that is not a file, may not be read, or is empty.
void require_input_file(const std::filesystem::path& path);

std::unique_ptr<ByteReader> open_raw_bytes(const std::filesystem::path& path);  // as stored
std::unique_ptr<ByteReader> open_bytes(const std::filesystem::path& path);      // decompressed
// The same from memory; `name` stands in messages. The bytes must outlive the reader.
std::unique_ptr<ByteReader> open_bytes_in_memory(std::string_view bytes, const std::string& name);

}  // namespace ocoee::data
