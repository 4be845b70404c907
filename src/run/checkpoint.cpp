// SPDX-License-Identifier: Apache-2.0
#include "run/checkpoint.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <map>

#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/trace.h"
#include "run/safetensors.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

std::filesystem::path partial_path(const std::filesystem::path& folder, int64_t step) {
  return folder / fmt::format("step-{}.partial", step);
}

json boxes_of(const State& state) {
  json out = json::array();
  for (const StateArray& array : state.arrays) {
    json boxes = json::array();
    for (const Piece& piece : array.pieces) boxes.push_back({piece.box.offset, piece.box.size});
    out.push_back({array.name, array.shape, name_of(array.dtype), boxes});
  }
  return out;
}

std::string key_of(const StateArray& array, const Box& box) {
  if (box.size == array.shape) return array.name;
  return fmt::format("{}@{}", array.name, fmt::join(box.offset, "_"));
}

}  // namespace

struct CheckpointWriter::Shard {
  std::filesystem::path path;
  std::vector<std::vector<char>> buffers;
  std::vector<TensorToWrite> tensors;
  std::thread thread;
  std::atomic<bool> done{false};
  std::string failure;
  uint64_t checksum = 0;
  ~Shard() {
    if (thread.joinable()) thread.join();
  }
};

CheckpointWriter::CheckpointWriter(std::filesystem::path folder, comm::Communicator& world, int64_t keep)
    : folder_(std::move(folder)), world_(world), keep_(keep) {}
CheckpointWriter::~CheckpointWriter() = default;

// Who writes which box: of its holders, the one with the fewest bytes so far. The same for every checkpoint of a run.
void CheckpointWriter::make_plan(const State& state) {
  const std::string mine = boxes_of(state).dump();
  if (mine == plan_of_) return;
  plan_of_ = mine;
  const auto all = world_.gather_text(mine, 0);
  json assignment;  // per rank: [[array, piece], ...]
  if (world_.rank() == 0) {
    struct Holder {
      size_t rank, piece;
    };
    std::vector<json> held;
    for (const std::string& text : all) held.push_back(json::parse(text));
    std::vector<uint64_t> load(all.size(), 0);
    for (size_t r = 0; r < all.size(); ++r) assignment.push_back(json::array());
    arrays_.clear();
    std::map<std::string, size_t> index;                       // arrays differ between ranks: stages hold different layers
    std::vector<std::map<std::string, std::vector<Holder>>> holders;
    for (size_t r = 0; r < held.size(); ++r) {
      for (size_t a = 0; a < held[r].size(); ++a) {
        const json& array = held[r][a];
        const auto [where, added] = index.try_emplace(array[0].get<std::string>(), arrays_.size());
        if (added) {
          arrays_.push_back({array[0], array[1], dtype_from_name(array[2].get<std::string>()), {}});
          holders.emplace_back();
        }
        for (size_t p = 0; p < array[3].size(); ++p) holders[where->second][array[3][p].dump()].push_back({r, a << 20 | p});
      }
    }
    for (size_t a = 0; a < arrays_.size(); ++a) {
      for (const auto& [box_text, who] : holders[a]) {
        const json box_json = json::parse(box_text);
        const Box box{box_json[0], box_json[1]};
        const Holder* best = &who[0];
        for (const Holder& holder : who) {
          if (load[holder.rank] < load[best->rank]) best = &holder;
        }
        load[best->rank] += static_cast<uint64_t>(box.elements()) * size_of(arrays_[a].dtype);
        assignment[best->rank].push_back({best->piece >> 20, best->piece & 0xfffff});
        StateArray named;
        named.name = arrays_[a].name;
        named.shape = arrays_[a].shape;
        arrays_[a].pieces.push_back({box, fmt::format("rank-{:05}.safetensors", best->rank), key_of(named, box)});
      }
    }
  }
  const json everyone = json::parse(world_.broadcast_text(assignment.dump(), 0));
  owned_.clear();
  for (const json& entry : everyone[static_cast<size_t>(world_.rank())]) {
    const StateArray& array = state.arrays[entry[0].get<size_t>()];
    const auto piece = entry[1].get<size_t>();
    owned_.push_back({entry[0], piece, key_of(array, array.pieces[piece].box)});
  }
}

void CheckpointWriter::begin(int64_t step, const State& state, double metric) {
  OCOEE_CHECK(!busy(), "a checkpoint begins while another is under way");
  const trace::Scope scope("checkpoint", "io");
  make_plan(state);
  const auto folder = partial_path(folder_, step);
  std::string failure;
  if (world_.rank() == 0) {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    std::filesystem::create_directories(folder, error);
    if (error) failure = fmt::format("{}: cannot create: {}", folder.string(), error.message());
  }
  failure = world_.broadcast_text(failure, 0);
  if (!failure.empty()) fail(ErrorKind::file, "{}\n    fix: check the permissions and the space of run.dir", failure);

  step_ = step;
  values_ = state.values;
  metric_ = metric;
  shard_ = std::make_unique<Shard>();
  shard_->path = folder / fmt::format("rank-{:05}.safetensors", world_.rank());
  for (const Owned& owned : owned_) {
    const StateArray& array = state.arrays[owned.array];
    const Piece& piece = array.pieces[owned.piece];
    auto& buffer = shard_->buffers.emplace_back(static_cast<size_t>(piece.box.elements()) * size_of(array.dtype));
    piece.save(buffer.data());
    shard_->tensors.push_back({owned.key, array.dtype, piece.box.size, buffer.data()});
  }
  shard_->thread = std::thread([shard = shard_.get()] {
    try {
      shard->checksum = write_safetensors(shard->path, shard->tensors);
    } catch (const std::exception& error) {
      shard->failure = error.what();
    }
    shard->buffers.clear();
    shard->done = true;
  });
}

bool CheckpointWriter::shard_done() const { return !shard_ || shard_->done; }

int64_t CheckpointWriter::finish() {
  OCOEE_CHECK(busy(), "no checkpoint is under way");
  const trace::Scope scope("checkpoint", "io");
  shard_->thread.join();
  const int64_t step = *step_;
  step_.reset();
  json own = {{"failure", shard_->failure}, {"file", shard_->path.filename().string()}, {"checksum", shard_->checksum}};
  if (shard_->failure.empty()) own["bytes"] = std::filesystem::file_size(shard_->path);
  shard_.reset();
  const auto all = world_.gather_text(own.dump(), 0);
  std::string failure;
  if (world_.rank() == 0) {
    try {
      Manifest manifest{step, values_, metric_, arrays_, {}};
      for (const std::string& text : all) {
        const json report = json::parse(text);
        if (!report["failure"].get<std::string>().empty()) fail(ErrorKind::file, "{}", report["failure"].get<std::string>());
        manifest.files.push_back({report["file"], report["bytes"], report["checksum"]});
      }
      const auto partial = partial_path(folder_, step), whole = checkpoint_path(folder_, step);
      write_file_atomically(partial / "manifest.json", to_text(manifest));
      sync_path(partial);
      std::error_code error;
      std::filesystem::remove_all(whole, error);  // of an earlier attempt at this step
      std::filesystem::rename(partial, whole);
      sync_path(folder_);
      prune(step);
    } catch (const std::exception& error) {
      failure = error.what();
      std::error_code ignored;
      std::filesystem::remove_all(partial_path(folder_, step), ignored);
    }
  }
  failure = world_.broadcast_text(failure, 0);
  if (!failure.empty()) fail(ErrorKind::file, "the checkpoint of step {} could not be written: {}\n    the checkpoint before it is whole", step, failure);
  return step;
}

// Keeps the newest `keep_` and the one with the lowest metric.
void CheckpointWriter::prune(int64_t just_written) const {
  const std::vector<int64_t> steps = checkpoint_steps(folder_);
  int64_t best = just_written;
  double lowest = std::numeric_limits<double>::infinity();
  for (const int64_t step : steps) {
    try {
      const double metric = read_manifest(checkpoint_path(folder_, step)).metric;
      if (metric < lowest) lowest = metric, best = step;
    } catch (const Error&) {  // damaged: the loader warns about it, and it is not kept as the best
    }
  }
  const auto newest = static_cast<size_t>(std::max<int64_t>(1, keep_));
  for (size_t i = 0; i + newest < steps.size(); ++i) {
    if (steps[i] == best) continue;
    std::error_code error;
    std::filesystem::remove_all(checkpoint_path(folder_, steps[i]), error);
    if (error) log::warn("{}: cannot remove an old checkpoint: {}", checkpoint_path(folder_, steps[i]).string(), error.message());
  }
}

std::optional<int64_t> latest_loadable(const std::filesystem::path& folder, comm::Communicator& world) {
  int64_t found = -1;
  if (world.rank() == 0) {
    std::vector<int64_t> steps = checkpoint_steps(folder);
    while (!steps.empty() && found < 0) {
      try {
        verify_checkpoint(checkpoint_path(folder, steps.back()));
        found = steps.back();
      } catch (const Error& error) {
        log::warn("passing over a damaged checkpoint: {}", error.what());
      }
      steps.pop_back();
    }
  }
  world.broadcast({&found, 1, DType::i64, {}}, 0);
  return found < 0 ? std::nullopt : std::optional(found);
}

json load_checkpoint(const std::filesystem::path& checkpoint, const State& state, comm::Communicator& world) {
  const Manifest manifest = parse_manifest(world.broadcast_text(world.rank() == 0 ? read_file(checkpoint / "manifest.json") : "", 0), (checkpoint / "manifest.json").string());
  std::map<std::string, const ManifestArray*> arrays;
  for (const ManifestArray& array : manifest.arrays) arrays[array.name] = &array;
  std::map<std::string, std::pair<MappedFile, SafetensorsHeader>> files;
  for (const StateArray& array : state.arrays) {
    const auto found = arrays.find(array.name);
    if (found == arrays.end()) fail(ErrorKind::data, "{}: holds no array '{}': it belongs to another model", checkpoint.string(), array.name);
    const ManifestArray& stored = *found->second;
    if (stored.shape != array.shape || stored.dtype != array.dtype)
      fail(ErrorKind::data, "{}: '{}' is {} [{}] there and {} [{}] here: it belongs to another model", checkpoint.string(), array.name, name_of(stored.dtype),
           fmt::join(stored.shape, ", "), name_of(array.dtype), fmt::join(array.shape, ", "));
    const size_t element = size_of(array.dtype);
    for (const Piece& piece : array.pieces) {
      std::vector<char> host(static_cast<size_t>(piece.box.elements()) * element);
      for (const ManifestPiece& part : stored.pieces) {
        if (intersect(part.box, piece.box).elements() == 0) continue;
        auto opened = files.find(part.file);
        if (opened == files.end()) {
          MappedFile file(checkpoint / part.file);
          SafetensorsHeader header = parse_safetensors_header(file.text(), file.size(), (checkpoint / part.file).string());
          opened = files.emplace(part.file, std::pair(std::move(file), std::move(header))).first;
        }
        const auto& [file, header] = opened->second;
        const TensorEntry* tensor = nullptr;
        for (const TensorEntry& entry : header.tensors) {
          if (entry.name == part.key) tensor = &entry;
        }
        if (!tensor || tensor->shape != part.box.size) fail(ErrorKind::data, "{}: lacks '{}' as the manifest describes it", (checkpoint / part.file).string(), part.key);
        copy_overlap(part.box, file.data() + header.data_offset + tensor->begin, piece.box, host.data(), element);
      }
      piece.load(host.data());
    }
  }
  return manifest.values;
}

}  // namespace ocoee::run
