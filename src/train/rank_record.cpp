// SPDX-License-Identifier: Apache-2.0
#include "train/rank_record.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/trace.h"

namespace ocoee::train {
namespace {

using nlohmann::json;

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "?";
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

namespace {

constexpr size_t kMostRows = 64;  // that are shown

// Where this rank's pipeline lies: "tensor 1, data 0"; "" where there is one.
std::string place_of(const comm::Mesh& mesh) {
  std::string out;
  for (int a = 0; a < comm::kAxes; ++a) {
    const auto axis = static_cast<comm::Axis>(a);
    if (axis == comm::Axis::pipeline || mesh.size(axis) == 1) continue;
    out +=
        fmt::format("{}{} {}", out.empty() ? "" : ", ", comm::name_of(axis), mesh.coordinate(axis));
  }
  return out;
}

struct PipelineRank {
  int rank = 0, stage = 0;
  std::string host, place;
  double begin = 0, end = 0, computed = 0;
};

// The ranks of each pipeline, by stage; pipelines in the order of their first ranks.
std::vector<std::vector<PipelineRank>> all_pipelines(comm::Mesh& mesh, const json& mine) {
  std::map<int, std::vector<PipelineRank>> by_first;
  const std::vector<std::string> all = mesh.world().all_gather_text(mine.dump());
  for (size_t r = 0; r < all.size(); ++r) {
    const json entry = json::parse(all[r]);
    std::vector<PipelineRank>& ranks = by_first[entry["first"].get<int>()];
    ranks.push_back({static_cast<int>(r), entry["stage"], entry["host"], entry["place"],
                     entry["begin"], entry["end"], entry["computed"]});
  }
  std::vector<std::vector<PipelineRank>> out;
  for (auto& [first, ranks] : by_first) {
    std::sort(ranks.begin(), ranks.end(),
              [](const PipelineRank& a, const PipelineRank& b) { return a.stage < b.stage; });
    out.push_back(std::move(ranks));
  }
  return out;
}

}  // namespace

json pipeline_record(parallel::Engine& engine, size_t most) {
  if (!engine.pipelined()) return nullptr;
  comm::Mesh& mesh = engine.mesh();
  comm::Communicator &world = mesh.world(), &stages = mesh.axis(comm::Axis::pipeline);
  std::vector<parallel::Executed> own = engine.executed();
  std::erase_if(own,
                [](const parallel::Executed& one) { return !plan::computes(one.step.action); });
  world.barrier();  // the ranks leave it together: their clocks agree here
  const double here = trace::now_seconds();
  PipelineRank me;
  uint32_t micro_batches = 0;
  for (const parallel::Executed& one : own) {
    me.begin = std::min(me.begin, one.begin - here);
    me.computed += one.end - one.begin - one.waited;
    micro_batches = std::max(micro_batches, one.step.micro + 1);
  }
  me.end = own.empty() ? me.begin : own.back().end - here;
  const auto pipelines = all_pipelines(mesh, {{"first", stages.world_ranks().front()},
                                              {"stage", stages.rank()},
                                              {"host", host_name()},
                                              {"place", place_of(mesh)},
                                              {"begin", me.begin},
                                              {"end", me.end},
                                              {"computed", me.computed}});
  double first = 1e300, last = -1e300, busy = 0;
  size_t slowest = 0;
  const PipelineRank* longest = nullptr;
  for (size_t p = 0; p < pipelines.size(); ++p) {
    for (const PipelineRank& rank : pipelines[p]) {
      first = std::min(first, rank.begin), last = std::max(last, rank.end);
      busy += rank.computed;
      if (!longest || rank.computed > longest->computed) longest = &rank, slowest = p;
    }
  }
  const bool all = pipelines.size() <= most && static_cast<size_t>(world.size()) <= kMostRows;
  const auto shown = [&](size_t p) { return all || p == slowest; };

  json mine = json::array();
  for (const parallel::Executed& one : own)
    mine.push_back({plan::name_of(one.step.action), one.step.chunk, one.step.micro,
                    one.begin - here - first, one.end - here - first, one.waited});
  const bool is_shown = all || std::any_of(pipelines[slowest].begin(), pipelines[slowest].end(),
                                           [&](const auto& r) { return r.rank == world.rank(); });
  const std::vector<std::string> actions =
      world.gather_text(is_shown ? mine.dump() : std::string(), 0);
  if (world.rank() != 0 || busy <= 0) return nullptr;

  const parallel::EngineOptions& options = engine.options();
  json out = {{"schedule", plan::name_of(options.schedule)},
              {"chunks", options.chunks},
              {"micro_batches", micro_batches},
              {"pipelines", pipelines.size()},
              {"on_device", mesh.device().is_cuda()},
              {"shown", json::array()},
              {"slowest",
               {{"rank", longest->rank},
                {"host", longest->host},
                {"stage", longest->stage},
                {"pipeline", slowest},
                {"computed", longest->computed}}}};
  for (size_t p = 0; p < pipelines.size(); ++p) {
    if (!shown(p)) continue;
    json one = {{"pipeline", p}, {"place", pipelines[p].front().place}};
    for (const PipelineRank& rank : pipelines[p]) {
      one["ranks"].push_back(rank.rank);
      one["stages"].push_back(json::parse(actions[static_cast<size_t>(rank.rank)]));
    }
    out["shown"].push_back(std::move(one));
  }
  // The closed form is that of a pipeline that fills.
  if (static_cast<int>(micro_batches) >= stages.size())
    out["bubble_predicted"] = plan::ideal_bubble_overhead(
        {options.schedule, stages.size(), static_cast<int>(micro_batches), options.chunks});
  out["bubble_measured"] = (last - first) * world.size() / busy - 1;
  return out;
}

}  // namespace ocoee::train
