// SPDX-License-Identifier: Apache-2.0
// Keys of [batch] and [layout] that have no effect beside the others on so many ranks. Set to one
// value each, they show which recipes are the same run. What no ranks are needed for, the keys'
// own conditions say (Field::acts_where).
#pragma once

#include <cstdint>
#include <vector>

#include "plan/training_config.h"

namespace ocoee::plan {

struct ActingRule {
  const char* says;
  bool (*holds)(const BatchConfig& batch, const LayoutConfig& layout,
                const PrecisionConfig& precision, int64_t ranks);
  void (*settle)(BatchConfig& batch, LayoutConfig& layout, int64_t ranks);
};
const std::vector<ActingRule>& acting_rules();  // each may build on those before it

// After check_training().
void keep_what_acts(BatchConfig& batch, LayoutConfig& layout, const PrecisionConfig& precision,
                    int64_t ranks);

}  // namespace ocoee::plan
