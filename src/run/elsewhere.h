// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace ocoee::run {

// How else a file of a run directory could be written (core/file.h, fix_of).
inline constexpr std::string_view kElsewhere = "set run.dir to another place";

}  // namespace ocoee::run
