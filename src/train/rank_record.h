// SPDX-License-Identifier: Apache-2.0
// What the ranks of a run say of themselves at its end, for summary.json and the report.
#pragma once

#include <nlohmann/json.hpp>

#include "parallel/engine.h"

namespace ocoee::train {

// Seconds by phase of each rank, and which computed longest (collective over the mesh): {"seconds":
// [{"forward": ..., ...}], "slowest": rank, "host": its host}. Null on one rank. `profile`: this
// rank's phases of a step on a device (StepProfile); null takes the host's over the whole run.
nlohmann::json ranks_record(comm::Mesh& mesh, const nlohmann::json& profile);

// The last step of a pipelined engine, of all pipelines that ran side by side, on clocks that agree
// (collective over the mesh; null but on its first rank):
//   {"schedule", "chunks", "micro_batches",
//    "pipelines",                        how many there are
//    "shown": [{"pipeline", "place",     its number, and where it lies on the other axes; all of
//                                        them, or of more than `most` the one with the slowest rank
//               "ranks",                 of its stages
//               "stages": [[[action, chunk, micro-batch, begin, end, waited], ...]]}],   computing
//                                        actions, in seconds, and what messages inside of them took
//    "slowest": {"rank", "host", "stage", "pipeline", "computed"},   of all ranks
//    "on_device",                        whether the times are a GPU's
//    "bubble_predicted", "bubble_measured"}  time lost over time computed, the second of all ranks;
//                                        the first only where there are as many micro-batches as
//                                        stages
// Null for an engine of one stage.
nlohmann::json pipeline_record(parallel::Engine& engine, size_t most = 8);

}  // namespace ocoee::train
