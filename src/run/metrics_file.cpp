// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "run/listeners.h"

namespace ocoee::run {
namespace {

class MetricsFile final : public Listener {
 public:
  MetricsFile(const std::filesystem::path& path, int64_t resume_step) : path_(path) {
    if (std::filesystem::exists(path)) {
      std::string kept;
      for (const std::string& line : split(read_file(path), '\n')) {
        const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (entry.is_object() && entry.value("step", int64_t{0}) <= resume_step) kept += line + "\n";
      }
      write_file_atomically(path, kept);
    }
    file_ = std::fopen(path.c_str(), "a");
    if (!file_) fail(ErrorKind::file, "{}: cannot write: {}", path.string(), std::strerror(errno));
  }
  ~MetricsFile() override { std::fclose(file_); }

  void on(const Event& event) override {
    if (event.kind == "summary") return;  // summary.json has it
    nlohmann::json line = {{"kind", event.kind}, {"step", event.step}};
    line.update(event.fields);
    const std::string text = line.dump() + "\n";
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0)
      fail(ErrorKind::file, "{}: cannot write: {}", path_.string(), std::strerror(errno));
  }
  void flush() override { std::fflush(file_); }

 private:
  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
};

}  // namespace

std::unique_ptr<Listener> make_metrics_file(const std::filesystem::path& path, int64_t resume_step) {
  return std::make_unique<MetricsFile>(path, resume_step);
}

}  // namespace ocoee::run
