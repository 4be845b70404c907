// SPDX-License-Identifier: Apache-2.0
#include "tasks/registry.h"

namespace ocoee::tasks {

std::vector<run::TaskType> builtin_tasks() {
  return {genome_lm_task(), text_lm_task(), toy_gan_task()};
}

}  // namespace ocoee::tasks
