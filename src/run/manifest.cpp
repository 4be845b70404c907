// SPDX-License-Identifier: Apache-2.0
#include "run/manifest.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "run/checkpoint_parts.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

constexpr int64_t kMostElements = int64_t{1} << 58;  // times the widest element still fits 62 bits

[[noreturn]] void broken(const std::string& file, const std::string& what) {
  fail(ErrorKind::data, "{}: not a whole manifest: {}", file, what);
}

const json& member(const json& object, const char* key, const std::string& file) {
  if (!object.is_object() || !object.contains(key))
    broken(file, fmt::format("'{}' is missing", key));
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

const json& list_at(const json& object, const char* key, const std::string& file) {
  const json& value = member(object, key, file);
  if (!value.is_array()) broken(file, fmt::format("'{}' is not a list", key));
  return value;
}

std::vector<int64_t> extents_at(const json& object, const char* key, const std::string& file) {
  std::vector<int64_t> out;
  for (const json& item : list_at(object, key, file)) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > uint64_t{kMostElements})
      broken(file, fmt::format("'{}' holds an impossible number", key));
    out.push_back(item.get<int64_t>());
  }
  return out;
}

ManifestFile read_file_entry(const std::string& name, const json& entry, const std::string& file) {
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == ".." ||
      name.find('\0') != std::string::npos)
    broken(file, fmt::format("the file name '{}' leaves the folder", name));
  const std::string digits = text_at(entry, "checksum", file);
  if (digits.size() != 16 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    broken(file, fmt::format("the checksum of {} is not 16 hexadecimal digits", name));
  return {name, number_at(entry, "bytes", file), std::stoull(digits, nullptr, 16)};
}

ManifestArray read_array(const json& entry, const std::set<std::string>& files,
                         const std::string& file) {
  ManifestArray array;
  array.name = text_at(entry, "name", file);
  array.shape = extents_at(entry, "shape", file);
  try {
    array.dtype = dtype_from_name(text_at(entry, "dtype", file));
  } catch (const Error& error) {
    broken(file, fmt::format("'{}': {}", array.name, error.what()));
  }
  for (const json& p : list_at(entry, "pieces", file)) {
    ManifestPiece piece{{extents_at(p, "offset", file), extents_at(p, "size", file)},
                        text_at(p, "file", file),
                        text_at(p, "key", file)};
    if (!files.contains(piece.file))
      broken(file, fmt::format("'{}' lies in the unlisted file {}", array.name, piece.file));
    array.pieces.push_back(std::move(piece));
  }
  check_cover(array, file);
  return array;
}

// The elements of a shape, or nothing when there are too many to be true.
bool elements_of(const std::vector<int64_t>& shape, int64_t& elements) {
  elements = 1;
  for (const int64_t extent : shape) {
    if (extent == 0) return elements = 0, true;
    if (extent < 0 || elements > kMostElements / extent) return false;
    elements *= extent;
  }
  return true;
}

// Pairs that meet are looked for along the dimension with the most distinct offsets.
void check_disjoint(const ManifestArray& array, const std::string& file) {
  size_t along = 0, most = 0;
  for (size_t d = 0; d < array.shape.size(); ++d) {
    std::set<int64_t> offsets;
    for (const ManifestPiece& piece : array.pieces) offsets.insert(piece.box.offset[d]);
    if (offsets.size() > most) most = offsets.size(), along = d;
  }
  std::vector<const Box*> boxes;
  for (const ManifestPiece& piece : array.pieces) boxes.push_back(&piece.box);
  if (!array.shape.empty()) {
    std::sort(boxes.begin(), boxes.end(),
              [along](const Box* a, const Box* b) { return a->offset[along] < b->offset[along]; });
  }
  for (size_t i = 0; i < boxes.size(); ++i) {
    for (size_t j = i + 1; j < boxes.size(); ++j) {
      if (!array.shape.empty() &&
          boxes[j]->offset[along] >= boxes[i]->offset[along] + boxes[i]->size[along])
        break;
      if (intersect(*boxes[i], *boxes[j]).elements() > 0)
        broken(file, fmt::format("two boxes of '{}' overlap", array.name));
    }
  }
}

}  // namespace

void check_cover(const ManifestArray& array, const std::string& file) {
  int64_t whole = 0;
  if (!elements_of(array.shape, whole))
    broken(file, fmt::format("'{}' has an impossible shape", array.name));
  __int128 covered = 0;
  for (const ManifestPiece& piece : array.pieces) {
    const Box& box = piece.box;
    if (box.size.size() != array.shape.size() || box.offset.size() != array.shape.size())
      broken(file, fmt::format("a box of '{}' has other dimensions than the array", array.name));
    for (size_t d = 0; d < box.size.size(); ++d) {
      if (box.offset[d] + box.size[d] > array.shape[d])
        broken(file, fmt::format("a box of '{}' sticks out of it", array.name));
    }
    if (box.elements() == 0 && whole > 0)
      broken(file, fmt::format("a box of '{}' is empty", array.name));
    covered += box.elements();
  }
  if (covered != whole) broken(file, fmt::format("the boxes of '{}' do not cover it", array.name));
  check_disjoint(array, file);
}

std::string to_text(const Manifest& m) {
  json out = {{"format", "ocoee checkpoint"}, {"version", 1},         {"step", m.step},
              {"values", m.values},           {"seconds", m.seconds}, {"files", json::object()},
              {"arrays", json::array()}};
  if (std::isfinite(m.metric)) out["metric"] = m.metric;
  if (!m.program.empty()) out["program"] = m.program;
  if (!m.recipe.empty()) out["recipe"] = m.recipe;
  for (const ManifestFile& file : m.files)
    out["files"][file.name] = {{"bytes", file.bytes},
                               {"checksum", fmt::format("{:016x}", file.checksum)}};
  for (const ManifestArray& array : m.arrays) {
    json pieces = json::array();
    for (const ManifestPiece& piece : array.pieces)
      pieces.push_back({{"offset", piece.box.offset},
                        {"size", piece.box.size},
                        {"file", piece.file},
                        {"key", piece.key}});
    out["arrays"].push_back({{"name", array.name},
                             {"shape", array.shape},
                             {"dtype", name_of(array.dtype)},
                             {"pieces", pieces}});
  }
  return out.dump(1) + "\n";
}

Manifest parse_manifest(const std::string& text, const std::string& file) {
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth < 64; };
  const json in = json::parse(text, shallow, /*allow_exceptions=*/false);
  if (!in.is_object()) broken(file, "it is no JSON object, or is cut short");
  if (const uint64_t version = number_at(in, "version", file); version != 1)
    broken(file, fmt::format("its version is {}, this program reads version 1", version));
  Manifest m;
  const uint64_t step = number_at(in, "step", file);
  if (step > uint64_t{1} << 60) broken(file, "'step' is impossible");
  m.step = static_cast<int64_t>(step);
  m.values = member(in, "values", file);
  const auto optional_number = [&](const char* key, double otherwise) {
    return in.contains(key) && in[key].is_number() ? in[key].get<double>() : otherwise;
  };
  m.metric = optional_number("metric", m.metric);
  m.seconds = optional_number("seconds", 0);
  if (in.contains("program")) m.program = text_at(in, "program", file);
  if (in.contains("recipe")) m.recipe = text_at(in, "recipe", file);

  const json& files = member(in, "files", file);
  if (!files.is_object()) broken(file, "'files' is not an object");
  std::set<std::string> names, arrays;
  for (const auto& [name, entry] : files.items()) {
    m.files.push_back(read_file_entry(name, entry, file));
    names.insert(name);
  }
  for (const json& entry : list_at(in, "arrays", file)) {
    m.arrays.push_back(read_array(entry, names, file));
    if (!arrays.insert(m.arrays.back().name).second)
      broken(file, fmt::format("the array '{}' stands twice", m.arrays.back().name));
  }
  return m;
}

Manifest read_manifest(const std::filesystem::path& checkpoint) {
  const auto path = checkpoint / "manifest.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    fail(ErrorKind::data, "{}: no manifest.json there, so no checkpoint", checkpoint.string());
  Manifest manifest = parse_manifest(read_file(path), path.string());
  // A run names its position by the folder and takes its state from the manifest.
  const auto folder = without_end_slash(checkpoint);
  if (const auto step = step_of_name(folder); step && *step != manifest.step)
    fail(ErrorKind::data, "{}: its name says step {}, its manifest step {}", folder.string(), *step,
         manifest.step);
  return manifest;
}

}  // namespace ocoee::run
