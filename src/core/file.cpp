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

#include "core/error.h"

namespace ocoee {
namespace {

[[noreturn]] void fail_errno(const std::filesystem::path& path, const char* what) {
  const int code = errno;
  const char* fix = "";
  if (code == ENOSPC || code == EDQUOT)
    fix = ": free space there, or set run.dir to another file system";
  if (code == EACCES || code == EROFS || code == EPERM)
    fix = ": check the permissions of the folder";
  fail(ErrorKind::file, "{}: cannot {}: {}{}", path.string(), what, std::strerror(code), fix);
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_errno(path, "open for reading");
  std::string contents;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(path, "read");
    if (got == 0) return contents;
    contents.append(buffer, static_cast<size_t>(got));
  }
}

void sync_path(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_errno(path, "open");
  if (::fsync(file.fd) != 0 && errno != EINVAL) fail_errno(path, "sync");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  const std::filesystem::path beside = path.string() + fmt::format(".tmp-{}", ::getpid());
  try {
    Descriptor file{::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (file.fd < 0) fail_errno(path, "write");
    size_t done = 0;
    while (done < contents.size()) {
      const ssize_t put = ::write(file.fd, contents.data() + done, contents.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_errno(path, "write");
      done += static_cast<size_t>(put);
    }
    if (::fsync(file.fd) != 0) fail_errno(path, "sync");
    if (::rename(beside.c_str(), path.c_str()) != 0) fail_errno(path, "rename into place");
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  sync_path(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail_errno(path, "open for reading");
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail_errno(path, "examine");
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd, 0);
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
