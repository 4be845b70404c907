// SPDX-License-Identifier: Apache-2.0
#include "data/store.h"

#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/log.h"
#include "core/stop_signals.h"
#include "data/bytes.h"
#include "data/content_hash.h"
#include "data/store_format.h"

namespace ocoee::data {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Takes a value off the front of `bytes`; false when it is too short.
template <class Value>
bool take(std::string_view& bytes, Value& value) {
  if (bytes.size() < sizeof value) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return true;
}
bool take(std::string_view& bytes, size_t size, std::string& text) {
  if (bytes.size() < size) return false;
  text = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

}  // namespace

std::filesystem::path default_cache_folder() {
  if (const std::string cache = environment("OCOEE_CACHE"); !cache.empty()) return cache;
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return std::filesystem::path(cache) / "ocoee";
  }
  if (const std::string home = environment("HOME"); !home.empty()) {
    return std::filesystem::path(home) / ".cache" / "ocoee";
  }
  return std::filesystem::absolute(".ocoee-cache");
}

SequenceStore::SequenceStore(const std::filesystem::path& input, Kind kind,
                             const std::filesystem::path& cache)
    : source_hash_(content_hash_of_file(input, stop_if_signalled)), kind_(kind) {
  path_ = cache / fmt::format("{}-{:016x}.v{}.store", kind == Kind::fasta ? "fasta" : "text",
                              source_hash_, kStoreVersion);
  std::error_code error;
  if (std::filesystem::exists(path_, error)) {
    const std::string why = load();
    if (why.empty()) return;
    log::info("{}: the sequence store is damaged ({}); it is built again", path_.string(), why);
  }
  write_store(input, kind, source_hash_, path_);
  was_built_ = true;
  const std::string why = load();
  if (!why.empty()) {
    fail(ErrorKind::file,
         "{}: the sequence store cannot be read back right after it was written: {}\n    fix: "
         "check the disk, or set OCOEE_CACHE to a folder on another file system",
         path_.string(), why);
  }
}

std::string SequenceStore::load() {
  records_.clear();
  file_ = MappedFile(path_);
  std::string_view rest = file_.text();
  StoreHeader header;
  if (!take(rest, header)) return fmt::format("it has only {} bytes", file_.size());
  if (header.magic != kStoreMagic) return "it does not begin as a store does";
  if (header.version != kStoreVersion) return fmt::format("version {}", header.version);
  if (header.header_hash != hash_of_fields(header)) return "the checksum of its header is wrong";
  if (header.file_bytes != file_.size()) {
    return fmt::format("it has {} bytes instead of {}", file_.size(), header.file_bytes);
  }
  if (header.source_hash != source_hash_ || header.kind != static_cast<uint32_t>(kind_)) {
    return "it belongs to another file";
  }
  if (header.body_hash != content_hash(rest)) return "its checksum is wrong";
  const std::string_view letters = rest.substr(0, header.letters);
  rest.remove_prefix(letters.size());
  for (uint64_t i = 0; i < header.records; ++i) {
    IndexEntry entry;
    Record record;
    if (!take(rest, entry) || !take(rest, entry.name_bytes, record.name) ||
        !take(rest, entry.description_bytes, record.description) || entry.offset > letters.size() ||
        entry.length > letters.size() - entry.offset) {
      return fmt::format("the index entry of record {} is wrong", i + 1);
    }
    record.letters = letters.substr(entry.offset, entry.length);
    records_.push_back(std::move(record));
  }
  lower_case_ = static_cast<int64_t>(header.lower_case);
  return {};
}

}  // namespace ocoee::data
