// SPDX-License-Identifier: Apache-2.0
// trials.jsonl: what a tuner has tried, a line a fact, synced, so that a killed search goes on
// without repeating a finished trial. First line: the knobs and what is minimised.
#pragma once

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "plan/tune/tuner.h"

namespace ocoee::plan {

class TuneLog {
 public:
  // Opens or begins the log. `about` (recipe, metric, method, seed, ...) and the knobs must be
  // those of the log that is there: throws Error(config) with the difference, Error(data) for a log
  // that cannot be read, Error(file) when it cannot be written.
  TuneLog(const std::filesystem::path& path, const KnobSpace& space, const nlohmann::json& about);
  ~TuneLog();
  TuneLog(const TuneLog&) = delete;
  TuneLog& operator=(const TuneLog&) = delete;

  // Finished trials of earlier processes, renumbered in their order. One that was under way at a
  // kill left nothing, and is tried again.
  const std::vector<Trial>& earlier() const { return earlier_; }
  void finished(const Trial& trial, const KnobSpace& space);

 private:
  void write(const nlohmann::json& line);

  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
  std::vector<Trial> earlier_;
};

}  // namespace ocoee::plan
