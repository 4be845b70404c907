// SPDX-License-Identifier: Apache-2.0
// Checkpoints: RUN/checkpoints/step-N/, a manifest and one safetensors shard a rank. Each box of each array is written by
// one of its holders. Written into step-N.partial, every file synced, then renamed: a folder without ".partial" is whole.
// Loading needs neither the same ranks nor the same boxes: each rank reads the bytes that meet its own pieces.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "run/state.h"

namespace ocoee::run {

struct ManifestPiece {
  Box box;
  std::string file, key;               // key: the tensor's name in the file
};
struct ManifestArray {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype = DType::f32;
  std::vector<ManifestPiece> pieces;   // cover the array exactly
};
struct ManifestFile {
  std::string name;
  uint64_t bytes = 0, checksum = 0;
};
struct Manifest {
  int64_t step = 0;
  nlohmann::json values;
  double metric = 0;                   // Task::best_metric(); NaN = none
  std::vector<ManifestArray> arrays;
  std::vector<ManifestFile> files;
};

std::string to_text(const Manifest& manifest);
Manifest parse_manifest(const std::string& text, const std::string& file);  // strict; throws Error(data)
Manifest read_manifest(const std::filesystem::path& checkpoint);
// Files present, of the stated size, whole by checksum, and arrays covered. Throws Error(data) saying what is broken.
void verify_checkpoint(const std::filesystem::path& checkpoint);
std::string inspect_text(const std::filesystem::path& checkpoint);

// Steps that have a whole folder, ascending.
std::vector<int64_t> checkpoint_steps(const std::filesystem::path& folder);
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, int64_t step);

// Saves asynchronously: begin() copies the state to host memory and returns; a thread writes this rank's shard and calls
// no MPI; finish() is collective, called once all ranks' shards are done.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path folder, comm::Communicator& world, int64_t keep);
  ~CheckpointWriter();
  void begin(int64_t step, const State& state, double metric);  // collective
  bool busy() const { return step_.has_value(); }
  bool shard_done() const;                // also true when it failed
  int64_t finish();                       // collective; throws Error(file) on every rank if any shard failed; the step

 private:
  struct Owned {                          // a piece that this rank writes
    size_t array, piece;
    std::string key;
  };
  void make_plan(const State& state);
  void prune(int64_t just_written) const;

  std::filesystem::path folder_;
  comm::Communicator& world_;
  int64_t keep_;
  std::string plan_of_;                   // what the plan was made for
  std::vector<Owned> owned_;
  std::vector<ManifestArray> arrays_;     // rank 0
  std::optional<int64_t> step_;
  nlohmann::json values_;
  double metric_ = 0;
  struct Shard;
  std::unique_ptr<Shard> shard_;
};

// The newest whole checkpoint; damaged ones are named in a warning and passed over. Collective.
std::optional<int64_t> latest_loadable(const std::filesystem::path& folder, comm::Communicator& world);
// Puts the arrays of a checkpoint into the state's pieces and returns the values. Collective. Throws Error(data) when an
// array is missing, or of another shape or type.
nlohmann::json load_checkpoint(const std::filesystem::path& checkpoint, const State& state, comm::Communicator& world);

}  // namespace ocoee::run
