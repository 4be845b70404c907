// SPDX-License-Identifier: Apache-2.0
// What the language tasks share once tensors exist: the model "lm", its objective, its evaluation.
#pragma once

#include "data/windows.h"
#include "tasks/language/language_config.h"
#include "train/trainer.h"

namespace ocoee::tasks {

inline constexpr const char* kLanguageModel = "lm";

// Field "tokens" [B, pieces * (T / pieces + 1)] as the inputs and targets [B, T] of a decoder.
nn::Bundle decoder_inputs(const nn::Bundle& fields, int64_t pieces = 1);

// What this rank reads of a sample (data/windows.h).
data::WindowPieces window_pieces(const LanguageConfig& config, const comm::Mesh& mesh);

data::WindowOptions window_options(const LanguageConfig& config, const run::Context& context);

parallel::EngineOptions engine_options(const LanguageConfig& config, uint64_t seed);

// Everything but the data: `training` feeds the objective, `held_out` the evaluation; `unit` names
// the letters of the bits-per-letter metric ("bits_per_base", "bits_per_byte").
train::TrainerParts language_parts(const LanguageConfig& config, run::Context& context,
                                   std::shared_ptr<data::Source> training,
                                   std::shared_ptr<const data::HeldOutSource> held_out,
                                   const std::string& unit);

}  // namespace ocoee::tasks
