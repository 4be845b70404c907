// SPDX-License-Identifier: Apache-2.0
// What the files of the checkpoint code share.
#pragma once

#include <filesystem>
#include <string>

#include "run/manifest.h"

namespace ocoee::run {

inline constexpr const char* kPartial = ".partial";    // being written
inline constexpr const char* kRemoving = ".removing";  // being deleted

std::string shard_name(int64_t rank);  // "rank-00003.safetensors"

// The name of a box of an array within its shard.
std::string key_of(const std::string& array, const std::vector<int64_t>& shape, const Box& box);

// One file of a checkpoint against the manifest: size, checksum, tensors. Throws Error(data).
void verify_file(const std::filesystem::path& checkpoint, const Manifest& manifest,
                 const ManifestFile& file);

// Writes manifest.json into `partial`, syncs, and renames it to `whole`, replacing what is there.
void commit_checkpoint(const std::filesystem::path& partial, const std::filesystem::path& whole,
                       const Manifest& manifest);

}  // namespace ocoee::run
