// SPDX-License-Identifier: Apache-2.0
// Pipelines as they are executed: any number of micro-batches, any cuts, and what the engine did
// against the closed forms.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "parallel/mpi/layout_case.h"
#include "plan/play.h"

namespace ocoee::parallel {
namespace {

using plan::ScheduleKind;

std::vector<LayoutCase> pipelines(int64_t samples) {
  std::vector<LayoutCase> out;
  const int ranks = testing_support::world().size();
  for (const auto kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved,
                          ScheduleKind::zero_bubble}) {
    LayoutCase c;
    c.pipeline = ranks, c.schedule = kind, c.samples = samples;
    c.chunks = kind == ScheduleKind::interleaved ? 2 : 1;
    if (kind == ScheduleKind::interleaved && samples < ranks) continue;
    out.push_back(c);
  }
  return out;
}

const Outcome& alone(int64_t samples) {
  static std::map<int64_t, Outcome> known;
  if (!known.contains(samples)) {
    LayoutCase c;
    c.samples = c.micro = samples;
    comm::World world = comm::World::alone();
    comm::Mesh mesh(world, comm::Shape{}, {});
    known[samples] = train_case(c, mesh, nullptr, 2);
  }
  return known[samples];
}

// All stages' actions of the last step; weight work done with its backward is an action again.
plan::Schedule executed_by(Engine& engine, const plan::ScheduleRequest& request) {
  nlohmann::json mine = nlohmann::json::array();
  for (const Executed& one : engine.executed())
    mine.push_back(
        {static_cast<int>(one.step.action), one.step.chunk, one.step.peer, one.step.micro});
  plan::Schedule schedule{request, {}};
  for (const std::string& text :
       engine.mesh().axis(comm::Axis::pipeline).all_gather_text(mine.dump())) {
    auto& stage = schedule.stages.emplace_back();
    std::set<std::pair<uint8_t, uint32_t>> put_off;
    const auto actions = nlohmann::json::parse(text);
    for (const auto& entry : actions)
      if (static_cast<plan::Action>(entry[0].get<int>()) == plan::Action::weight)
        put_off.emplace(entry[1], entry[3]);
    for (const auto& entry : actions) {
      const plan::Step step{static_cast<plan::Action>(entry[0].get<int>()), entry[1], entry[2],
                            entry[3]};
      stage.push_back(step);
      if (step.action == plan::Action::backward && !put_off.contains({step.chunk, step.micro}))
        stage.push_back({plan::Action::weight, step.chunk, 0, step.micro});
    }
  }
  return schedule;
}

TEST(Pipeline, AnyNumberOfMicroBatchesGivesTheSameAnswerInTheClosedForms) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) return;
  for (const int64_t samples : {1, 2, 3, 5, 7, 8}) {
    for (const LayoutCase& c : pipelines(samples)) {
      SCOPED_TRACE(c.text());
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      const plan::ScheduleRequest request{c.schedule, c.pipeline, static_cast<int>(samples),
                                          c.chunks};
      const Outcome got =
          train_case(c, mesh, &mesh.world(), 2, [&](Engine& engine, train::Update&) {
            EXPECT_EQ(engine.most_in_flight(),
                      plan::activations_in_flight(request, mesh.coordinate(comm::Axis::pipeline)));
            const plan::Schedule executed = executed_by(engine, request);
            EXPECT_EQ(executed.stages, plan::make_schedule(request).stages);
            if (samples < world.size()) return;  // the form holds for a full pipeline
            const int64_t ideal = int64_t{3} * request.micro_batches * request.chunks;
            const auto lost = static_cast<double>(plan::play(executed).makespan - ideal);
            EXPECT_NEAR(lost / static_cast<double>(ideal), plan::ideal_bubble_overhead(request),
                        1e-12);
          });
      for (size_t s = 0; s < got.losses.size(); ++s)
        EXPECT_NEAR(got.losses[s], alone(samples).losses[s], 1e-10 * got.losses[s]);
      for (const auto& [name, parameter] : alone(samples).parameters)
        EXPECT_LT((got.parameters.at(name) - parameter).abs().max().item<double>(), 1e-9) << name;
    }
  }
}

TEST(Pipeline, AnyCutsGiveTheSameAnswer) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) return;
  const auto parts = static_cast<int64_t>(world.size());
  std::vector<int64_t> early, late;
  for (int64_t p = 1; p < parts; ++p) {
    early.push_back(p);              // one block a stage, and the rest in the last
    late.push_back(10 - parts + p);  // the head alone
  }
  for (const auto& cuts : {early, late}) {
    LayoutCase c;
    c.pipeline = world.size(), c.cuts = cuts, c.shard = Shard::none;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    const Outcome got = train_case(c, mesh, &mesh.world(), 2, [&](Engine& engine, train::Update&) {
      const auto stage = static_cast<size_t>(mesh.coordinate(comm::Axis::pipeline));
      const int64_t first = stage == 0 ? 0 : cuts[stage - 1],
                    last = stage == cuts.size() ? 10 : cuts[stage];
      EXPECT_EQ(static_cast<int64_t>(engine.model().blocks.size()), last - first);
    });
    for (size_t s = 0; s < got.losses.size(); ++s)
      EXPECT_NEAR(got.losses[s], alone(8).losses[s], 1e-10 * got.losses[s]);
    for (const auto& [name, parameter] : alone(8).parameters)
      EXPECT_LT((got.parameters.at(name) - parameter).abs().max().item<double>(), 1e-9) << name;
  }
}

}  // namespace
}  // namespace ocoee::parallel
