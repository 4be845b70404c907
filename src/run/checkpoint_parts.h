// SPDX-License-Identifier: Apache-2.0
// What the files of the checkpoint code share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/manifest.h"

namespace ocoee::run {

inline constexpr const char* kPartial = ".partial";    // being written
inline constexpr const char* kRemoving = ".removing";  // being deleted

// N of a folder "step-N", whether it is there or not; nothing for any other name.
std::optional<int64_t> step_of_name(const std::filesystem::path& checkpoint);

std::string shard_name(int64_t rank);  // "rank-00003.safetensors"

// The name of a box of an array within its shard.
std::string key_of(const std::string& array, const std::vector<int64_t>& shape, const Box& box);

// What a manifest promises of each file.
using Promises =
    std::map<std::string, std::vector<std::pair<const ManifestArray*, const ManifestPiece*>>>;
Promises promises_of(const Manifest& manifest);  // which must outlive them

// One file of a checkpoint against the manifest: size, checksum, tensors. Throws Error(data).
void verify_file(const std::filesystem::path& checkpoint, const Promises& promises,
                 const ManifestFile& file);

// Reads boxes of a checkpoint's arrays by ranges of its files, which are opened as they are needed.
class BoxReader {
 public:
  BoxReader(std::filesystem::path checkpoint, const Manifest& manifest);  // which must outlive it
  ~BoxReader();
  // The array must be there in this shape and a type that loads, which is returned. Throws
  // Error(data).
  DType check(const StateArray& array) const;
  // A box of it, in the stored type, into the row-major block `host`. Throws Error(data).
  void read(const StateArray& array, const Box& box, char* host);
  int64_t bytes_read() const;    // at most 9/8 of what is needed: small gaps are read along
  int64_t window_bytes() const;  // of the reader's own memory

 private:
  struct Shards;
  std::filesystem::path checkpoint_;
  std::map<std::string, const ManifestArray*> arrays_;
  std::unique_ptr<Shards> shards_;
};

// Writes manifest.json into `partial`, syncs, and renames it to `whole`, replacing what is there.
void commit_checkpoint(const std::filesystem::path& partial, const std::filesystem::path& whole,
                       const Manifest& manifest);

}  // namespace ocoee::run
