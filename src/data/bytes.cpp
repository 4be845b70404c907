// SPDX-License-Identifier: Apache-2.0
#include "data/bytes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "data/gzip.h"

namespace ocoee::data {
namespace {

class FileBytes final : public ByteReader {
 public:
  explicit FileBytes(const std::filesystem::path& path) : name_(path.string()) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) {
      fail(ErrorKind::data, "{}: cannot open for reading: {}", name_, std::strerror(errno));
    }
  }
  ~FileBytes() override { ::close(fd_); }
  FileBytes(const FileBytes&) = delete;

  size_t read(char* into, size_t capacity) override {
    for (;;) {
      const ssize_t got = ::read(fd_, into, capacity);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) fail(ErrorKind::data, "{}: cannot read: {}", name_, std::strerror(errno));
    }
  }

 private:
  std::string name_;
  int fd_ = -1;
};

class MemoryBytes final : public ByteReader {
 public:
  explicit MemoryBytes(std::string_view bytes) : rest_(bytes) {}
  size_t read(char* into, size_t capacity) override {
    const size_t take = std::min(capacity, rest_.size());
    std::copy_n(rest_.data(), take, into);
    rest_.remove_prefix(take);
    return take;
  }

 private:
  std::string_view rest_;
};

// Gives back the bytes that were read to recognise the format, then the rest.
class PeekedBytes final : public ByteReader {
 public:
  PeekedBytes(std::string first, std::unique_ptr<ByteReader> rest)
      : first_(std::move(first)), rest_(std::move(rest)) {}
  size_t read(char* into, size_t capacity) override {
    if (given_ == first_.size()) return rest_->read(into, capacity);
    const size_t take = std::min(capacity, first_.size() - given_);
    std::copy_n(first_.data() + given_, take, into);
    given_ += take;
    return take;
  }

 private:
  std::string first_;
  size_t given_ = 0;
  std::unique_ptr<ByteReader> rest_;
};

struct Packing {
  std::string_view magic;
  const char* name;
  const char* fix;
};
constexpr Packing kUnsupported[] = {
    {"\xFD\x37zXZ", "xz", "unxz"},
    {"BZh", "bzip2", "bunzip2"},
    {"\x28\xB5\x2F\xFD", "zstd", "unzstd"},
    {"PK\x03\x04", "zip", "unzip"},
};

std::unique_ptr<ByteReader> recognise(std::unique_ptr<ByteReader> raw, const std::string& name) {
  std::string first(8, '\0');
  size_t size = 0;
  while (size < first.size()) {
    const size_t got = raw->read(first.data() + size, first.size() - size);
    if (got == 0) break;
    size += got;
  }
  first.resize(size);
  for (const Packing& packing : kUnsupported) {
    if (first.starts_with(packing.magic)) {
      fail(ErrorKind::data,
           "{}: the file is packed with {}; Ocoee reads plain and gzip files\n    fix: unpack it "
           "first ({}), then name the unpacked file",
           name, packing.name, packing.fix);
    }
  }
  const bool gzip = first.starts_with("\x1F\x8B");
  auto whole = std::make_unique<PeekedBytes>(std::move(first), std::move(raw));
  if (!gzip) return whole;
  return open_gzip(std::move(whole), name);
}

// "; the nearest file there is 'x.fa'", or nothing.
std::string nearest_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::is_directory(folder, error)) {
    return fmt::format("; its folder '{}' does not exist either", folder.string());
  }
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    names.push_back(at->path().filename().string());
    if (names.size() == 10000) break;
  }
  std::sort(names.begin(), names.end());
  const std::string near = nearest(path.filename().string(), names);
  return near.empty() ? "" : fmt::format("; the nearest name there is '{}'", near);
}

}  // namespace

void require_input_file(const std::filesystem::path& path) {
  if (path.empty()) fail(ErrorKind::data, "an input file has an empty name; expected a path");
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    fail(ErrorKind::data, "{}: no such file{}\n    fix: check the path (it is taken from '{}')",
         path.string(), nearest_file(path),
         path.is_absolute() ? "/" : std::filesystem::current_path(error).string());
  }
  if (error) fail(ErrorKind::data, "{}: cannot examine: {}", path.string(), error.message());
  if (std::filesystem::is_directory(status)) {
    fail(ErrorKind::data,
         "{}: this is a folder; expected a file\n    fix: name the files in it one by one",
         path.string());
  }
  if (!std::filesystem::is_regular_file(status)) {
    fail(ErrorKind::data,
         "{}: this is a device, pipe or socket; expected a file, since it is read twice\n    fix: "
         "write its content to a file first",
         path.string());
  }
  if (::access(path.c_str(), R_OK) != 0) {
    fail(ErrorKind::data, "{}: cannot open for reading: {}\n    fix: chmod +r, or ask its owner",
         path.string(), std::strerror(errno));
  }
  if (std::filesystem::file_size(path, error) == 0 && !error) {
    fail(ErrorKind::data, "{}: the file is empty\n    fix: copy or download it again",
         path.string());
  }
}

std::unique_ptr<ByteReader> open_raw_bytes(const std::filesystem::path& path) {
  require_input_file(path);
  return std::make_unique<FileBytes>(path);
}

std::unique_ptr<ByteReader> open_bytes(const std::filesystem::path& path) {
  return recognise(open_raw_bytes(path), path.string());
}

std::unique_ptr<ByteReader> open_bytes_in_memory(std::string_view bytes, const std::string& name) {
  return recognise(std::make_unique<MemoryBytes>(bytes), name);
}

}  // namespace ocoee::data
