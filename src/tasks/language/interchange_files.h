// SPDX-License-Identifier: Apache-2.0
// A Hugging Face model folder on disk: config.json, model.safetensors (or shards with their index),
// and the key map that Ocoee adds.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tasks/language/interchange.h"

namespace ocoee::tasks {

struct TokenNames {  // which tokenizer the ids are of; data/tokenizer.h
  std::string name;
  int64_t k = 0;  // of "kmer"
};

// Writes the three files into `folder`, which may exist but must not hold a model. Throws
// Error(file).
void write_hugging_face(const std::filesystem::path& folder, const models::GptConfig& config,
                        int64_t vocabulary, const TokenNames& tokens, const HostTensors& ours);

struct ForeignFolder {
  ForeignModel model;
  HostTensors weights;               // under our names
  std::optional<TokenNames> tokens;  // where key_map.json tells
};
// Reads F32, F16, BF16 and F64 tensors. Throws Error(data).
ForeignFolder read_hugging_face(const std::filesystem::path& folder);

}  // namespace ocoee::tasks
