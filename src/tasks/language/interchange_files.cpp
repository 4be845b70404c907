// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/interchange_files.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "comm/world.h"
#include "core/error.h"
#include "core/file.h"
#include "core/version.h"
#include "kernels/number.h"
#include "run/agreement.h"
#include "run/safetensors.h"

namespace ocoee::tasks {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Tensors in a file need not be aligned.
template <class T>
T raw_at(const void* data, int64_t element) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + static_cast<size_t>(element) * sizeof value,
              sizeof value);
  return value;
}

float value_at(const void* data, DType dtype, int64_t element) {
  switch (dtype) {
    case DType::f32:
      return raw_at<float>(data, element);
    case DType::f64:
      return static_cast<float>(raw_at<double>(data, element));
    case DType::f16:
      return kernels::widen(raw_at<kernels::Float16>(data, element));
    default:
      return kernels::widen(raw_at<kernels::BFloat16>(data, element));
  }
}

void check_type(const run::TensorEntry& entry, const std::string& path) {
  for (const DType known : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
    if (entry.dtype == known) return;
  }
  fail(ErrorKind::data, "{}: {} is of type {}; expected F32, F64, F16 or BF16", path, entry.name,
       name_of(entry.dtype));
}

json read_json(const fs::path& path) {
  json read = json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
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

int64_t bytes_of(const KeyMapping& m) {
  int64_t bytes = 4;
  for (const int64_t extent : m.shape) bytes *= extent;
  return bytes;
}

std::vector<std::vector<KeyMapping>> files_of(const std::vector<KeyMapping>& map, int64_t most) {
  std::vector<std::vector<KeyMapping>> files(1);
  int64_t held = 0;
  for (const KeyMapping& m : map) {
    if (!files.back().empty() && held + bytes_of(m) > most) {
      files.emplace_back();
      held = 0;
    }
    files.back().push_back(m);
    held += bytes_of(m);
  }
  return files;
}

// A share for each rank, but no more than is easily moved about.
int64_t default_file_bytes(const std::vector<KeyMapping>& map, int ranks) {
  constexpr int64_t kMost = int64_t{5'000'000'000};
  int64_t all = 0;
  for (const KeyMapping& m : map) all += bytes_of(m);
  return std::min(kMost, (all + ranks - 1) / ranks);
}

std::string file_name(size_t file, size_t files) {
  return files == 1 ? "model.safetensors"
                    : fmt::format("model-{:05}-of-{:05}.safetensors", file + 1, files);
}

// Tensor by tensor, so that a process holds one of them.
void write_weights(const fs::path& path, std::vector<KeyMapping> map, const ReadTensors& read) {
  std::sort(map.begin(), map.end(),
            [](const KeyMapping& a, const KeyMapping& b) { return a.theirs < b.theirs; });
  std::vector<run::TensorToWrite> header;
  for (const KeyMapping& m : map) header.push_back({m.theirs, DType::f32, m.shape, nullptr});
  run::SafetensorsWriter writer(path, header, {{"format", "pt"}});
  for (const KeyMapping& m : map) {
    const HostTensors theirs = to_hugging_face({m}, m.ours.empty() ? HostTensors{} : read(m.ours));
    const std::vector<float>& values = theirs.at(m.theirs).values;
    writer.write(values.data(), values.size() * sizeof values[0]);
  }
  writer.finish();
}

void write_index(const fs::path& folder, const std::vector<std::vector<KeyMapping>>& files) {
  json index;
  int64_t bytes = 0;
  for (size_t f = 0; f < files.size(); ++f) {
    for (const KeyMapping& m : files[f]) {
      index["weight_map"][m.theirs] = file_name(f, files.size());
      bytes += bytes_of(m);
    }
  }
  index["metadata"]["total_size"] = bytes;
  write_file_atomically(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

void write_key_map(const fs::path& folder, const std::vector<KeyMapping>& map,
                   const TokenNames& tokens) {
  json keys;
  keys["program"] = std::string("ocoee ") + kVersion;
  keys["tokens"] = {{"name", tokens.name}, {"k", tokens.k}};
  for (const KeyMapping& m : map)
    keys["tensors"].push_back({{"hugging_face", m.theirs},
                               {"ocoee", m.ours},
                               {"transposed", m.transposed},
                               {"shape", m.shape}});
  write_file_atomically(folder / "key_map.json", keys.dump(1) + "\n");
}

}  // namespace

void write_hugging_face(const fs::path& folder, const models::GptConfig& config, int64_t vocabulary,
                        const TokenNames& tokens, const ReadTensors& read,
                        const ExportOptions& options) {
  const std::vector<KeyMapping> map = key_map(config, vocabulary);
  comm::World alone = comm::World::alone();
  const auto self = alone.host();
  comm::Communicator& world = options.world ? *options.world : *self;
  const auto files = files_of(
      map, options.file_bytes > 0 ? options.file_bytes : default_file_bytes(map, world.size()));
  bool created = false;
  run::on_first_rank(world, [&] {
    std::error_code error;
    created = fs::create_directories(folder, error);
    if (error) fail(ErrorKind::file, "{}: cannot create: {}", folder.string(), error.message());
    for (const char* name :
         {"config.json", "model.safetensors", "model.safetensors.index.json", "key_map.json"}) {
      if (fs::exists(folder / name))
        fail(ErrorKind::file, "{}: is there already\n    fix: name another folder, or remove it",
             (folder / name).string());
    }
  });
  try {
    run::on_every_rank(world, [&] {
      for (auto f = static_cast<size_t>(world.rank()); f < files.size();
           f += static_cast<size_t>(world.size()))
        write_weights(folder / file_name(f, files.size()), files[f], read);
    });
    run::on_first_rank(world, [&] {
      if (files.size() > 1) write_index(folder, files);
      write_key_map(folder, map, tokens);
      // Last: a folder with a config.json is whole.
      write_file_atomically(folder / "config.json",
                            hugging_face_config(config, vocabulary).dump(2) + "\n");
    });
  } catch (...) {
    if (world.rank() == 0) {  // all ranks have stopped writing
      std::error_code ignored;
      for (size_t f = 0; f < files.size(); ++f)
        fs::remove(folder / file_name(f, files.size()), ignored);
      fs::remove(folder / "model.safetensors.index.json", ignored);
      fs::remove(folder / "key_map.json", ignored);
      if (created) fs::remove(folder, ignored);
    }
    throw;
  }
}

void write_hugging_face(const fs::path& folder, const models::GptConfig& config, int64_t vocabulary,
                        const TokenNames& tokens, const HostTensors& ours) {
  write_hugging_face(folder, config, vocabulary, tokens,
                     [&](const std::vector<std::string>& names) {
                       HostTensors some;
                       for (const std::string& name : names) some[name] = ours.at(name);
                       return some;
                     });
}

struct ForeignWeights::Files {
  struct Place {
    size_t file;
    run::TensorEntry entry;
  };
  std::vector<std::unique_ptr<run::SafetensorsFile>> files;
  std::map<std::string, Place> places;
};

ForeignWeights::ForeignWeights(const fs::path& folder, const ForeignModel& model)
    : files_(std::make_unique<Files>()) {
  Shapes shapes;
  for (const std::string& name : weight_files(folder)) {
    const fs::path path = folder / name;
    files_->files.push_back(std::make_unique<run::SafetensorsFile>(path));
    for (const run::TensorEntry& entry : files_->files.back()->header().tensors) {
      if (entry.dtype == DType::boolean || entry.dtype == DType::u8)
        continue;  // masks of old files
      check_type(entry, path.string());
      shapes[entry.name] = entry.shape;
      files_->places[entry.name] = {files_->files.size() - 1, entry};
    }
  }
  parts_ = match_hugging_face(model, shapes, folder.string());
}
ForeignWeights::~ForeignWeights() = default;
ForeignWeights::ForeignWeights(ForeignWeights&&) noexcept = default;

void ForeignWeights::read(const std::string& ours, const run::Box& box, float* to) const {
  const ForeignPart& part = parts_.at(ours);
  const bool flat = box.size.size() == 1;
  const int64_t rows = box.size[0], columns = flat ? 1 : box.size[1];
  if (part.theirs.empty()) {
    std::fill(to, to + rows * columns, 0.0F);
    return;
  }
  const Files::Place& place = files_->places.at(part.theirs);
  const void* data = files_->files[place.file]->data(place.entry);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c)
      *to++ = value_at(data, place.entry.dtype,
                       part.element(box.offset[0] + r, flat ? 0 : box.offset[1] + c));
  }
}

ForeignFolder read_hugging_face(const fs::path& folder) {
  if (!fs::exists(folder / "config.json"))
    fail(ErrorKind::data,
         "{}: no config.json there\n    fix: name the folder of a model saved with "
         "save_pretrained(FOLDER)",
         folder.string());
  const fs::path config = folder / "config.json";
  ForeignModel model = read_hugging_face_config(read_json(config), config.string());
  ForeignWeights weights(folder, model);
  return {std::move(model), std::move(weights), read_tokens(folder / "key_map.json")};
}

}  // namespace ocoee::tasks
