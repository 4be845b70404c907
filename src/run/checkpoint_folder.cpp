// SPDX-License-Identifier: Apache-2.0
// What lies in RUN/checkpoints, without loading it: names, integrity, a description.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/text.h"
#include "data/content_hash.h"
#include "run/checkpoint.h"
#include "run/checkpoint_parts.h"
#include "run/safetensors.h"

namespace ocoee::run {

std::filesystem::path checkpoint_path(const std::filesystem::path& folder, int64_t step) {
  return folder / fmt::format("step-{}", step);
}

std::optional<int64_t> step_of_name(const std::filesystem::path& checkpoint) {
  const std::string name = checkpoint.filename().string();
  if (!name.starts_with("step-") || name.size() < 6 || name.size() > 20) return std::nullopt;
  if (name.find_first_not_of("0123456789", 5) != std::string::npos) return std::nullopt;
  return std::stoll(name.substr(5));
}

std::vector<int64_t> checkpoint_steps(const std::filesystem::path& folder) {
  std::vector<int64_t> steps;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error) return steps;
  for (const auto& entry : entries) {
    if (const auto step = step_of_name(entry.path())) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<int64_t> best_checkpoint(const std::filesystem::path& folder) {
  std::optional<int64_t> best;
  double lowest = std::numeric_limits<double>::infinity();
  for (const int64_t step : checkpoint_steps(folder)) {
    try {
      const double metric = read_manifest(checkpoint_path(folder, step)).metric;
      if (metric < lowest) lowest = metric, best = step;
    } catch (const Error&) {  // damaged: told when it is loaded
    }
  }
  return best;
}

void remove_leftovers(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error) return;
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-")) continue;
    if (!name.ends_with(kPartial) && !name.ends_with(kRemoving)) continue;
    std::filesystem::remove_all(entry.path(), error);
    if (error)
      log::warn("{}: cannot remove what an earlier run left half-done: {}", entry.path().string(),
                error.message());
  }
}

Promises promises_of(const Manifest& manifest) {
  Promises out;
  for (const ManifestArray& array : manifest.arrays)
    for (const ManifestPiece& piece : array.pieces) out[piece.file].emplace_back(&array, &piece);
  return out;
}

void verify_file(const std::filesystem::path& checkpoint, const Promises& promises,
                 const ManifestFile& file) {
  const auto path = checkpoint / file.name;
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) fail(ErrorKind::data, "{}: missing from the checkpoint", path.string());
  if (bytes != file.bytes)
    fail(ErrorKind::data, "{}: {} bytes, the manifest says {}: cut short or overwritten",
         path.string(), bytes, file.bytes);
  if (data::content_hash_of_file(path) != file.checksum)
    fail(ErrorKind::data, "{}: its checksum is wrong: damaged after it was written", path.string());
  const SafetensorsHeader header = read_safetensors_header(path);
  std::map<std::string, const TensorEntry*> tensors;
  for (const TensorEntry& entry : header.tensors) tensors[entry.name] = &entry;
  const auto promised = promises.find(file.name);
  if (promised == promises.end()) return;
  for (const auto& [array, piece] : promised->second) {
    const auto found = tensors.find(piece->key);
    if (found == tensors.end() || found->second->shape != piece->box.size ||
        found->second->dtype != array->dtype)
      fail(ErrorKind::data, "{}: lacks '{}' as the manifest describes it", path.string(),
           piece->key);
  }
}

void verify_checkpoint(const std::filesystem::path& checkpoint) {
  const Manifest manifest = read_manifest(checkpoint);
  const Promises promises = promises_of(manifest);
  for (const ManifestFile& file : manifest.files) verify_file(checkpoint, promises, file);
}

std::string inspect_text(const std::filesystem::path& checkpoint) {
  const Manifest m = read_manifest(checkpoint);
  uint64_t bytes = 0;
  for (const ManifestFile& file : m.files) bytes += file.bytes;
  std::string out = fmt::format(
      "{}\nstep {}, {} arrays in {} file{}, {}\n", checkpoint.string(), m.step, m.arrays.size(),
      m.files.size(), m.files.size() == 1 ? "" : "s", format_bytes(static_cast<double>(bytes)));
  if (!m.program.empty()) out += fmt::format("written by ocoee {}", m.program);
  if (!m.recipe.empty()) out += fmt::format(", recipe {}", m.recipe);
  if (!m.program.empty()) out += "\n";
  if (std::isfinite(m.metric)) out += fmt::format("metric {}\n", m.metric);
  const auto folder =
      without_end_slash(std::filesystem::absolute(checkpoint).lexically_normal()).parent_path();
  if (const auto best = best_checkpoint(folder))
    out += *best == m.step ? "the best of this run's checkpoints\n"
                           : fmt::format("the best of this run's checkpoints is step {}\n", *best);
  for (const ManifestArray& array : m.arrays)
    out += fmt::format("  {:<56} {:<5} [{}]  {} piece{}\n", array.name, name_of(array.dtype),
                       fmt::join(array.shape, ", "), array.pieces.size(),
                       array.pieces.size() == 1 ? "" : "s");
  return out + "values " + m.values.dump() + "\n";
}

}  // namespace ocoee::run
