// SPDX-License-Identifier: Apache-2.0
// The bytes of a sequence store's header. Used by store.cpp and store_writer.cpp alone.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <type_traits>

#include "data/store.h"

namespace ocoee::data {

inline constexpr std::array<char, 8> kStoreMagic = {'O', 'C', 'O', 'E', 'E', 'S', 'E', 'Q'};
inline constexpr uint32_t kStoreVersion = 1;

struct StoreHeader {
  std::array<char, 8> magic = kStoreMagic;
  uint32_t version = kStoreVersion;
  uint32_t kind = 0;
  uint64_t file_bytes = 0;
  uint64_t source_hash = 0;
  uint64_t letters = 0;  // they begin right after the header, the index right after them
  uint64_t index_bytes = 0;
  uint64_t records = 0;
  uint64_t lower_case = 0;
  uint64_t body_hash = 0;  // of letters and index
  std::array<uint64_t, 6> reserved{};
  uint64_t header_hash = 0;  // of the fields above
};
static_assert(sizeof(StoreHeader) == 128 && std::is_trivially_copyable_v<StoreHeader>);

struct IndexEntry {
  uint64_t offset = 0, length = 0;  // in letters
  uint32_t name_bytes = 0, description_bytes = 0;
};
static_assert(sizeof(IndexEntry) == 24);

uint64_t hash_of_fields(const StoreHeader& header);

// Reads `input` and writes the store at `path`, whole or not at all.
void write_store(const std::filesystem::path& input, SequenceStore::Kind kind, uint64_t source_hash,
                 const std::filesystem::path& path);

}  // namespace ocoee::data
