// SPDX-License-Identifier: Apache-2.0
// manifest.json of a checkpoint: what was saved, and which file holds which box of which array.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "run/state.h"

namespace ocoee::run {

struct ManifestPiece {
  Box box;
  std::string file, key;  // key: the tensor's name in the file
};
struct ManifestArray {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype = DType::f32;
  std::vector<ManifestPiece> pieces;  // cover the array exactly
};
struct ManifestFile {
  std::string name;
  uint64_t bytes = 0, checksum = 0;  // XXH64
};
struct Manifest {
  int64_t step = 0;
  nlohmann::json values;
  double metric = std::numeric_limits<double>::quiet_NaN();  // Task::best_metric(); NaN = none
  double seconds = 0;           // the run's own time until here, over all its parts
  std::string program, recipe;  // version, hash of what must be equal to go on; may be empty
  std::vector<ManifestArray> arrays;
  std::vector<ManifestFile> files;
};

std::string to_text(const Manifest& manifest);
// Strict: what it returns is consistent in itself. Throws Error(data) naming `file`.
Manifest parse_manifest(const std::string& text, const std::string& file);
Manifest read_manifest(const std::filesystem::path& checkpoint);  // the folder; throws Error(data)

// Boxes inside the array, disjoint, together all of it. Throws Error(data) naming `file`.
void check_cover(const ManifestArray& array, const std::string& file);

}  // namespace ocoee::run
