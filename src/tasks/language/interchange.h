// SPDX-License-Identifier: Apache-2.0
// Weights and settings of a language model, as Hugging Face transformers names and lays them out,
// and back: GPT2LMHeadModel and LlamaForCausalLM. Everything on the host, in float32.
//
//   ours              GPT-2                               Llama
//   wte, wpe          transformer.wte, .wpe               model.embed_tokens, -
//   blocks.I.norm1    transformer.h.I.ln_1                model.layers.I.input_layernorm
//   norm2             ln_2                                post_attention_layernorm
//   attention.q k v   attn.c_attn (stacked, transposed)   self_attn.{q,k,v}_proj
//   attention.o       attn.c_proj (transposed)            self_attn.o_proj
//   mlp.gate          -                                   mlp.gate_proj
//   mlp.up, down      mlp.c_fc, c_proj (transposed)       mlp.up_proj, down_proj
//   final_norm        transformer.ln_f                    model.norm
//   lm_head           lm_head, absent when tied           lm_head, absent when tied
//
// GPT-2's Conv1D keeps weights as [in, out], ours are [out, in]. Rotary positions pair element i of
// a head with i + head_dim/2 on both sides, so Llama's q and k need no permutation.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "models/gpt.h"

namespace ocoee::tasks {

struct HostTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;  // row-major
};
using HostTensors = std::map<std::string, HostTensor>;

struct KeyMapping {
  std::string theirs;
  std::vector<int64_t> shape;  // of theirs
  std::vector<std::string>
      ours;  // stacked by rows; empty: theirs is a bias that we do not have, and zero
  bool transposed = false;
};

// "gpt2" or "llama", by what the model is made of. Throws Error(config) naming the keys that
// neither format can hold.
std::string hugging_face_family(const models::GptConfig& config);

std::vector<KeyMapping> key_map(const models::GptConfig& config, int64_t vocabulary);
nlohmann::json hugging_face_config(const models::GptConfig& config,
                                   int64_t vocabulary);  // config.json
HostTensors to_hugging_face(const std::vector<KeyMapping>& map, const HostTensors& ours);

struct ForeignModel {
  models::GptConfig config;
  int64_t vocabulary = 0;
  // Llama may have biases in one half of a block only; ours are then zero in the other.
  bool attention_bias = true, mlp_bias = true;
};
// Reads config.json. Throws Error(data), naming `file` and the key, where the model is not one of
// the two or does something that ours does not.
ForeignModel read_hugging_face_config(const nlohmann::json& config, const std::string& file);

// Where one of our parameters lies among theirs.
struct ForeignPart {
  std::string theirs;          // as it is named there; empty: a bias that they lack, so zero
  std::vector<int64_t> shape;  // of ours
  std::vector<int64_t> their_shape;
  int64_t first_row = 0;  // of what is stacked there
  bool transposed = false;
  // The element of theirs that is element (row, column) of ours.
  int64_t element(int64_t row, int64_t column) const {
    return transposed ? column * their_shape[1] + first_row + row
                      : (first_row + row) * (shape.size() == 2 ? shape[1] : 1) + column;
  }
};
using ForeignParts = std::map<std::string, ForeignPart>;  // by our names
using Shapes = std::map<std::string, std::vector<int64_t>>;

// Names of bare models (without the head) are completed; buffers that are no weights are passed
// over. Throws Error(data) on a tensor that is missing, unknown or of another shape.
ForeignParts match_hugging_face(const ForeignModel& model, const Shapes& theirs,
                                const std::string& folder);
HostTensors from_hugging_face(const ForeignModel& model, const HostTensors& theirs,
                              const std::string& folder);

}  // namespace ocoee::tasks
