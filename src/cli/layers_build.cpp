// SPDX-License-Identifier: Apache-2.0
#include "cli/layers.h"
#include "nn/registry.h"

namespace ocoee::cli {

std::vector<std::pair<std::string, std::string>> layers() {
  return nn::layer_summaries();
}

}  // namespace ocoee::cli
