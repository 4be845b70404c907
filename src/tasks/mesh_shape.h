// SPDX-License-Identifier: Apache-2.0
// The mesh that the [layout] of a recipe asks for.
#pragma once

#include "comm/mesh.h"
#include "plan/training_config.h"

namespace ocoee::tasks {

comm::Shape mesh_shape(const plan::LayoutConfig& layout, const plan::PrecisionConfig& precision,
                       int ranks);

}  // namespace ocoee::tasks
