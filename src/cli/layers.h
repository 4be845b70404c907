// SPDX-License-Identifier: Apache-2.0
// The layers that this program can build, as `ocoee list` shows them: no torch here.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ocoee::cli {

std::vector<std::pair<std::string, std::string>> layers();  // kind, one line; none without LibTorch

}  // namespace ocoee::cli
