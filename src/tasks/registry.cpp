// SPDX-License-Identifier: Apache-2.0
#include "tasks/registry.h"

namespace ocoee::tasks {

std::vector<run::TaskType> builtin_tasks() {
  return {genome_lm_task(),         text_lm_task(),      toy_gan_task(),  alloy_ladder_task(),
          alloy_wang_landau_task(), alloy_anneal_task(), alloy_fit_task()};
}

}  // namespace ocoee::tasks
