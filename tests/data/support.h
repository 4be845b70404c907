// SPDX-License-Identifier: Apache-2.0
// Folders that vanish, files of bytes, gzip, and the genome that the tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "data/corpus.h"

namespace ocoee::data::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ocoee-data-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make " + name);
    path = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string write(const std::string& name, const std::string& contents) const {
    write_file_atomically(path / name, contents);
    return (path / name).string();
  }
  std::filesystem::path path;
};

// One gzip member. `extra`: the header's extra field, as bgzip has one.
inline std::string gzip(const std::string& plain, const std::string& extra = "") {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
  gz_header header{};
  std::string field = extra;
  header.extra = reinterpret_cast<Bytef*>(field.data());
  header.extra_len = static_cast<uInt>(field.size());
  if (!extra.empty()) deflateSetHeader(&stream, &header);
  std::string packed(plain.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) abort();
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// The message of the Error that `action` throws; "" when it throws none.
inline std::string message_of(const std::function<void()>& action,
                              ErrorKind kind = ErrorKind::data) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return {};
}

// E. coli K-12 MG1655 as Debian's ragout-examples ships it.
inline std::string genome_file() {
  const char* named = std::getenv("OCOEE_GENOME");
  const std::string path = named && *named ? named : OCOEE_SOURCE_DIR "/data/ecoli_mg1655.fasta.gz";
  if (!std::filesystem::exists(path)) {
    throw std::runtime_error(
        path +
        ": this test needs the E. coli K-12 MG1655 genome. Fix: run ./dev setup, which puts it "
        "there, or set OCOEE_GENOME to MG1655-K12.fasta.gz of Debian's package ragout-examples");
  }
  return path;
}

inline std::string random_bases(size_t size, uint32_t state) {
  std::string bases(size, 'A');
  for (char& base : bases) {
    state = state * 1664525u + 1013904223u;
    base = "ACGT"[state >> 30];
  }
  return bases;
}

}  // namespace ocoee::data::testing
