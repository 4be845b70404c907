// SPDX-License-Identifier: Apache-2.0
// XXH64 (Collet, seed 0), streaming: the checksum of checkpoint files, so that `xxhsum -H1` agrees
// with a manifest. Several GB/s on one core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace ocoee::run {

class Checksum {
 public:
  void add(const void* data, size_t bytes);
  uint64_t value() const;

 private:
  void stripe(const unsigned char* from);  // 32 bytes
  uint64_t lanes_[4] = {0x60EA27EEADC0B5D6ull, 0xC2B2AE3D27D4EB4Full, 0, 0x61C8864E7A143579ull};
  unsigned char tail_[32] = {};
  size_t tail_bytes_ = 0;
  uint64_t total_ = 0;
};

uint64_t checksum_of_file(const std::filesystem::path& path);  // throws Error(file)

}  // namespace ocoee::run
