// SPDX-License-Identifier: Apache-2.0
#include "data/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"

namespace ocoee::data {
namespace {

class GzipBytes final : public ByteReader {
 public:
  GzipBytes(std::unique_ptr<ByteReader> packed, std::string name)
      : packed_(std::move(packed)), name_(std::move(name)), input_(size_t{1} << 16) {
    const int gzip_only = 16 + MAX_WBITS;
    OCOEE_CHECK(inflateInit2(&stream_, gzip_only) == Z_OK, "zlib does not start");
    watch_header();
  }
  ~GzipBytes() override { inflateEnd(&stream_); }
  GzipBytes(const GzipBytes&) = delete;

  size_t read(char* into, size_t capacity) override {
    if (finished_) return 0;
    stream_.next_out = reinterpret_cast<Bytef*>(into);
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(capacity, 1 << 30));
    const uInt room = stream_.avail_out;
    while (stream_.avail_out == room) {
      if (stream_.avail_in == 0 && !refill()) {
        finish();
        return 0;
      }
      if (between_members_ && !begin_member()) continue;
      inflate_some();
    }
    return room - stream_.avail_out;
  }

  std::string compression() const override { return blocked_ ? "bgzip" : "gzip"; }

 private:
  bool refill() {
    const size_t got = packed_->read(reinterpret_cast<char*>(input_.data()), input_.size());
    stream_.next_in = input_.data();
    stream_.avail_in = static_cast<uInt>(got);
    return got > 0;
  }

  void watch_header() {
    header_ = {};
    header_.extra = extra_.data();
    header_.extra_max = static_cast<uInt>(extra_.size());
    inflateGetHeader(&stream_, &header_);
  }

  // After one member, another may follow, or zeros that pad the file; false: nothing to inflate
  // yet.
  bool begin_member() {
    while (stream_.avail_in > 0 && *stream_.next_in == 0) {
      padded_ = true;
      ++stream_.next_in;
      --stream_.avail_in;
    }
    if (stream_.avail_in == 0) return false;
    if (padded_ || *stream_.next_in != 0x1F) {
      fail(ErrorKind::data,
           "{}: after the gzip data come bytes that are not gzip: the file is damaged, or two "
           "files were joined\n    fix: copy or download it again",
           name_);
    }
    inflateReset(&stream_);
    watch_header();
    between_members_ = false;
    return true;
  }

  void inflate_some() {
    const uInt before = stream_.avail_out;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    member_bytes_ += before - stream_.avail_out;
    total_bytes_ += before - stream_.avail_out;
    if (result == Z_STREAM_END) {
      // A bgzip block carries the field "BC"; its file ends with an empty block.
      blocked_ =
          header_.done == 1 && header_.extra_len >= 6 && extra_[0] == 'B' && extra_[1] == 'C';
      last_member_empty_ = member_bytes_ == 0;
      member_bytes_ = 0;
      between_members_ = true;
      return;
    }
    if (result == Z_MEM_ERROR) fail(ErrorKind::memory, "{}: no memory to decompress", name_);
    if (result != Z_OK && result != Z_BUF_ERROR) {
      fail(ErrorKind::data,
           "{}: the gzip data is damaged ({}) after {} decompressed bytes\n    fix: copy or "
           "download the file again; `gzip -t` checks it",
           name_, stream_.msg ? stream_.msg : "unknown format", total_bytes_);
    }
  }

  void finish() {
    finished_ = true;
    if (!between_members_ || (blocked_ && !last_member_empty_)) {
      fail(ErrorKind::data,
           "{}: the gzip data ends early, after {} decompressed bytes: the file is truncated\n    "
           "fix: copy or download it again; `gzip -t` checks it",
           name_, total_bytes_);
    }
  }

  std::unique_ptr<ByteReader> packed_;
  std::string name_;
  std::vector<Bytef> input_;
  z_stream stream_{};
  gz_header header_{};
  std::array<Bytef, 64> extra_{};
  bool between_members_ = false;
  bool blocked_ = false;
  bool last_member_empty_ = false;
  bool padded_ = false;
  bool finished_ = false;
  uint64_t member_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace

std::unique_ptr<ByteReader> open_gzip(std::unique_ptr<ByteReader> packed, std::string name) {
  return std::make_unique<GzipBytes>(std::move(packed), std::move(name));
}

}  // namespace ocoee::data
