// SPDX-License-Identifier: Apache-2.0
// A Hugging Face model folder on disk: config.json, model.safetensors (or shards with their index),
// and the key map that Ocoee adds.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "run/state.h"
#include "tasks/language/interchange.h"

namespace ocoee::tasks {

struct TokenNames {  // which tokenizer the ids are of; data/tokenizer.h
  std::string name;
  int64_t k = 0;  // of "kmer"
};

// Reads the named parameters of ours, on the host.
using ReadTensors = std::function<HostTensors(const std::vector<std::string>&)>;

struct ExportOptions {
  // The most of a file, unless one tensor is larger; 0: 5 GB, and at most the ranks' even share.
  int64_t file_bytes = 0;
  comm::Communicator* world = nullptr;  // ranks that write the files in turn; null: this process
};

// Writes the weights into `folder`, which may exist but must not hold a model: model.safetensors,
// or numbered files and their index; then the other two. A process holds one tensor at a time (and
// what is read to make it). Collective over options.world. Throws Error(file).
void write_hugging_face(const std::filesystem::path& folder, const models::GptConfig& config,
                        int64_t vocabulary, const TokenNames& tokens, const ReadTensors& read,
                        const ExportOptions& options = {});

// From weights that are at hand.
void write_hugging_face(const std::filesystem::path& folder, const models::GptConfig& config,
                        int64_t vocabulary, const TokenNames& tokens, const HostTensors& ours);

// The weights of a folder, read where they are asked for: files are mapped, nothing is copied
// before.
class ForeignWeights {
 public:
  // Throws Error(data).
  ForeignWeights(const std::filesystem::path& folder, const ForeignModel& model);
  ~ForeignWeights();
  ForeignWeights(ForeignWeights&&) noexcept;
  const ForeignParts& parts() const { return parts_; }
  // A box of one of our parameters, row by row, as float32. F32, F16, BF16 and F64 are read.
  void read(const std::string& ours, const run::Box& box, float* to) const;

 private:
  struct Files;
  std::unique_ptr<Files> files_;
  ForeignParts parts_;
};

struct ForeignFolder {
  ForeignModel model;
  ForeignWeights weights;
  std::optional<TokenNames> tokens;  // where key_map.json tells
};
ForeignFolder read_hugging_face(const std::filesystem::path& folder);  // throws Error(data)

}  // namespace ocoee::tasks
