// SPDX-License-Identifier: Apache-2.0
// One pass over an evaluation's samples, shared out over the data axis (collective over the mesh).
#pragma once

#include <nlohmann/json.hpp>

#include "train/objective.h"

namespace ocoee::train {

// `micro`: samples a pass. Returns Evaluation::metrics() of the sums over all ranks.
nlohmann::json evaluate(Models& models, Evaluation& evaluation, comm::Mesh& mesh, int64_t micro);

}  // namespace ocoee::train
