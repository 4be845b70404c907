// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/host.h"
#include "core/stop_signals.h"
#include "data/bytes.h"
#include "data/content_hash.h"
#include "data/fasta.h"
#include "data/store_format.h"

namespace ocoee::data {
namespace {

[[noreturn]] void fail_write(const std::filesystem::path& path, const char* what) {
  const int code = errno;
  fail(ErrorKind::file, "{}: cannot {} the sequence store: {}{}", path.string(), what,
       std::strerror(code), fix_of(code, "set OCOEE_CACHE to another folder"));
}

// A name of its own for each builder, on any machine that shares the folder.
std::string temporary_name(const std::filesystem::path& path) {
  static std::atomic<int> counter{0};
  return fmt::format("{}.tmp-{}-{}-{}", path.string(), host_name(), ::getpid(), counter++);
}

class StoreWriter final : public FastaSink {
 public:
  explicit StoreWriter(const std::filesystem::path& path)
      : path_(path), temporary_(temporary_name(path)) {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ < 0) fail_write(path_, "create");
    put({reinterpret_cast<const char*>(&header_), sizeof header_});
  }
  ~StoreWriter() override {
    if (fd_ >= 0) ::close(fd_);
    if (!finished_) ::unlink(temporary_.c_str());
  }
  StoreWriter(const StoreWriter&) = delete;

  void begin_record(const std::string& name, const std::string& description) override {
    end_record();
    ++header_.records;
    entry_ = {header_.letters, 0, static_cast<uint32_t>(name.size()),
              static_cast<uint32_t>(description.size())};
    names_ = name + description;
  }
  void add_bases(std::string_view letters) override {
    body_hash_.add(letters);
    put(letters);
    header_.letters += letters.size();
  }

  void finish(SequenceStore::Kind kind, uint64_t source_hash, int64_t lower_case) {
    end_record();
    body_hash_.add(index_);
    put(index_);
    flush();
    header_.kind = static_cast<uint32_t>(kind);
    header_.file_bytes = sizeof header_ + header_.letters + index_.size();
    header_.source_hash = source_hash;
    header_.index_bytes = index_.size();
    header_.lower_case = static_cast<uint64_t>(lower_case);
    header_.body_hash = body_hash_.value();
    header_.header_hash = hash_of_fields(header_);
    if (::pwrite(fd_, &header_, sizeof header_, 0) != ssize_t{sizeof header_}) {
      fail_write(path_, "write");
    }
    if (::fsync(fd_) != 0) fail_write(path_, "sync");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_write(path_, "rename into place");
    finished_ = true;
    sync_path(path_.parent_path());
  }

 private:
  void end_record() {
    if (header_.records == 0) return;
    entry_.length = header_.letters - entry_.offset;
    index_.append(reinterpret_cast<const char*>(&entry_), sizeof entry_);
    index_ += names_;
  }

  void put(std::string_view bytes) {
    buffer_ += bytes;
    if (buffer_.size() >= size_t{1} << 20) flush();
  }
  void flush() {
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t done = ::write(fd_, rest.data(), rest.size());
      if (done < 0 && errno != EINTR) fail_write(path_, "write");
      if (done > 0) rest.remove_prefix(static_cast<size_t>(done));
    }
    buffer_.clear();
  }

  std::filesystem::path path_;
  std::string temporary_;
  int fd_ = -1;
  bool finished_ = false;
  StoreHeader header_;
  IndexEntry entry_;
  std::string names_, index_, buffer_;
  ContentHash body_hash_;
};

// Builders that were killed leave their temporary file; one this old has no owner any more.
void remove_stale(const std::filesystem::path& path) {
  std::error_code error;
  const std::string prefix = path.filename().string() + ".tmp-";
  const auto limit = std::filesystem::file_time_type::clock::now() - std::chrono::hours(24);
  for (std::filesystem::directory_iterator at(path.parent_path(), error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (!at->path().filename().string().starts_with(prefix)) continue;
    if (at->last_write_time(ignored) < limit && !ignored) {
      std::filesystem::remove(at->path(), ignored);
    }
  }
}

FastaCounts copy_text(ByteReader& reader, const std::string& name, FastaSink& sink) {
  std::vector<char> chunk(size_t{1} << 18);
  sink.begin_record(name, "");
  FastaCounts counts;
  counts.records = 1;
  while (const size_t got = reader.read(chunk.data(), chunk.size())) {
    stop_if_signalled();
    sink.add_bases({chunk.data(), got});
    counts.bases += static_cast<int64_t>(got);
  }
  return counts;
}

}  // namespace

uint64_t hash_of_fields(const StoreHeader& header) {
  return content_hash({reinterpret_cast<const char*>(&header), offsetof(StoreHeader, header_hash)});
}

FastaCounts read_records(const std::filesystem::path& input, SequenceStore::Kind kind,
                         FastaSink& sink) {
  const auto reader = open_bytes(input);
  if (kind == SequenceStore::Kind::fasta) return parse_fasta(*reader, input.string(), sink);
  const FastaCounts counts = copy_text(*reader, input.filename().string(), sink);
  if (counts.bases == 0)
    fail(ErrorKind::data, "{}: the file holds no text once decompressed\n    fix: make it again",
         input.string());
  return counts;
}

void write_store(const std::filesystem::path& input, SequenceStore::Kind kind, uint64_t source_hash,
                 const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    errno = error.value();
    fail_write(path, "create the folder of");
  }
  remove_stale(path);
  StoreWriter writer(path);
  const int64_t lower_case = read_records(input, kind, writer).lower_case;
  writer.finish(kind, source_hash, lower_case);
}

}  // namespace ocoee::data
