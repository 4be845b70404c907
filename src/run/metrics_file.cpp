// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/file.h"
#include "core/text.h"
#include "run/elsewhere.h"
#include "run/listeners.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

// Lines of an earlier attempt that still count. A line cut short by a kill does not.
std::string kept_lines(const std::filesystem::path& path, int64_t resume_step) {
  std::string kept;
  for (const std::string& line : split(read_file(path), '\n')) {
    const json entry = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer())
      continue;
    if (entry["step"].get<int64_t>() <= resume_step) kept += line + "\n";
  }
  return kept;
}

class MetricsFile final : public Listener {
 public:
  MetricsFile(const std::filesystem::path& path, int64_t resume_step) : path_(path.string()) {
    std::error_code error;
    if (std::filesystem::exists(path, error))
      write_file_atomically(path, kept_lines(path, resume_step), kElsewhere);
    file_ = std::fopen(path.c_str(), "ae");
    if (!file_) fail_errno(path_, "write", kElsewhere);
  }
  ~MetricsFile() override { std::fclose(file_); }

  void on(const Event& event) override {
    if (event.kind == "summary" || event.kind == "plan") return;  // they have files of their own
    json line = {{"kind", event.kind}, {"step", event.step}};
    if (event.fields.is_object()) line.update(event.fields);
    const std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0)
      fail_errno(path_, "write", kElsewhere);
  }
  void flush() override {
    const bool synced = ::fsync(::fileno(file_)) == 0 || errno == EINVAL || errno == ENOTSUP;
    if (!synced) fail_errno(path_, "write", kElsewhere);
  }

 private:
  std::string path_;
  std::FILE* file_ = nullptr;
};

}  // namespace

std::unique_ptr<Listener> make_metrics_file(const std::filesystem::path& path,
                                            int64_t resume_step) {
  return std::make_unique<MetricsFile>(path, resume_step);
}

}  // namespace ocoee::run
