// SPDX-License-Identifier: Apache-2.0
// What a run is told before its first step, and leaves in its plan.json: bytes of the fullest rank
// by category, and, where a profile of the machine is known, what a step will take; and which key
// cannot act at this split of the batch.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "plan/predict.h"

namespace ocoee::plan {

// Adds "memory_bytes", "memory_total_bytes" and "predicted" to `out`, and sentences to its
// "lines". `machine` is a profile's name or path; "": memory alone.
void predict_run(const Planned& planned, const std::string& machine, int64_t steps,
                 nlohmann::json& out);

}  // namespace ocoee::plan
