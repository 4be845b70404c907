// SPDX-License-Identifier: Apache-2.0
#include "cli/layers.h"

namespace ocoee::cli {

std::vector<std::pair<std::string, std::string>> layers() {
  return {};
}

}  // namespace ocoee::cli
