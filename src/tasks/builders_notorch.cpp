// SPDX-License-Identifier: Apache-2.0
#include "tasks/builders.h"

namespace ocoee::tasks {

Builder builder_of(const std::string&) {
  return {};
}

}  // namespace ocoee::tasks
