// SPDX-License-Identifier: Apache-2.0
// A checkpoint rewritten as another number of files. Loading never needs it; fewer files are easier
// to move, and one file opens in any safetensors reader.
#include <algorithm>
#include <utility>

#include "core/error.h"
#include "run/checkpoint.h"
#include "run/checkpoint_parts.h"
#include "run/safetensors.h"

namespace ocoee::run {
namespace {

// Rows of dimension 0 that shard `s` of `shards` takes; scalars go to the first.
Box rows_of(const std::vector<int64_t>& shape, int64_t s, int64_t shards) {
  Box box{std::vector<int64_t>(shape.size(), 0), shape};
  if (shape.empty()) {
    if (s > 0) box = {{0}, {0}};
    return box;
  }
  const int64_t begin = shape[0] * s / shards, end = shape[0] * (s + 1) / shards;
  box.offset[0] = begin;
  box.size[0] = end - begin;
  return box;
}

// The box from the checkpoint into the file, a few megabytes of whole rows at a time: slabs of
// dimension 0 lie one after the other in both.
void copy(BoxReader& reader, const StateArray& array, const Box& box, SafetensorsWriter& writer) {
  constexpr int64_t kAtOnce = int64_t{16} << 20;  // bytes
  const int64_t rows = box.size.empty() ? 1 : box.size[0],
                row = box.elements() / rows * static_cast<int64_t>(size_of(array.dtype));
  const int64_t step = std::max<int64_t>(1, kAtOnce / row);
  std::vector<char> host;
  for (int64_t first = 0; first < rows; first += step) {
    Box slab = box;
    const int64_t count = std::min(step, rows - first);
    if (!slab.size.empty()) slab.offset[0] += first, slab.size[0] = count;
    host.resize(static_cast<size_t>(count * row));
    reader.read(array, slab, host.data());
    writer.write(host.data(), host.size());
  }
}

// Makes the folder in which the copy grows. What a rewrite that was killed left there goes;
// anything else is somebody's.
void make_partial(const std::filesystem::path& partial, const std::filesystem::path& source) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status there = fs::symlink_status(partial, error);
  if (fs::exists(there)) {
    bool ours = fs::is_directory(there) && !fs::equivalent(partial, source, error);
    if (ours)
      for (const auto& entry : fs::directory_iterator(partial, error)) {
        const std::string name = entry.path().filename().string();
        const bool shard = name.starts_with("rank-") && name.ends_with(".safetensors");
        ours = ours && entry.is_regular_file() && (shard || name == "manifest.json");
      }
    if (!ours || error)
      fail(ErrorKind::file,
           "{}: is in the way: the copy is written there before it gets its name\n    fix: name "
           "another --to, or move that away",
           partial.string());
    fs::remove_all(partial, error);
  }
  fs::create_directories(partial, error);
  if (error) fail(ErrorKind::file, "{}: cannot create: {}", partial.string(), error.message());
}

}  // namespace

void reshard_checkpoint(const std::filesystem::path& source, const std::filesystem::path& target,
                        int64_t shards) {
  if (shards < 1 || shards > 99999)
    fail(ErrorKind::config, "{} shards: expected 1 to 99999", shards);
  std::error_code error;
  if (std::filesystem::exists(target, error))
    fail(ErrorKind::file, "{}: already there\n    fix: name a folder that does not exist",
         target.string());
  verify_checkpoint(source);
  Manifest manifest = read_manifest(source);
  if (const auto step = step_of_name(target); step && *step != manifest.step)
    fail(ErrorKind::config,
         "{}: names step {}, but {} is of step {}\n    fix: --to {}, or a name other than step-N",
         target.string(), *step, source.string(), manifest.step,
         checkpoint_path(target.parent_path(), manifest.step).string());
  const std::filesystem::path partial = target.string() + kPartial;
  make_partial(partial, source);
  const Manifest before = manifest;
  BoxReader reader(source, before);
  std::vector<ManifestArray> arrays = manifest.arrays;
  for (ManifestArray& array : arrays) array.pieces.clear();
  manifest.files.clear();
  try {
    for (int64_t s = 0; s < shards; ++s) {
      std::vector<std::pair<StateArray, Box>> boxes;
      std::vector<TensorToWrite> tensors;
      const std::string file = shard_name(s);
      for (ManifestArray& array : arrays) {
        const Box box = rows_of(array.shape, s, shards);
        if (box.elements() == 0) continue;
        const std::string key = key_of(array.name, array.shape, box);
        array.pieces.push_back({box, file, key});
        tensors.push_back({key, array.dtype, box.size, nullptr});
        boxes.push_back({{array.name, array.shape, array.dtype, {}}, box});
      }
      if (tensors.empty()) continue;
      SafetensorsWriter writer(partial / file, tensors);
      for (const auto& [array, box] : boxes) copy(reader, array, box, writer);
      const uint64_t checksum = writer.finish();
      manifest.files.push_back({file, std::filesystem::file_size(partial / file), checksum});
    }
    manifest.arrays = arrays;
    commit_checkpoint(partial, target, manifest);
  } catch (...) {
    std::filesystem::remove_all(partial, error);
    throw;
  }
}

}  // namespace ocoee::run
