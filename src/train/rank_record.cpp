// SPDX-License-Identifier: Apache-2.0
#include "train/rank_record.h"

#include <unistd.h>

#include <algorithm>
#include <string>

#include "core/trace.h"

namespace ocoee::train {
namespace {

using nlohmann::json;
using plan::Action;

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "?";
}

bool computes(Action action) {
  return action == Action::forward || action == Action::backward || action == Action::weight;
}

}  // namespace

json ranks_record(comm::Mesh& mesh, const json& profile) {
  comm::Communicator& world = mesh.world();
  if (world.size() == 1) return nullptr;
  json mine = {{"host", host_name()}};
  for (const char* phase : {"data", "forward", "backward", "communication", "optimizer"})
    mine["seconds"][phase] =
        profile.is_object() ? profile.value(phase, 0.0) : trace::total_seconds(phase);
  json out;
  double longest = -1;
  const std::vector<std::string> all = world.all_gather_text(mine.dump());
  for (size_t r = 0; r < all.size(); ++r) {
    const json entry = json::parse(all[r]);
    const json& seconds = entry["seconds"];
    out["seconds"].push_back(seconds);
    const double computed = seconds["forward"].get<double>() + seconds["backward"].get<double>();
    if (computed <= longest) continue;
    longest = computed;
    out["slowest"] = r;
    out["host"] = entry["host"];
  }
  return out;
}

json pipeline_record(parallel::Engine& engine) {
  if (!engine.pipelined()) return nullptr;
  comm::Communicator& stages = engine.mesh().axis(comm::Axis::pipeline);
  std::vector<parallel::Executed> own = engine.executed();
  std::erase_if(own, [](const parallel::Executed& one) { return !computes(one.step.action); });
  stages.barrier();  // the ranks leave it together: their clocks agree here
  const double here = trace::now_seconds();
  json mine = json::array();
  uint32_t micro_batches = 0;
  for (const parallel::Executed& one : own) {
    mine.push_back({plan::name_of(one.step.action), one.step.chunk, one.step.micro,
                    one.begin - here, one.end - here, one.waited});
    micro_batches = std::max(micro_batches, one.step.micro + 1);
  }
  const parallel::EngineOptions& options = engine.options();
  json out = {{"schedule", plan::name_of(options.schedule)},
              {"chunks", options.chunks},
              {"micro_batches", micro_batches},
              {"pipelines", engine.mesh().world().size() / stages.size()},
              {"ranks", json::array()},
              {"stages", json::array()}};
  double first = 1e300, last = -1e300, busy = 0;
  for (const std::string& text : stages.all_gather_text(mine.dump()))
    out["stages"].push_back(json::parse(text));
  for (const std::string& text :
       stages.all_gather_text(std::to_string(engine.mesh().world().rank())))
    out["ranks"].push_back(json::parse(text));
  for (const json& stage : out["stages"]) {
    for (const json& action : stage) {
      first = std::min(first, action[3].get<double>());
      last = std::max(last, action[4].get<double>());
      busy += action[4].get<double>() - action[3].get<double>() - action[5].get<double>();
    }
  }
  for (json& stage : out["stages"]) {
    for (json& action : stage) {
      action[3] = action[3].get<double>() - first;
      action[4] = action[4].get<double>() - first;
    }
  }
  if (busy <= 0) return nullptr;
  // The closed form is that of a pipeline that fills.
  if (static_cast<int>(micro_batches) >= stages.size())
    out["bubble_predicted"] = plan::ideal_bubble_overhead(
        {options.schedule, stages.size(), static_cast<int>(micro_batches), options.chunks});
  out["bubble_measured"] = (last - first) * stages.size() / busy - 1;
  return out;
}

}  // namespace ocoee::train
