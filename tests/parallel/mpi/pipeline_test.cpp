// SPDX-License-Identifier: Apache-2.0
// Pipelines as they are executed: any number of micro-batches, any cuts, and what was seen to run
// against the schedule and its closed forms.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "parallel/mpi/layout_case.h"
#include "parallel/mpi/observed.h"
#include "plan/play.h"

namespace ocoee::parallel {
namespace {

using plan::Action;
using plan::ScheduleKind;
using plan::Step;

// With embedding and head enough blocks for two chunks a stage.
int64_t enough_layers() {
  return std::max(8, 2 * testing_support::world().size());
}

std::vector<LayoutCase> pipelines(int64_t samples) {
  std::vector<LayoutCase> out;
  const int ranks = testing_support::world().size();
  for (const auto kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved,
                          ScheduleKind::zero_bubble}) {
    LayoutCase c;
    c.pipeline = ranks, c.schedule = kind, c.samples = samples, c.layers = enough_layers();
    c.chunks = kind == ScheduleKind::interleaved ? 2 : 1;
    if (kind == ScheduleKind::interleaved && samples < ranks) continue;
    out.push_back(c);
  }
  return out;
}

const Outcome& alone(int64_t samples, int64_t layers) {
  static std::map<std::pair<int64_t, int64_t>, Outcome> known;
  const std::pair key{samples, layers};
  if (!known.contains(key)) {
    LayoutCase c;
    c.samples = c.micro = samples, c.layers = layers;
    comm::World world = comm::World::alone();
    comm::Mesh mesh(world, comm::Shape{}, {});
    known[key] = train_case(c, mesh, nullptr, 2);
  }
  return known[key];
}

// The executor's log beside what was seen to run and to leave: each action holds its own pass or
// message, none lies outside, and they follow one another.
void expect_seen(const Observed& seen) {
  size_t passes = 0;
  double before = 0;
  for (const Executed& one : seen.log) {
    SCOPED_TRACE(fmt::format("{} of chunk {}, micro-batch {}", plan::name_of(one.step.action),
                             one.step.chunk, one.step.micro));
    EXPECT_GE(one.begin, before);
    EXPECT_GE(one.end, one.begin);
    before = one.end;
    std::vector<std::string> ran;
    for (const trace::Span& span : seen.passes)
      if (within(span.begin_seconds, one) && within(span.end_seconds, one))
        ran.emplace_back(span.name);
    passes += ran.size();
    int64_t sent = 0, received = 0;
    for (const comm::FlightEntry& entry : seen.flights) {
      const bool message = entry.group->name.starts_with("pipeline") && entry.peer == one.step.peer;
      sent += message && entry.kind == comm::Kind::send && within(entry.started, one);
      received += message && entry.kind == comm::Kind::receive && within(entry.finished, one);
    }
    switch (one.step.action) {
      case Action::forward:
        EXPECT_EQ(ran, std::vector<std::string>{"forward"});
        break;
      case Action::backward:
      case Action::weight:
        EXPECT_EQ(ran, std::vector<std::string>{"backward"});
        break;
      case Action::send_forward:
      case Action::send_backward:
        EXPECT_EQ(sent, 1);
        break;
      case Action::receive_forward:
      case Action::receive_backward:
        EXPECT_EQ(received, 1);
        break;
      case Action::gather:
      case Action::release:
        EXPECT_TRUE(ran.empty());
        break;
    }
  }
  EXPECT_EQ(passes, seen.passes.size());
}

// Between this process's trace and the clock of the machine, which its ranks share.
double clock_offset() {
  double least = 1e300;
  for (int i = 0; i < 100; ++i) {
    const double here = trace::now_seconds();
    const std::chrono::duration<double> there = std::chrono::steady_clock::now().time_since_epoch();
    least = std::min(least, there.count() - here);
  }
  return least;
}

struct Timed {
  Step step;
  double begin, end;  // of the machine's clock
};

// What all stages did in the last step; work that was not put off is an action of its own again.
std::vector<std::vector<Timed>> all_stages(Engine& engine, const Observed& seen) {
  const double offset = clock_offset();
  nlohmann::json mine = nlohmann::json::array();
  for (const Executed& one : seen.log)
    mine.push_back({static_cast<int>(one.step.action), one.step.chunk, one.step.peer,
                    one.step.micro, one.begin + offset, one.end + offset});
  std::vector<std::vector<Timed>> out;
  for (const std::string& text :
       engine.mesh().axis(comm::Axis::pipeline).all_gather_text(mine.dump())) {
    std::vector<Timed>& stage = out.emplace_back();
    std::set<std::pair<uint8_t, uint32_t>> put_off;
    const auto actions = nlohmann::json::parse(text);
    for (const auto& entry : actions)
      if (static_cast<Action>(entry[0].get<int>()) == Action::weight)
        put_off.emplace(entry[1], entry[3]);
    for (const auto& entry : actions) {
      const Step step{static_cast<Action>(entry[0].get<int>()), entry[1], entry[2], entry[3]};
      stage.push_back({step, entry[4], entry[5]});
      if (step.action == Action::backward && !put_off.contains({step.chunk, step.micro}))
        stage.push_back({{Action::weight, step.chunk, 0, step.micro}, entry[5], entry[5]});
    }
  }
  return out;
}

// No message arrived before it was sent.
void expect_causes_before_effects(const std::vector<std::vector<Timed>>& stages) {
  using Key = std::tuple<size_t, size_t, bool, int, uint32_t>;  // from, to, forward, chunk, micro
  std::map<Key, double> sent;
  for (size_t s = 0; s < stages.size(); ++s)
    for (const Timed& one : stages[s])
      if (plan::sends(one.step.action))
        sent[{s, one.step.peer, one.step.action == Action::send_forward, one.step.chunk,
              one.step.micro}] = one.begin;
  size_t received = 0;
  for (size_t s = 0; s < stages.size(); ++s) {
    for (const Timed& one : stages[s]) {
      if (!plan::receives(one.step.action)) continue;
      const bool forward = one.step.action == Action::receive_forward;
      int chunk = one.step.chunk;
      if (forward && s == 0) --chunk;
      if (!forward && s + 1 == stages.size()) ++chunk;
      EXPECT_GE(one.end, sent.at({one.step.peer, s, forward, chunk, one.step.micro}));
      ++received;
    }
  }
  EXPECT_EQ(received, sent.size());
}

TEST(Pipeline, AnyNumberOfMicroBatchesGivesTheSameAnswerInTheClosedForms) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
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
            const Observed seen = observe(engine);
            expect_seen(seen);
            const std::vector<std::vector<Timed>> stages = all_stages(engine, seen);
            expect_causes_before_effects(stages);
            plan::Schedule executed{request, {}};
            for (const std::vector<Timed>& stage : stages) {
              auto& list = executed.stages.emplace_back();
              for (const Timed& one : stage) list.push_back(one.step);
            }
            EXPECT_EQ(executed.stages, plan::make_schedule(request).stages);
            // The bubble by logical clocks: what each stage was seen to run, in its order, and the
            // messages that it was seen to wait for, a forward lasting one unit and a backward two.
            // No clock is read, so ranks may share cores; equal stages are what the form is of. The
            // form holds for a full pipeline.
            if (samples < world.size()) return;
            const int64_t ideal = int64_t{3} * request.micro_batches * request.chunks;
            const auto lost = static_cast<double>(plan::play(executed).makespan - ideal);
            EXPECT_NEAR(lost / static_cast<double>(ideal), plan::ideal_bubble_overhead(request),
                        1e-12);
          });
      for (size_t s = 0; s < got.losses.size(); ++s)
        EXPECT_NEAR(got.losses[s], alone(samples, c.layers).losses[s], 1e-10 * got.losses[s]);
      for (const auto& [name, parameter] : alone(samples, c.layers).parameters)
        EXPECT_LT((got.parameters.at(name) - parameter).abs().max().item<double>(), 1e-9) << name;
    }
  }
}

// Sharded parameters: the gathers and releases of the schedule are executed in their places, and
// decide what is gathered: each block of each pass, but for one that a pass begins with where the
// pass before has ended.
TEST(Pipeline, GathersAndReleasesAreExecutedAsTheScheduleSays) {
  comm::World& world = testing_support::world();
  if (world.size() < 4) GTEST_SKIP() << "needs four ranks: two stages of two replicas";
  for (LayoutCase c : pipelines(kSamples)) {
    c.pipeline = 2, c.data = world.size() / 2, c.shard = Shard::parameters;
    c.layers = 8, c.style = "llama", c.losses_only = true;  // nothing is tied
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    const plan::ScheduleRequest request{c.schedule, c.pipeline, static_cast<int>(kSamples / c.data),
                                        c.chunks,
                                        /*gather=*/true};
    const int stage = mesh.coordinate(comm::Axis::pipeline);
    const auto parts = plan::stage_model(models::build_gpt(case_model(c), kVocabulary), c.pipeline,
                                         c.chunks, stage)
                           .chunks;
    train_case(c, mesh, &mesh.world(), 2, [&](Engine& engine, train::Update&) {
      const Observed seen = observe(engine);
      expect_seen(seen);
      const std::vector<std::vector<Timed>> stages = all_stages(engine, seen);
      std::vector<Step> executed;
      for (const Timed& one : stages[static_cast<size_t>(stage)]) executed.push_back(one.step);
      EXPECT_EQ(executed, plan::make_schedule(request).stages[static_cast<size_t>(stage)]);

      const auto gathers_within = [&](const Executed& one) {
        return std::count_if(seen.flights.begin(), seen.flights.end(), [&](const auto& entry) {
          return entry.kind == comm::Kind::all_gather && entry.group->name == "data" &&
                 within(entry.started, one);
        });
      };
      int64_t gathered = 0, expected = 0;
      size_t ended_with = Engine::kNone;
      bool first = true;
      for (const Executed& one : seen.log) {
        const int64_t here = gathers_within(one);
        gathered += here;
        if (one.step.action == Action::gather) {
          EXPECT_EQ(here, first ? 1 : 0);  // the others were asked for in the pass before
          first = false;
        }
        const bool forward = one.step.action == Action::forward;
        if (!forward && one.step.action != Action::backward) continue;
        const auto [begin, end] = parts[one.step.chunk];
        expected +=
            static_cast<int64_t>(end - begin) - ((forward ? begin : end - 1) == ended_with ? 1 : 0);
        ended_with = forward ? end - 1 : begin;
      }
      EXPECT_EQ(gathered, expected);
    });
  }
}

TEST(Pipeline, AnyCutsGiveTheSameAnswer) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
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
      EXPECT_NEAR(got.losses[s], alone(8, c.layers).losses[s], 1e-10 * got.losses[s]);
    for (const auto& [name, parameter] : alone(8, c.layers).parameters)
      EXPECT_LT((got.parameters.at(name) - parameter).abs().max().item<double>(), 1e-9) << name;
  }
}

}  // namespace
}  // namespace ocoee::parallel
