// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "run/checkpoint.h"
#include "run/safetensors.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

[[noreturn]] void broken(const std::string& file, const std::string& what) {
  fail(ErrorKind::data, "{}: not a whole manifest: {}", file, what);
}

std::vector<int64_t> extents(const json& list, const std::string& file) {
  std::vector<int64_t> out;
  if (!list.is_array()) broken(file, "a shape or box is not a list");
  for (const json& item : list) {
    if (!item.is_number_integer() || item.get<int64_t>() < 0 || item.get<int64_t>() > (int64_t{1} << 48)) broken(file, "a shape or box holds an impossible number");
    out.push_back(item.get<int64_t>());
  }
  return out;
}

const json& member(const json& object, const char* key, const std::string& file) {
  if (!object.is_object() || !object.contains(key)) broken(file, fmt::format("'{}' is missing", key));
  return object[key];
}

std::string text_at(const json& object, const char* key, const std::string& file) {
  const json& value = member(object, key, file);
  if (!value.is_string()) broken(file, fmt::format("'{}' is not text", key));
  return value.get<std::string>();
}

uint64_t number_at(const json& object, const char* key, const std::string& file) {
  const json& value = member(object, key, file);
  if (!value.is_number_unsigned()) broken(file, fmt::format("'{}' is not a whole number", key));
  return value.get<uint64_t>();
}

// Pieces are disjoint and inside, so together they cover the array when their elements add up.
void check_cover(const ManifestArray& array, const std::string& file) {
  __int128 covered = 0, whole = 1;
  for (const int64_t extent : array.shape) whole *= extent;
  for (size_t i = 0; i < array.pieces.size(); ++i) {
    const Box& box = array.pieces[i].box;
    if (box.size.size() != array.shape.size() || box.offset.size() != array.shape.size()) broken(file, "a box of '" + array.name + "' has other dimensions than the array");
    __int128 elements = 1;
    for (size_t d = 0; d < box.size.size(); ++d) {
      if (box.offset[d] + box.size[d] > array.shape[d]) broken(file, "a box of '" + array.name + "' sticks out of it");
      elements *= box.size[d];
    }
    covered += elements;
    for (size_t j = 0; j < i; ++j) {
      if (intersect(box, array.pieces[j].box).elements() > 0) broken(file, "two boxes of '" + array.name + "' overlap");
    }
  }
  if (covered != whole) broken(file, "the boxes of '" + array.name + "' do not cover it");
}

}  // namespace

std::string to_text(const Manifest& m) {
  json out = {{"format", "ocoee checkpoint"}, {"version", 1}, {"step", m.step}, {"values", m.values}};
  if (std::isfinite(m.metric)) out["metric"] = m.metric;
  out["files"] = json::object();
  for (const ManifestFile& file : m.files) out["files"][file.name] = {{"bytes", file.bytes}, {"checksum", fmt::format("{:016x}", file.checksum)}};
  out["arrays"] = json::array();
  for (const ManifestArray& array : m.arrays) {
    json pieces = json::array();
    for (const ManifestPiece& piece : array.pieces) pieces.push_back({{"offset", piece.box.offset}, {"size", piece.box.size}, {"file", piece.file}, {"key", piece.key}});
    out["arrays"].push_back({{"name", array.name}, {"shape", array.shape}, {"dtype", name_of(array.dtype)}, {"pieces", pieces}});
  }
  return out.dump(1) + "\n";
}

Manifest parse_manifest(const std::string& text, const std::string& file) {
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth < 32; };
  const json in = json::parse(text, shallow, /*allow_exceptions=*/false);
  if (!in.is_object()) broken(file, "it is not a JSON object (cut short?)");
  if (number_at(in, "version", file) != 1) broken(file, fmt::format("version {} is newer than this program", number_at(in, "version", file)));
  Manifest m;
  m.step = static_cast<int64_t>(number_at(in, "step", file));
  m.values = member(in, "values", file);
  m.metric = in.contains("metric") && in["metric"].is_number() ? in["metric"].get<double>() : std::numeric_limits<double>::quiet_NaN();
  const json& files = member(in, "files", file);
  if (!files.is_object()) broken(file, "'files' is not an object");
  std::set<std::string> names;
  for (const auto& [name, entry] : files.items()) {
    if (name.find('/') != std::string::npos || name.find("..") != std::string::npos) broken(file, "a file name leaves the folder");
    uint64_t checksum = 0;
    const std::string digits = text_at(entry, "checksum", file);
    if (digits.size() != 16 || digits.find_first_not_of("0123456789abcdef") != std::string::npos) broken(file, "a checksum is not 16 hexadecimal digits");
    checksum = std::stoull(digits, nullptr, 16);
    m.files.push_back({name, number_at(entry, "bytes", file), checksum});
    names.insert(name);
  }
  const json& arrays = member(in, "arrays", file);
  if (!arrays.is_array()) broken(file, "'arrays' is not a list");
  for (const json& entry : arrays) {
    ManifestArray array;
    array.name = text_at(entry, "name", file);
    array.shape = extents(member(entry, "shape", file), file);
    array.dtype = dtype_from_name(text_at(entry, "dtype", file));
    const json& pieces = member(entry, "pieces", file);
    if (!pieces.is_array()) broken(file, "'pieces' is not a list");
    for (const json& p : pieces) {
      ManifestPiece piece{{extents(member(p, "offset", file), file), extents(member(p, "size", file), file)}, text_at(p, "file", file), text_at(p, "key", file)};
      if (!names.contains(piece.file)) broken(file, fmt::format("'{}' lies in the unlisted file {}", array.name, piece.file));
      array.pieces.push_back(std::move(piece));
    }
    check_cover(array, file);
    m.arrays.push_back(std::move(array));
  }
  return m;
}

Manifest read_manifest(const std::filesystem::path& checkpoint) {
  const auto path = checkpoint / "manifest.json";
  if (!std::filesystem::exists(path)) fail(ErrorKind::data, "{}: no manifest.json, so no checkpoint", checkpoint.string());
  return parse_manifest(read_file(path), path.string());
}

void verify_checkpoint(const std::filesystem::path& checkpoint) {
  const Manifest manifest = read_manifest(checkpoint);
  for (const ManifestFile& file : manifest.files) {
    const auto path = checkpoint / file.name;
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path, error);
    if (error) fail(ErrorKind::data, "{}: missing from the checkpoint", path.string());
    if (bytes != file.bytes) fail(ErrorKind::data, "{}: {} bytes, the manifest says {}: cut short or overwritten", path.string(), bytes, file.bytes);
    if (checksum_of_file(path) != file.checksum) fail(ErrorKind::data, "{}: its checksum is wrong: damaged after it was written", path.string());
  }
}

std::string inspect_text(const std::filesystem::path& checkpoint) {
  const Manifest m = read_manifest(checkpoint);
  uint64_t bytes = 0;
  for (const ManifestFile& file : m.files) bytes += file.bytes;
  std::string out = fmt::format("{}\nstep {}, {} arrays in {} files, {}\n", checkpoint.string(), m.step, m.arrays.size(), m.files.size(), format_bytes(static_cast<double>(bytes)));
  for (const ManifestArray& array : m.arrays) out += fmt::format("  {:<56} {:<5} [{}]  {} piece{}\n", array.name, name_of(array.dtype), fmt::join(array.shape, ", "), array.pieces.size(), array.pieces.size() == 1 ? "" : "s");
  return out + "values " + m.values.dump() + "\n";
}

std::filesystem::path checkpoint_path(const std::filesystem::path& folder, int64_t step) { return folder / fmt::format("step-{}", step); }

std::vector<int64_t> checkpoint_steps(const std::filesystem::path& folder) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-") || name.find_first_not_of("0123456789", 5) != std::string::npos || name.size() < 6 || name.size() > 20) continue;
    steps.push_back(std::stoll(name.substr(5)));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace ocoee::run
