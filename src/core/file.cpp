// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "core/descriptor.h"
#include "core/error.h"

namespace ocoee {

void fail_errno(const std::filesystem::path& path, const char* what, std::string_view otherwise) {
  const int code = errno;
  fail(ErrorKind::file, "{}: cannot {}: {}{}", path.string(), what, std::strerror(code),
       fix_of(code, otherwise));
}

std::string fix_of(int code, std::string_view otherwise) {
  std::string fix;
  if (code == ENOSPC || code == EDQUOT) fix = "free space there";
  if (code == EFBIG) fix = "raise the limit on the size of a file (ulimit -f)";
  if (code == EACCES || code == EPERM) fix = "check the permissions there";
  if (code == EROFS) fix = "mount that file system for writing";
  if (code == ENOTDIR || code == EEXIST)
    fix = "move the file away that stands where a folder is needed";
  if (!fix.empty() && !otherwise.empty()) fix += ", or ";
  fix += otherwise;
  return fix.empty() ? "" : "\n    fix: " + fix;
}

std::filesystem::path without_end_slash(const std::filesystem::path& path) {
  return path.has_filename() || !path.has_relative_path() ? path : path.parent_path();
}

std::filesystem::path nearest_existing(std::filesystem::path path) {
  std::error_code error;
  path = std::filesystem::absolute(path, error);
  while (!std::filesystem::exists(path, error) && path.has_relative_path())
    path = path.parent_path();
  return path;
}

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) fail_errno(path, "open for reading");
  std::string contents;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(path, "read");
    if (got == 0) return contents;
    contents.append(buffer, static_cast<size_t>(got));
  }
}

void sync_path(const std::filesystem::path& path) {
  const std::filesystem::path there = path.empty() ? "." : path;  // the parent of a bare name
  const Descriptor file(::open(there.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) fail_errno(path, "open");
  if (::fsync(file.get()) != 0 && errno != EINVAL) fail_errno(path, "sync");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents,
                           std::string_view otherwise) {
  const std::filesystem::path beside = path.string() + fmt::format(".tmp-{}", ::getpid());
  try {
    const Descriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file.open()) fail_errno(path, "write", otherwise);
    size_t done = 0;
    while (done < contents.size()) {
      const ssize_t put = ::write(file.get(), contents.data() + done, contents.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_errno(path, "write", otherwise);
      done += static_cast<size_t>(put);
    }
    if (::fsync(file.get()) != 0) fail_errno(path, "sync", otherwise);
    if (::rename(beside.c_str(), path.c_str()) != 0)
      fail_errno(path, "rename into place", otherwise);
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  sync_path(path.parent_path());
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) fail_errno(path, "open for reading");
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail_errno(path, "examine");
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) fail_errno(path, "map into memory");
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace ocoee
