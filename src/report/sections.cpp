// SPDX-License-Identifier: Apache-2.0
#include "report/section.h"

namespace ocoee::report {

const std::vector<Section>& standard_sections() {
  static const std::vector<Section> kSections = {
      {"learning", "Learning", {}, learning_section},
      {"markov", "Markov models", {}, markov_section},
      {"figures", "Results", {}, figures_section},
      {"speed", "Speed", {}, speed_section},
      {"timeline", "Timeline", {}, timeline_section},
      {"pipeline", "Pipeline", {}, pipeline_section},
      {"ranks", "Ranks", {}, ranks_section},
      {"traffic", "Communication", {}, traffic_section},
      {"memory", "Memory", {}, memory_section},
      {"plan", "Plan", {}, plan_section},
      {"optimisation", "Optimisation", {}, optimisation_section},
      {"events", "Events", {}, events_section},
      {"reproduce", "Run it again", {}, reproduce_section},
      {"recipe", "Recipe", {}, recipe_section},
      {"environment", "Environment", {}, environment_section},
  };
  return kSections;
}

}  // namespace ocoee::report
