// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/interchange_files.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/version.h"
#include "kernels/number.h"
#include "run/safetensors.h"

namespace ocoee::tasks {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

template <class T, class Convert>
void convert(const void* from, std::vector<float>& to, Convert one) {
  const char* at = static_cast<const char*>(from);
  for (float& value : to) {
    T raw;  // tensors in a file need not be aligned
    std::memcpy(&raw, at, sizeof raw);
    value = one(raw);
    at += sizeof raw;
  }
}

HostTensor read_tensor(const run::SafetensorsFile& file, const run::TensorEntry& entry,
                       const std::string& path) {
  HostTensor t;
  t.shape = entry.shape;
  t.values.resize(static_cast<size_t>((entry.end - entry.begin) / size_of(entry.dtype)));
  const void* from = file.data(entry);
  switch (entry.dtype) {
    case DType::f32:
      convert<float>(from, t.values, [](float v) { return v; });
      break;
    case DType::f64:
      convert<double>(from, t.values, [](double v) { return static_cast<float>(v); });
      break;
    case DType::f16:
      convert<kernels::Float16>(from, t.values,
                                [](kernels::Float16 v) { return kernels::widen(v); });
      break;
    case DType::bf16:
      convert<kernels::BFloat16>(from, t.values,
                                 [](kernels::BFloat16 v) { return kernels::widen(v); });
      break;
    default:
      fail(ErrorKind::data, "{}: {} is of type {}; expected F32, F64, F16 or BF16", path,
           entry.name, name_of(entry.dtype));
  }
  return t;
}

json read_json(const fs::path& path) {
  const json read = json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!read.is_object()) fail(ErrorKind::data, "{}: not a JSON object", path.string());
  return read;
}

std::set<std::string> weight_files(const fs::path& folder) {
  if (fs::exists(folder / "model.safetensors")) return {"model.safetensors"};
  const fs::path index = folder / "model.safetensors.index.json";
  if (!fs::exists(index))
    fail(ErrorKind::data,
         "{}: neither model.safetensors nor model.safetensors.index.json\n    fix: name the folder "
         "of a model saved with save_pretrained(FOLDER)",
         folder.string());
  std::set<std::string> names;
  const json read = read_json(index);
  const json& map = read.contains("weight_map") ? read["weight_map"] : json();
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string() || fs::path(file.get<std::string>()).has_parent_path())
      fail(ErrorKind::data, "{}: weight_map: {} is not the name of a file", index.string(),
           file.dump());
    names.insert(file.get<std::string>());
  }
  if (names.empty()) fail(ErrorKind::data, "{}: no weight_map", index.string());
  return names;
}

std::optional<TokenNames> read_tokens(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  const json map = read_json(path);
  const json tokens = map.value("tokens", json::object());
  if (!tokens.is_object() || !tokens.contains("name") || !tokens["name"].is_string() ||
      !tokens.value("k", json(0)).is_number_integer())
    fail(ErrorKind::data, "{}: tokens.name is missing", path.string());
  return TokenNames{tokens["name"].get<std::string>(), tokens.value("k", int64_t{0})};
}

}  // namespace

void write_hugging_face(const fs::path& folder, const models::GptConfig& config, int64_t vocabulary,
                        const TokenNames& tokens, const HostTensors& ours) {
  const std::vector<KeyMapping> map = key_map(config, vocabulary);
  const HostTensors theirs = to_hugging_face(map, ours);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorKind::file, "{}: cannot create: {}", folder.string(), error.message());
  for (const char* name : {"config.json", "model.safetensors", "key_map.json"}) {
    if (fs::exists(folder / name))
      fail(ErrorKind::file, "{}: is there already\n    fix: name another folder, or remove it",
           (folder / name).string());
  }

  std::vector<run::TensorToWrite> tensors;
  for (const auto& [name, t] : theirs)
    tensors.push_back({name, DType::f32, t.shape, t.values.data()});
  run::write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});

  json keys;
  keys["program"] = std::string("ocoee ") + kVersion;
  keys["tokens"] = {{"name", tokens.name}, {"k", tokens.k}};
  for (const KeyMapping& m : map)
    keys["tensors"].push_back({{"hugging_face", m.theirs},
                               {"ocoee", m.ours},
                               {"transposed", m.transposed},
                               {"shape", m.shape}});
  write_file_atomically(folder / "key_map.json", keys.dump(1) + "\n");
  // Last: a folder with a config.json is whole.
  write_file_atomically(folder / "config.json",
                        hugging_face_config(config, vocabulary).dump(2) + "\n");
}

ForeignFolder read_hugging_face(const fs::path& folder) {
  if (!fs::exists(folder / "config.json"))
    fail(ErrorKind::data,
         "{}: no config.json there\n    fix: name the folder of a model saved with "
         "save_pretrained(FOLDER)",
         folder.string());
  ForeignFolder out;
  const fs::path config = folder / "config.json";
  out.model = read_hugging_face_config(read_json(config), config.string());
  HostTensors theirs;
  for (const std::string& name : weight_files(folder)) {
    const fs::path path = folder / name;
    const run::SafetensorsFile file(path);
    for (const run::TensorEntry& entry : file.header().tensors) {
      if (entry.dtype == DType::boolean || entry.dtype == DType::u8)
        continue;  // masks of old files
      theirs[entry.name] = read_tensor(file, entry, path.string());
    }
  }
  out.weights = from_hugging_face(out.model, std::move(theirs), folder.string());
  out.tokens = read_tokens(folder / "key_map.json");
  return out;
}

}  // namespace ocoee::tasks
