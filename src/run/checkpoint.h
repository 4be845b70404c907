// SPDX-License-Identifier: Apache-2.0
// Checkpoints: RUN/checkpoints/step-N/, a manifest and one safetensors shard a rank. Each box of
// each array is written by one of its holders. Written into step-N.partial, every file synced, then
// renamed: a folder without ".partial" is whole. Loading needs neither the same ranks nor the same
// boxes: each rank reads the bytes that meet its own pieces.
//
// Integrity: the manifest holds the XXH64 of every file. Before a load the files are verified once,
// spread over the ranks; the load itself then reads ranges.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "run/manifest.h"
#include "run/state.h"

namespace ocoee::run {

// Steps that have a whole folder, ascending. `folder` is RUN/checkpoints.
std::vector<int64_t> checkpoint_steps(const std::filesystem::path& folder);
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, int64_t step);

// The step with the lowest metric, the earlier one of equals; nothing where none was evaluated.
std::optional<int64_t> best_checkpoint(const std::filesystem::path& folder);

// Files present, of the stated size, whole by checksum, holding the tensors that the manifest
// promises. Throws Error(data) saying what is broken.
void verify_checkpoint(const std::filesystem::path& checkpoint);
std::string inspect_text(const std::filesystem::path& checkpoint);

// Saves asynchronously: begin() copies the state to host memory and returns; a thread writes this
// rank's shard and calls no MPI; finish() is collective, called once all ranks' shards are done.
class CheckpointWriter {
 public:
  struct Labels {  // into every manifest
    std::string program, recipe;
  };
  CheckpointWriter(std::filesystem::path folder, comm::Communicator& world, int64_t keep,
                   Labels labels = {});
  ~CheckpointWriter();
  // Collective. Throws Error(file) on every rank when the folder cannot be made. `seconds`: the
  // run's own time until here.
  void begin(int64_t step, const State& state, double metric, double seconds = 0);
  bool busy() const { return step_.has_value(); }
  bool shard_done() const;  // also true when it failed, or when nothing is under way
  // Collective. Throws Error(file) on every rank if any shard failed; then nothing of this
  // checkpoint is left, and the ones before are whole.
  struct Saved {
    int64_t step = 0;
    double seconds = 0;      // to write the slowest shard and to put it in place; on rank 0
    int64_t host_bytes = 0;  // of this rank's copy, while it was written
    std::filesystem::path path;
  };
  Saved finish();

 private:
  struct Owned {  // a piece of the state that this rank writes
    size_t array, piece;
    std::string key;  // its name in the shard
  };
  void make_plan(const State& state);
  void put_in_place(int64_t step, const std::vector<std::string>& reports);  // rank 0
  void prune(int64_t just_written);                                          // rank 0

  std::filesystem::path folder_;
  comm::Communicator& world_;
  int64_t keep_;
  Labels labels_;
  std::string plan_of_;  // the boxes that the plan was made for
  std::vector<Owned> owned_;
  std::vector<ManifestArray> arrays_;  // rank 0
  std::map<int64_t, double> metrics_;  // of the checkpoints there; rank 0
  std::optional<int64_t> step_;
  nlohmann::json values_;
  double metric_ = 0, seconds_ = 0, begun_ = 0;
  struct Shard;
  std::unique_ptr<Shard> shard_;
};

// Removes what a killed run left half-written or half-removed. Rank 0 calls it, with the run
// locked.
void remove_leftovers(const std::filesystem::path& folder);

// The newest whole checkpoint, or nothing where there is none. Damaged ones are named in a warning
// and passed over; throws Error(data) when all are damaged. Collective.
std::optional<int64_t> latest_loadable(const std::filesystem::path& folder,
                                       comm::Communicator& world);

struct LoadCounters {           // of this rank
  int64_t bytes_needed = 0;     // of the state's pieces
  int64_t bytes_read = 0;       // of array data; with small gaps, at most 9/8 of what is needed
  int64_t most_host_bytes = 0;  // of buffers, at once
};
// Puts the arrays of a checkpoint into the state's pieces and returns the values. The checkpoint
// may hold more arrays. Collective. Throws Error(data) on every rank when an array is missing, or
// of another shape or type.
nlohmann::json load_checkpoint(const std::filesystem::path& checkpoint, const State& state,
                               comm::Communicator& world, LoadCounters* counters = nullptr);

// Rewrites a checkpoint as `shards` files, each array split by rows of its first dimension, a few
// megabytes in memory at a time. Verifies the source first; `target` must neither exist nor be
// named after another step. Throws Error(data), Error(file), Error(config).
void reshard_checkpoint(const std::filesystem::path& source, const std::filesystem::path& target,
                        int64_t shards);

}  // namespace ocoee::run
