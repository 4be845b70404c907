// SPDX-License-Identifier: Apache-2.0
// Files that survive a crash: whole reads, atomic writes (beside, synced, renamed), memory maps.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace ocoee {

// The line that mends what errno tells: "\n    fix: free space there, or set run.dir"; "" where
// there is nothing to say. `otherwise` is the caller's: how else its file could be written.
std::string fix_of(int code, std::string_view otherwise = "");

// Throws Error(file) with what errno tells: "PATH: cannot WHAT: ...", and fix_of.
[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* what,
                             std::string_view otherwise = "");

// A folder's path may end in "/": the same without it, so that names can be made beside it.
std::filesystem::path without_end_slash(const std::filesystem::path& path);

// The path, or where nothing is there yet, the folder that it would be made in.
std::filesystem::path nearest_existing(std::filesystem::path path);

std::string read_file(const std::filesystem::path& path);  // throws Error(file)

// Writes to a temporary name beside `path`, syncs it and its folder, renames. A reader sees the old
// file or the new one. Throws Error(file) with fix_of(errno, otherwise).
void write_file_atomically(const std::filesystem::path& path, std::string_view contents,
                           std::string_view otherwise = "");

void sync_path(const std::filesystem::path& path);  // fsync of a file or folder; throws Error(file)

// A file mapped read-only for the life of the object.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ocoee
