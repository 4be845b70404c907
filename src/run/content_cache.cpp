// SPDX-License-Identifier: Apache-2.0
#include "run/content_cache.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/file.h"
#include "data/content_hash.h"

namespace ocoee::run {

std::filesystem::path ContentCache::path_of(const std::string& question) const {
  const std::string name = fmt::format("{:016x}", data::content_hash(question));
  return folder_ / name.substr(0, 2) / (name.substr(2) + ".json");
}

std::optional<nlohmann::json> ContentCache::find(const nlohmann::json& question) const {
  const std::filesystem::path path = path_of(question.dump());
  if (std::error_code missing; !std::filesystem::exists(path, missing)) return std::nullopt;
  const nlohmann::json entry = nlohmann::json::parse(read_file(path), nullptr, false);
  // The question is compared whole: two that share a hash do not share an answer.
  if (!entry.is_object() || !entry.contains("answer") ||
      entry.value("question", nlohmann::json()) != question)
    return std::nullopt;
  return entry.at("answer");
}

void ContentCache::keep(const nlohmann::json& question, const nlohmann::json& answer) const {
  const std::filesystem::path path = path_of(question.dump());
  std::error_code code;
  std::filesystem::create_directories(path.parent_path(), code);
  if (code)
    fail(ErrorKind::file, "{}: cannot make the folder: {}", path.parent_path().string(),
         code.message());
  write_file_atomically(path, nlohmann::json{{"question", question}, {"answer", answer}}.dump());
}

}  // namespace ocoee::run
