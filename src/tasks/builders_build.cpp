// SPDX-License-Identifier: Apache-2.0
#include "tasks/builders.h"
#include "tasks/gans/toy_gan.h"
#include "tasks/language/genome_lm.h"
#include "tasks/language/text_lm.h"

namespace ocoee::tasks {

Builder builder_of(const std::string& task) {
  if (task == "genome_lm") return build_genome_lm;
  if (task == "text_lm") return build_text_lm;
  if (task == "toy_gan") return build_toy_gan;
  return {};
}

}  // namespace ocoee::tasks
