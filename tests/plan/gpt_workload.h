// SPDX-License-Identifier: Apache-2.0
// A GPT on samples of 2,048 tokens, as published runs train it.
#pragma once

#include "models/shapes.h"
#include "plan/predict.h"

namespace ocoee::plan {

inline Workload gpt(int64_t layers, int64_t width, int64_t heads, int64_t vocabulary, int64_t batch,
                    int64_t loss_chunks = 1) {
  models::GptConfig config;
  config.layers = layers;
  config.width = width;
  config.heads = heads;
  config.context = 2048;
  Workload w;
  w.name = "gpt";
  w.model = models::build_gpt(config, vocabulary, loss_chunks);
  w.sequence = 2048;
  w.global_batch = batch;
  return w;
}

}  // namespace ocoee::plan
