// SPDX-License-Identifier: Apache-2.0
// A part of a run's report. Rooms below add their own: a Section with the tasks it is for, given to
// write_report().
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "report/run_directory.h"

namespace ocoee::report {

struct SectionContext {
  const RunDirectory& run;
  double detail = 1;  // points a pixel in long curves; smaller when a page grows too large
};

struct Section {
  std::string id;  // letters, digits, hyphens; the anchor
  std::string title;
  std::vector<std::string> tasks;  // task names; empty: every task. "gan_*" matches a prefix
  std::function<std::string(const SectionContext&)> render;  // markup; "" leaves the section out
};

// The sections of every report, in order: an explicit list (sections.cpp).
const std::vector<Section>& standard_sections();
bool section_is_for(const Section& section, const std::string& task);

std::string header_markup(
    const SectionContext& context);  // what ran, its status, the headline figures

// The parts, each in its own file.
std::string learning_section(const SectionContext& context);
std::string markov_section(const SectionContext& context);
std::string figures_section(
    const SectionContext& context);  // figures that the task itself described in summary.json
std::string speed_section(const SectionContext& context);
std::string timeline_section(const SectionContext& context);
std::string pipeline_section(const SectionContext& context);
std::string ranks_section(const SectionContext& context);
std::string traffic_section(const SectionContext& context);
std::string memory_section(const SectionContext& context);
std::string plan_section(const SectionContext& context);
std::string optimisation_section(const SectionContext& context);
std::string events_section(const SectionContext& context);
std::string recipe_section(const SectionContext& context);
std::string environment_section(const SectionContext& context);
std::string reproduce_section(const SectionContext& context);

}  // namespace ocoee::report
