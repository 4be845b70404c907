// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer, in the style of GPT-2 (Radford et al. 2019: learned positions,
// LayerNorm, GELU, tied embedding) or Llama (Touvron et al. 2023: rotary positions, RMSNorm,
// SwiGLU, grouped-query attention), or any mixture.
#pragma once

#include <cstdint>
#include <string>

#include "core/config.h"
#include "plan/layer_spec.h"

namespace ocoee::models {

struct GptConfig {             // section [model]
  std::string style = "gpt2";  // sets the words below that say "style"
  int64_t layers = 4;
  int64_t width = 128;
  int64_t heads = 4;
  int64_t kv_heads = 0;              // 0 = heads
  int64_t context = 256;             // tokens
  int64_t feed_forward = 0;          // 0 = 4 * width, or 8/3 * width rounded up to 64 for swiglu
  std::string norm = "style";        // layer | rms
  std::string activation = "style";  // gelu | swiglu
  std::string positions = "style";   // learned | rope
  std::string bias = "style";        // yes | no
  std::string tied = "style";        // yes | no
  double rope_base = 10000;
  double epsilon = 1e-5;
  double dropout = 0;            // on the embedding and on each residual update
  double attention_dropout = 0;  // on attention probabilities
  double init_std = 0.02;

  void describe(config::Description& d);
  void check(config::Problems& problems) const;

  bool is_llama() const { return style == "llama"; }
  bool uses_rms() const { return norm == "style" ? is_llama() : norm == "rms"; }
  bool uses_swiglu() const { return activation == "style" ? is_llama() : activation == "swiglu"; }
  bool uses_rope() const { return positions == "style" ? is_llama() : positions == "rope"; }
  bool has_bias() const { return bias == "style" ? !is_llama() : bias == "yes"; }
  bool is_tied() const { return tied == "style" ? !is_llama() : tied == "yes"; }
  int64_t key_value_heads() const { return kv_heads == 0 ? heads : kv_heads; }
  int64_t head_dim() const { return width / heads; }
  int64_t inner_width() const;
};

// `loss_chunks`: layout.loss_chunks.
plan::ModelSpec build_gpt(const GptConfig& config, int64_t vocabulary, int64_t loss_chunks = 1);

}  // namespace ocoee::models
