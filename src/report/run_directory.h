// SPDX-License-Identifier: Apache-2.0
// What a run left behind, read with tolerance: any file may be missing, cut short in the middle of
// a line, or hold fields that this version does not know. What could not be read is said in
// `remarks`, never thrown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ocoee::report {

// Rows of numbers by name. A value that is absent, null, NaN or infinite is NaN; columns are of
// equal length.
class MetricTable {
 public:
  void begin_row();
  void set(const std::string& name, double value);
  void drop_rows_from(size_t first);
  size_t rows() const { return rows_; }
  bool has(const std::string& name) const;  // with at least one finite value
  const std::vector<double>& column(
      const std::string& name) const;  // NaNs where the name is unknown
  std::vector<std::string> names() const;
  double last(const std::string& name) const;  // the last finite value, or NaN
  double largest(const std::string& name) const;

 private:
  size_t rows_ = 0;
  std::map<std::string, std::vector<double>> columns_;
  mutable std::vector<double> missing_;
};

struct RunEvent {
  std::string
      kind;  // "warning", "note", "checkpoint_saved", "checkpoint_loaded", "run_started", ...
  int64_t step = 0;
  std::string text;
};

struct TraceSpan {
  std::string name;
  double begin, end;  // seconds since the trace's first event
  int64_t step;       // -1: not said
};

struct TraceTrack {
  std::string process, thread;  // "rank 0", "compute"
  int64_t pid = 0, tid = 0;
  bool is_named = false;         // else `thread` is made of its number
  std::vector<TraceSpan> spans;  // in order of their begin
};

struct RunDirectory {
  std::filesystem::path folder;
  std::string recipe;                         // text of recipe.toml
  nlohmann::json plan, summary, environment;  // objects; empty where missing or broken
  MetricTable steps, evaluations;             // column "step" is always there
  std::vector<RunEvent> events;
  std::vector<TraceTrack> trace;     // in order of pid, tid
  std::vector<std::string> remarks;  // what is missing or broken, in sentences
  int64_t non_finite_losses = 0;
  int64_t first_non_finite_step = 0;
};

// Throws Error(file) only if `folder` is no directory.
RunDirectory read_run_directory(const std::filesystem::path& folder);

std::vector<TraceTrack> read_trace(const std::filesystem::path& path,
                                   std::vector<std::string>& remarks);

// Tolerant access to objects of unknown shape.
double number_at(const nlohmann::json& object,
                 const std::string& key);  // NaN where absent or no number
std::string string_at(const nlohmann::json& object, const std::string& key,
                      const std::string& otherwise = "");
const nlohmann::json& child(const nlohmann::json& object,
                            const std::string& key);  // null where absent

// The step that the last start of the program went on from, and the seconds before it; 0 where it
// began anew.
double resumed_step(const RunDirectory& run);
double resumed_seconds(const RunDirectory& run);
// The most bytes that a step held since then, or NaN: a start before may have had another layout.
double peak_bytes(const RunDirectory& run);

}  // namespace ocoee::report
