// SPDX-License-Identifier: Apache-2.0
// One self-contained HTML file from a run directory alone: no network, no scripts needed to read
// it, under 2 MiB.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/section.h"

namespace ocoee::report {

constexpr size_t kMostReportBytes = 2u << 20;

// The page as text. `extra` sections stand before the record of events, recipe and environment.
std::string render_report(const std::filesystem::path& run_directory,
                          const std::vector<Section>& extra = {});

// Writes RUN/report.html atomically and returns its path. A missing or broken file of the run is
// said in the page; throws Error(file) where the directory does not exist or cannot be written.
std::filesystem::path write_report(const std::filesystem::path& run_directory,
                                   const std::vector<Section>& extra = {});

}  // namespace ocoee::report
