// SPDX-License-Identifier: Apache-2.0
// Loading by intersection: each rank reads the ranges of the shards that meet its own boxes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/trace.h"
#include "kernels/number.h"
#include "run/agreement.h"
#include "run/box_runs.h"
#include "run/checkpoint.h"
#include "run/checkpoint_parts.h"
#include "run/safetensors.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

// Reads ranges of one shard. Runs that lie close together are read in one go, through `window`.
class ShardReader {
 public:
  ShardReader(const std::filesystem::path& path, std::vector<char>& window)
      : path_(path.string()), window_(window) {
    const SafetensorsHeader header = read_safetensors_header(path);
    data_offset_ = header.data_offset;
    for (const TensorEntry& entry : header.tensors) tensors_[entry.name] = entry;
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) fail(ErrorKind::data, "{}: cannot open: {}", path_, std::strerror(errno));
  }
  ~ShardReader() { ::close(fd_); }
  ShardReader(const ShardReader&) = delete;

  // The overlap of the stored `part` with the row-major block `host` of the box `wanted`.
  int64_t read(const ManifestPiece& part, const Box& wanted, DType dtype, char* host) {
    const auto found = tensors_.find(part.key);
    if (found == tensors_.end() || found->second.shape != part.box.size ||
        found->second.dtype != dtype)
      fail(ErrorKind::data, "{}: lacks '{}' as the manifest describes it", path_, part.key);
    const size_t element = size_of(dtype);
    const uint64_t base = data_offset_ + found->second.begin;
    int64_t total = 0;
    for_each_run(part.box, wanted, [&](int64_t from, int64_t to, int64_t elements) {
      const Run run{base + static_cast<uint64_t>(from) * element,
                    host + static_cast<size_t>(to) * element,
                    static_cast<size_t>(elements) * element};
      if (!pending_.empty()) {
        const uint64_t begin = pending_.front().at,
                       end = pending_.back().at + pending_.back().bytes;
        const uint64_t gap = run.at - end;
        if (gap > kSmallGap || 8 * gap > run.bytes || run.at + run.bytes - begin > kWindow)
          total += flush();
      }
      pending_.push_back(run);
    });
    return total + flush();
  }

 private:
  struct Run {
    uint64_t at;
    char* to;
    size_t bytes;
  };
  // A gap is read along where that is cheaper than another call, and at most an eighth of what
  // follows it and is wanted: so a rank reads at most an eighth more than it needs.
  static constexpr uint64_t kSmallGap = 4096, kWindow = uint64_t{1} << 20;

  int64_t flush() {
    if (pending_.empty()) return 0;
    const uint64_t begin = pending_.front().at;
    const size_t bytes = pending_.back().at + pending_.back().bytes - begin;
    if (pending_.size() == 1) {
      read_range(begin, pending_.front().to, bytes);
    } else {
      window_.resize(bytes);
      read_range(begin, window_.data(), bytes);
      for (const Run& run : pending_)
        std::memcpy(run.to, window_.data() + (run.at - begin), run.bytes);
    }
    pending_.clear();
    return static_cast<int64_t>(bytes);
  }
  void read_range(uint64_t at, char* to, size_t bytes) const {
    while (bytes > 0) {
      const ssize_t got = ::pread(fd_, to, bytes, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(ErrorKind::data, "{}: cannot read: {}", path_, std::strerror(errno));
      if (got == 0) fail(ErrorKind::data, "{}: cut short while it was read", path_);
      at += static_cast<uint64_t>(got);
      to += got;
      bytes -= static_cast<size_t>(got);
    }
  }

  std::string path_;
  int fd_ = -1;
  uint64_t data_offset_ = 0;
  std::map<std::string, TensorEntry> tensors_;
  std::vector<Run> pending_;
  std::vector<char>& window_;
};

}  // namespace

struct BoxReader::Shards {
  std::map<std::string, ShardReader> open;
  std::vector<char> window;
  int64_t bytes_read = 0;
};

BoxReader::BoxReader(std::filesystem::path checkpoint, const Manifest& manifest)
    : checkpoint_(std::move(checkpoint)), shards_(std::make_unique<Shards>()) {
  for (const ManifestArray& array : manifest.arrays) arrays_[array.name] = &array;
}
BoxReader::~BoxReader() = default;

int64_t BoxReader::bytes_read() const {
  return shards_->bytes_read;
}
int64_t BoxReader::window_bytes() const {
  return static_cast<int64_t>(shards_->window.capacity());
}

namespace {

const ManifestArray& stored_array(const std::map<std::string, const ManifestArray*>& arrays,
                                  const StateArray& wanted, const std::string& checkpoint) {
  const auto found = arrays.find(wanted.name);
  if (found == arrays.end())
    fail(ErrorKind::data,
         "{}: holds no array '{}': it belongs to another model, or an earlier version wrote it",
         checkpoint, wanted.name);
  const ManifestArray& stored = *found->second;
  const auto is_either = [](DType t) { return t == DType::f32 || t == DType::bf16; };
  const bool loads = stored.dtype == wanted.dtype ||
                     (wanted.converts && is_either(stored.dtype) && is_either(wanted.dtype));
  if (stored.shape != wanted.shape || !loads)
    fail(ErrorKind::data, "{}: '{}' is {} [{}] there and {} [{}] here: it belongs to another model",
         checkpoint, wanted.name, name_of(stored.dtype), fmt::join(stored.shape, ", "),
         name_of(wanted.dtype), fmt::join(wanted.shape, ", "));
  return stored;
}

}  // namespace

DType BoxReader::check(const StateArray& array) const {
  return stored_array(arrays_, array, checkpoint_.string()).dtype;
}

void BoxReader::read(const StateArray& array, const Box& box, char* host) {
  constexpr size_t kMostOpen = 64;
  const ManifestArray& stored = stored_array(arrays_, array, checkpoint_.string());
  for (const ManifestPiece& part : stored.pieces) {
    if (intersect(part.box, box).elements() == 0) continue;
    auto& open = shards_->open;
    if (open.size() == kMostOpen && !open.contains(part.file)) open.clear();
    ShardReader& shard =
        open.try_emplace(part.file, checkpoint_ / part.file, shards_->window).first->second;
    shards_->bytes_read += shard.read(part, box, stored.dtype, host);
  }
}

namespace {

// What is wrong with a checkpoint, in the words of the first rank that found something; "" if
// nothing.
std::string damage_of(const std::filesystem::path& checkpoint, comm::Communicator& world) {
  try {
    on_every_rank(world, [&] {
      const Manifest manifest = read_manifest(checkpoint);
      const Promises promises = promises_of(manifest);
      const auto ranks = static_cast<size_t>(world.size());
      for (size_t f = static_cast<size_t>(world.rank()); f < manifest.files.size(); f += ranks)
        verify_file(checkpoint, promises, manifest.files[f]);
    });
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

template <class From, class To>
void convert_one(char* host, int64_t i) {
  From from;
  std::memcpy(&from, host + i * static_cast<int64_t>(sizeof from), sizeof from);
  const To to = kernels::narrow<To>(kernels::widen(from));
  std::memcpy(host + i * static_cast<int64_t>(sizeof to), &to, sizeof to);
}

// In place, where there is room for the wider one: float32 to the nearest bfloat16, or back.
void convert(char* host, int64_t count, DType to) {
  if (to == DType::bf16) {
    for (int64_t i = 0; i < count; ++i) convert_one<float, kernels::BFloat16>(host, i);
  } else {
    for (int64_t i = count; i-- > 0;) convert_one<kernels::BFloat16, float>(host, i);
  }
}

}  // namespace

std::optional<int64_t> latest_loadable(const std::filesystem::path& folder,
                                       comm::Communicator& world) {
  const trace::Scope scope("checkpoint");
  json steps = world.rank() == 0 ? json(checkpoint_steps(folder)) : json();
  steps = json::parse(world.broadcast_text(steps.dump(), 0));
  std::string damage;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    damage = damage_of(checkpoint_path(folder, *step), world);
    if (damage.empty()) return step->get<int64_t>();
    if (world.rank() == 0) log::warn("passing over a damaged checkpoint: {}", damage);
  }
  if (steps.empty()) return std::nullopt;
  fail(ErrorKind::data,
       "{}: none of its {} checkpoints can be loaded; the oldest: {}\n    fix: bring back an "
       "undamaged copy, or start over with --fresh (what is there is moved aside)",
       folder.string(), steps.size(), damage);
}

json load_checkpoint(const std::filesystem::path& checkpoint, const State& state,
                     comm::Communicator& world, LoadCounters* counters) {
  const trace::Scope scope("checkpoint");
  std::string text;
  on_first_rank(world, [&] {
    read_manifest(checkpoint);  // for its messages
    text = read_file(checkpoint / "manifest.json");
  });
  const Manifest manifest =
      parse_manifest(world.broadcast_text(text, 0), (checkpoint / "manifest.json").string());
  LoadCounters counted;
  on_every_rank(world, [&] {
    BoxReader reader(checkpoint, manifest);
    std::vector<char> host;
    for (const StateArray& array : state.arrays) {
      const DType stored = reader.check(array);
      for (const Piece& piece : array.pieces) {
        if (piece.box.elements() == 0) continue;
        const int64_t elements = piece.box.elements();
        host.resize(static_cast<size_t>(elements) *
                    std::max(size_of(stored), size_of(array.dtype)));
        counted.bytes_needed += elements * static_cast<int64_t>(size_of(stored));
        reader.read(array, piece.box, host.data());
        if (stored != array.dtype) convert(host.data(), elements, array.dtype);
        counted.most_host_bytes = std::max(
            counted.most_host_bytes, static_cast<int64_t>(host.capacity()) + reader.window_bytes());
        piece.load(host.data());
      }
    }
    counted.bytes_read = reader.bytes_read();
  });
  if (counters) *counters = counted;
  return manifest.values;
}

}  // namespace ocoee::run
