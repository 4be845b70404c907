// SPDX-License-Identifier: Apache-2.0
// Results that were dear to get, kept by the content of the question: FOLDER/ab/0123...json holds
// question and answer. An entry is there whole or not at all, so a killed process loses only what
// it was at; a damaged one counts as missing and is written anew. Several processes may share a
// folder.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace ocoee::run {

class ContentCache {
 public:
  explicit ContentCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // `question` is everything that decides the answer: inputs, versions, hashes of files.
  std::optional<nlohmann::json> find(const nlohmann::json& question) const;
  void keep(const nlohmann::json& question, const nlohmann::json& answer) const;  // Error(file)
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path path_of(const std::string& question) const;
  std::filesystem::path folder_;
};

}  // namespace ocoee::run
