// SPDX-License-Identifier: Apache-2.0
// When training has nothing more to gain: no number, or no gradient, for too long.
#pragma once

#include <string>

#include "train/update.h"

namespace ocoee::train {

// `name`: of the objective, or of one of the models it updates. Throws Error(numerics) on a loss or
// gradient that is not finite (unless float16's loss scaling skipped the step), on 40 skipped steps
// in a row, and on 20 gradients in a row that are exactly zero.
void stop_on_bad_numbers(int64_t step, const std::string& name, const Update::Report& report,
                         double loss);

}  // namespace ocoee::train
