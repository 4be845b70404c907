// SPDX-License-Identifier: Apache-2.0
// A trained language model, as the verbs that use one see it: no torch here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tasks/language/language_config.h"

namespace ocoee::cli {

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual int64_t context() const = 0;  // longest input
  virtual int64_t vocabulary() const = 0;

  // `tokens` [rows, length], length <= context() -> [rows, length, vocabulary], or [rows,
  // vocabulary] of the last place.
  virtual std::vector<float> logits(const std::vector<int64_t>& tokens, int64_t rows,
                                    bool only_last) = 0;
  // `tokens` [rows, length + 1] -> [rows, length]: ln p(tokens[r, i + 1] | tokens[r, 0 .. i]).
  virtual std::vector<double> log_likelihoods(const std::vector<int64_t>& tokens, int64_t rows) = 0;

  // Rows that keep the logits of one call within a bound.
  int64_t good_rows() const {
    return std::clamp<int64_t>((int64_t{1} << 25) / (context() * vocabulary()), 1, 64);
  }
};

// Weights of a checkpoint in float32 (float64 where the run computed in it), on `device`: "auto",
// "cpu" or "cuda". Throws Error(data) on a broken checkpoint, Error(device), and Error(config) in a
// program built without LibTorch.
std::unique_ptr<LanguageModel> load_language_model(const tasks::LanguageConfig& config,
                                                   const std::filesystem::path& checkpoint,
                                                   const std::string& device);

}  // namespace ocoee::cli
