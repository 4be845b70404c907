// SPDX-License-Identifier: Apache-2.0
// Options of Megatron-LM, Megatron-DeepSpeed and their launchers that change neither the time nor
// the memory of a step: paths, logs, rates, seeds. What is neither read nor one of these is told.
#pragma once

#include <string>

namespace ocoee::plan {

bool leaves_the_step(const std::string& option);

}  // namespace ocoee::plan
