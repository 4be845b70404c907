// SPDX-License-Identifier: Apache-2.0
#include "run/safetensors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "data/content_hash.h"

namespace ocoee::run {
namespace {

using nlohmann::json;
using Wide = unsigned __int128;

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");
constexpr uint64_t kLongestHeader = 100'000'000;  // the reference implementation's own limit

[[noreturn]] void broken(const std::string& file, const std::string& what) {
  fail(ErrorKind::data, "{}: not a whole safetensors file: {}", file, what);
}

DType read_dtype(const std::string& name, const json& value, const std::string& file) {
  try {
    return dtype_from_name(value.get<std::string>());
  } catch (const Error& error) {
    broken(file, fmt::format("tensor '{}': {}", name, error.what()));
  }
}

// Bytes of a tensor, or nothing when its shape cannot be.
bool bytes_of_shape(const json& shape, TensorEntry& entry, uint64_t& bytes) {
  constexpr uint64_t kMost = uint64_t{1} << 62;
  bool empty = false;
  Wide product = size_of(entry.dtype);
  for (const json& extent : shape) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > kMost) return false;
    entry.shape.push_back(static_cast<int64_t>(extent.get<uint64_t>()));
    if (entry.shape.back() == 0) empty = true;
    product *= std::max<uint64_t>(1, extent.get<uint64_t>());
    if (product > kMost) return false;
  }
  bytes = empty ? 0 : static_cast<uint64_t>(product);
  return true;
}

TensorEntry read_entry(const std::string& name, const json& value, uint64_t data_bytes,
                       const std::string& file) {
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets"))
    broken(file, fmt::format("tensor '{}' lacks dtype, shape or data_offsets", name));
  const json& offsets = value["data_offsets"];
  if (!value["dtype"].is_string() || !value["shape"].is_array() || !offsets.is_array() ||
      offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
    broken(file,
           fmt::format("tensor '{}' has a dtype, shape or data_offsets of the wrong type", name));
  TensorEntry entry;
  entry.name = name;
  entry.dtype = read_dtype(name, value["dtype"], file);
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  if (entry.begin > entry.end || entry.end > data_bytes)
    broken(file, fmt::format("tensor '{}' lies at bytes {} to {} of {}", name, entry.begin,
                             entry.end, data_bytes));
  uint64_t bytes = 0;
  if (!bytes_of_shape(value["shape"], entry, bytes))
    broken(file, fmt::format("tensor '{}' has an impossible shape", name));
  if (bytes != entry.end - entry.begin)
    broken(file, fmt::format("tensor '{}' has {} bytes, its shape and type need {}", name,
                             entry.end - entry.begin, bytes));
  return entry;
}

// The header as JSON; a name that stands twice is refused, where the parser would keep the last.
json parse_header(std::string_view text, const std::string& file) {
  std::set<std::string> names;
  std::string repeated;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::key && depth == 1 &&
        !names.insert(parsed.get<std::string>()).second)
      repeated = parsed.get<std::string>();
    return depth < 8;
  };
  json header = json::parse(text, watch, /*allow_exceptions=*/false);
  if (!header.is_object()) broken(file, "its header is not a JSON object");
  if (!repeated.empty()) broken(file, fmt::format("the name '{}' appears twice", repeated));
  return header;
}

void check_packed(SafetensorsHeader& header, uint64_t data_bytes, const std::string& file) {
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });
  uint64_t expected = 0;
  for (const TensorEntry& entry : header.tensors) {
    if (entry.begin != expected)
      broken(file,
             fmt::format("tensor '{}' begins at byte {} where {} was expected: {}", entry.name,
                         entry.begin, expected, entry.begin < expected ? "an overlap" : "a hole"));
    expected = entry.end;
  }
  if (expected != data_bytes)
    broken(file, fmt::format("{} bytes of data belong to no tensor", data_bytes - expected));
}

class Output {
 public:
  explicit Output(const std::filesystem::path& path) : path_(path.string()) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) fail_errno(path_, "write");
  }
  ~Output() {
    if (fd_ >= 0) ::close(fd_);
  }
  Output(const Output&) = delete;

  void write(const void* data, size_t bytes) {
    constexpr size_t kMostAtOnce = size_t{1}
                                   << 24;  // so that the checksum reads what the write will
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const size_t part = std::min(bytes, kMostAtOnce);
      checksum_.add({at, part});
      for (size_t done = 0; done < part;) {
        const ssize_t put = ::write(fd_, at + done, part - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) fail_errno(path_, "write");
        done += static_cast<size_t>(put);
      }
      at += part;
      bytes -= part;
    }
  }
  uint64_t finish() {
    if (::fsync(fd_) != 0) fail_errno(path_, "sync");
    const int closed = ::close(fd_);
    fd_ = -1;
    if (closed != 0) fail_errno(path_, "close");  // network file systems report a full disk here
    return checksum_.value();
  }

 private:
  std::string path_;
  int fd_ = -1;
  data::ContentHash checksum_;
};

uint64_t bytes_of(const TensorToWrite& tensor) {
  uint64_t bytes = size_of(tensor.dtype);
  for (const int64_t extent : tensor.shape) bytes *= static_cast<uint64_t>(extent);
  return bytes;
}

}  // namespace

const TensorEntry* SafetensorsHeader::find(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorEntry& entry) { return entry.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes,
                                           const std::string& file) {
  if (head.size() < 8) broken(file, "shorter than its 8-byte header length");
  uint64_t length = 0;
  std::memcpy(&length, head.data(), 8);
  if (length > kLongestHeader)
    broken(file, fmt::format("its header claims {} bytes, above the limit of {}", length,
                             kLongestHeader));
  if (length + 8 > file_bytes || head.size() < length + 8)
    broken(file, fmt::format("its header claims {} bytes, the file has {}", length, file_bytes));
  const json header = parse_header(head.substr(8, length), file);

  SafetensorsHeader out;
  out.data_offset = 8 + length;
  const uint64_t data_bytes = file_bytes - out.data_offset;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      out.tensors.push_back(read_entry(name, value, data_bytes, file));
      continue;
    }
    if (!value.is_object()) broken(file, "__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) broken(file, "__metadata__ holds something that is not text");
      out.metadata[key] = text.get<std::string>();
    }
  }
  check_packed(out, data_bytes, file);
  return out;
}

SafetensorsHeader read_safetensors_header(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_safetensors_header(file.text(), file.size(), path.string());
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path.string()),
      file_(path),
      header_(parse_safetensors_header(file_.text(), file_.size(), path_)) {}

const TensorEntry& SafetensorsFile::entry(const std::string& name) const {
  if (const TensorEntry* found = header_.find(name)) return *found;
  std::vector<std::string> names;
  for (const TensorEntry& tensor : header_.tensors) names.push_back(tensor.name);
  const std::string near = nearest(name, names);
  fail(ErrorKind::data, "{}: holds no tensor '{}'{}", path_, name,
       near.empty() ? "" : fmt::format("; the nearest is '{}'", near));
}

struct SafetensorsWriter::Impl {
  Output out;
  uint64_t left;  // bytes of data to come
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<TensorToWrite>& tensors,
                                     const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + json(metadata).dump();
  std::set<std::string> names;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    OCOEE_CHECK(names.insert(tensor.name).second, "tensor '{}' is written twice", tensor.name);
    const uint64_t bytes = bytes_of(tensor);
    if (text.size() > 1) text += ',';
    text += json(tensor.name).dump() + ':' +
            json{{"dtype", name_of(tensor.dtype)},
                 {"shape", tensor.shape},
                 {"data_offsets", {offset, offset + bytes}}}
                .dump();
    offset += bytes;
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begins aligned
  const uint64_t length = text.size();
  impl_.reset(new Impl{Output(path), offset});
  impl_->out.write(&length, 8);
  impl_->out.write(text.data(), text.size());
}
SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(const void* data, size_t bytes) {
  OCOEE_CHECK(bytes <= impl_->left, "{} bytes more than the tensors have", bytes - impl_->left);
  impl_->left -= bytes;
  impl_->out.write(data, bytes);
}

uint64_t SafetensorsWriter::finish() {
  OCOEE_CHECK(impl_->left == 0, "{} bytes of the tensors are missing", impl_->left);
  return impl_->out.finish();
}

uint64_t write_safetensors(const std::filesystem::path& path,
                           const std::vector<TensorToWrite>& tensors,
                           const std::map<std::string, std::string>& metadata) {
  SafetensorsWriter writer(path, tensors, metadata);
  for (const TensorToWrite& tensor : tensors) writer.write(tensor.data, bytes_of(tensor));
  return writer.finish();
}

}  // namespace ocoee::run
