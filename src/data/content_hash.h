// SPDX-License-Identifier: Apache-2.0
// XXH64 (Y. Collet, xxHash specification 0.1.1, seed 0): names a file by its content and guards a
// store against damage. Equal to `xxhsum -H64`. It does not resist an attacker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace ocoee::data {

class ContentHash {
 public:
  void add(std::string_view bytes);
  uint64_t value() const;  // of everything added so far

 private:
  std::array<uint64_t, 4> lanes_ = {0x60EA27EEADC0B5D6ull, 0xC2B2AE3D27D4EB4Full, 0,
                                    0x61C8864E7A143579ull};
  std::array<char, 32> pending_{};
  size_t pending_size_ = 0;
  uint64_t total_ = 0;
};

uint64_t content_hash(std::string_view bytes);
// Throws Error(data). `between` is called between pieces of the file, and may throw as well.
uint64_t content_hash_of_file(const std::filesystem::path& path, void (*between)() = nullptr);

}  // namespace ocoee::data
