// SPDX-License-Identifier: Apache-2.0
// Why a layout is what it is, in sentences: where its time and memory go, and what each choice
// would have cost otherwise.
#pragma once

#include <string>
#include <vector>

#include "plan/search.h"

namespace ocoee::plan {

std::vector<std::string> explain(Predictor& predictor, const Configuration& configuration);

}  // namespace ocoee::plan
