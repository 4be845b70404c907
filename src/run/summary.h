// SPDX-License-Identifier: Apache-2.0
// summary.json: how a run ended, in numbers. What the task says of itself ("summary" events) and
// what the runner knows.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "comm/mesh.h"
#include "run/events.h"

namespace ocoee::run {

// Remembers what the task said at its end, and its last logged step.
class SummaryListener final : public Listener {
 public:
  explicit SummaryListener(nlohmann::json& out) : out_(out) {}
  void on(const Event& event) override;

 private:
  nlohmann::json& out_;
};

// Adds headline, tokens and seconds by phase, from what is there and from the trace.
void complete_summary(nlohmann::json& summary);
// Calls and bytes by axis and kind, of all ranks since they began. Collective.
nlohmann::json traffic_of(comm::Mesh& mesh);
// "held-out bits per base 1.8895; best order-k Markov model 1.9305"; "" without a headline.
std::string headline_text(const nlohmann::json& summary);

}  // namespace ocoee::run
