// SPDX-License-Identifier: Apache-2.0
// The tasks that a recipe can name. A new one is a folder here and one line in registry.cpp.
#pragma once

#include <vector>

#include "run/task.h"

namespace ocoee::tasks {

std::vector<run::TaskType> builtin_tasks();

run::TaskType genome_lm_task();  // language/genome_lm.cpp
run::TaskType text_lm_task();    // language/text_lm.cpp
run::TaskType toy_gan_task();    // gans/toy_gan.cpp
run::TaskType alloy_fit_task();  // alloys/alloy_fit.cpp

run::TaskType alloy_ladder_task();       // alloys/alloy_ladder.cpp
run::TaskType alloy_wang_landau_task();  // alloys/alloy_wang_landau.cpp
run::TaskType alloy_anneal_task();       // alloys/alloy_anneal.cpp

}  // namespace ocoee::tasks
