// SPDX-License-Identifier: Apache-2.0
// Communication is under way while products run: told by the order of events on each rank.
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/trace.h"
#include "nn/registry.h"
#include "parallel/mpi/layout_case.h"
#include "parallel/mpi/observed.h"

namespace ocoee::parallel {
namespace {

using comm::Kind;
using plan::Action;
using plan::ScheduleKind;

bool under_way(const std::string& group, Kind kind) {
  for (const comm::FlightEntry& entry : comm::flight_entries()) {
    if (entry.group->name == group && entry.kind == kind && entry.finished == 0) return true;
  }
  return false;
}

// A layer's weight products run between the start of the sum of its input gradients and the wait
// for it.
TEST(Overlap, WeightProductsRunWhileInputGradientsAreSummed) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  LayoutCase c;
  c.tensor = world.size();
  comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
  const plan::ModelSpec model = plan::tensor_part(models::build_gpt(case_model(c), kVocabulary),
                                                  c.tensor, mesh.coordinate(comm::Axis::tensor));
  const nn::Bundle batch = case_batch(0, 0, 2);
  nn::Context context;
  context.mesh = &mesh;
  context.batch = &batch;
  context.random_state = at::tensor({int64_t{0}, int64_t{0}});
  const int64_t rows = 2 * kTokens / c.tensor;
  std::set<std::string> seen;
  for (const plan::BlockSpec& block : model.blocks) {
    for (const plan::LayerSpec& spec : block.layers) {
      if (spec.kind != "attention" && spec.kind != "mlp" && spec.kind != "head") continue;
      if (!seen.insert(spec.kind).second) continue;
      SCOPED_TRACE(spec.kind);
      const auto layer = nn::make_layer(spec);
      int64_t elements = 0;
      for (const plan::ParameterSpec& parameter : spec.parameters) elements += parameter.elements();
      layer->bind({at::randn({elements}, at::kDouble), at::zeros({elements}, at::kDouble)});
      nn::Bundle in, out, grad_out, grad_in;
      for (const char* name : {"x", "h"}) in[name] = at::randn({rows, c.width}, at::kDouble);
      nn::Saved saved;
      layer->forward(in, out, saved, context);
      for (const auto& [name, tensor] : out.items()) grad_out[name] = at::ones_like(tensor);
      nn::WeightWork work;
      bool seen_under_way = false;
      work.add([&] { seen_under_way = under_way("tensor", Kind::reduce_scatter); });
      layer->backward(grad_out, grad_in, saved, work, context);
      EXPECT_TRUE(work.empty());
      EXPECT_TRUE(seen_under_way);
    }
  }
  EXPECT_EQ(seen.size(), 3u);
}

std::vector<double> product_starts;  // of this process

// While rows travel, a rank's own ones are multiplied, or those of the other half of a micro-batch:
// forward, where the exchanges of a layer have nothing else of their own pass beside them, and
// backward.
TEST(Overlap, ProductsRunWhileRowsTravel) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  const auto callback =
      at::addGlobalCallback(at::RecordFunctionCallback([](const at::RecordFunction& call) {
                              const std::string name = call.name();
                              if (name == "aten::addmm" || name == "aten::matmul" ||
                                  name == "aten::mm" || name == "aten::addmm_")
                                product_starts.push_back(trace::now_seconds());
                              return std::unique_ptr<at::ObserverContext>();
                            }).scopes({at::RecordScope::FUNCTION}));
  enum class Way { none, own_rows, halves };
  for (const Way way : {Way::none, Way::own_rows, Way::halves}) {
    LayoutCase c;
    c.tensor = world.size(), c.losses_only = true, c.layers = 4;
    c.halves = way == Way::halves ? Halves::on : Halves::off;
    c.own_rows_first = way == Way::own_rows;
    c.micro = c.samples = kSamples;
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    train_case(c, mesh, &mesh.world(), 1, [&](Engine& engine, train::Update&) {
      const nn::Bundle batch = case_batch(0, 0, kSamples);
      product_starts.clear();
      const double begin = trace::now_seconds();
      Engine::Pass pass = engine.forward(batch);
      const double turn = trace::now_seconds();
      nn::Bundle seed;
      seed["loss_sum"] = at::ones({}, at::kDouble);
      engine.backward(pass, seed, /*last_micro_batch=*/true);
      engine.finish_gradients();
      int64_t all[2] = {0, 0}, beside[2] = {0, 0};  // forward, backward
      for (const comm::FlightEntry& entry : comm::flight_entries()) {
        if (entry.started < begin || entry.group->name != "tensor" ||
            (entry.kind != Kind::all_gather && entry.kind != Kind::reduce_scatter))
          continue;
        const size_t pass_of = entry.started < turn ? 0 : 1;
        ++all[pass_of];
        beside[pass_of] += std::any_of(
            product_starts.begin(), product_starts.end(),
            [&](double start) { return entry.started < start && start < entry.finished; });
      }
      const int64_t parts = way == Way::halves ? 2 : 1;
      EXPECT_EQ(all[0], parts * (4 * c.layers + 2));
      EXPECT_EQ(all[1], parts * (6 * c.layers + 3));
      if (way == Way::none) {
        EXPECT_EQ(beside[0], 0);
        return;
      }
      if (way == Way::own_rows) {  // what is gathered again may arrive beside attention alone
        EXPECT_GE(beside[0], 4 * c.layers);
        EXPECT_GE(beside[1], 4 * c.layers);
        return;
      }
      // But for the ends of a pass, where the other half has not begun or is through.
      EXPECT_GE(beside[0], all[0] - 4);
      EXPECT_GE(beside[1], all[1] - 4);
    });
  }
  at::removeCallback(callback);
}

// Two stages, and the other ranks as replicas.
std::vector<LayoutCase> pipelines_of_replicas() {
  std::vector<LayoutCase> out;
  for (const auto schedule : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b,
                              ScheduleKind::interleaved, ScheduleKind::zero_bubble}) {
    for (const Shard shard : {Shard::none, Shard::gradients, Shard::parameters}) {
      LayoutCase c;
      c.pipeline = 2, c.data = testing_support::world().size() / 2;
      c.schedule = schedule, c.shard = shard, c.losses_only = true;
      c.chunks = schedule == ScheduleKind::interleaved ? 2 : 1;
      c.style = "llama";  // nothing is tied
      out.push_back(c);
    }
  }
  return out;
}

bool is_weight_work(const Observed& seen, size_t i) {
  const plan::Step& step = seen.log[i].step;
  if (step.action == Action::weight) return true;
  if (step.action != Action::backward) return false;
  for (const Executed& later : seen.log)
    if (later.step.action == Action::weight && later.step.chunk == step.chunk &&
        later.step.micro == step.micro)
      return false;  // was put off
  return true;
}

// Gradients leave one after the other from within the pass that makes them: between the first and
// the last there are products. Whole gradients leave in the last micro-batch, shards in each.
TEST(Overlap, GradientsLeaveWhileBackwardGoesOn) {
  comm::World& world = testing_support::world();
  if (world.size() < 4) GTEST_SKIP() << "needs four ranks: two stages of two replicas";
  for (const LayoutCase& c : pipelines_of_replicas()) {
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    const Kind kind = c.shard == Shard::none ? Kind::all_reduce : Kind::reduce_scatter;
    const auto micros = static_cast<uint32_t>(kSamples / c.data);
    train_case(c, mesh, &mesh.world(), 2, [&](Engine& engine, train::Update&) {
      const Observed seen = observe(engine);
      int64_t inside = 0, all = 0;
      for (const comm::FlightEntry& entry : seen.flights)
        all += entry.group->name == "data" && entry.kind == kind;
      for (size_t i = 0; i < seen.log.size(); ++i) {
        if (!is_weight_work(seen, i)) continue;
        if (c.shard == Shard::none && seen.log[i].step.micro + 1 < micros) continue;
        int64_t here = 0;
        for (const comm::FlightEntry& entry : seen.flights)
          here += entry.group->name == "data" && entry.kind == kind &&
                  within(entry.started, seen.log[i]);
        EXPECT_GT(here, 1) << "of micro-batch " << seen.log[i].step.micro;
        inside += here;
      }
      EXPECT_EQ(inside, all);
    });
  }
}

// What is final is handed on while the last sum, that of the embedding, is under way.
TEST(Overlap, GradientsAreHandedOnWhileTheLastAreSummed) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
    LayoutCase c;
    c.data = world.size(), c.shard = shard, c.losses_only = true;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    const Kind kind = shard == Shard::none ? Kind::all_reduce : Kind::reduce_scatter;
    train_case(c, mesh, &mesh.world(), 1, [&](Engine& engine, train::Update&) {
      Engine::Pass pass = engine.forward(case_batch(0, 0, 1));
      nn::Bundle seed;
      seed["loss_sum"] = at::ones({}, at::kDouble);
      engine.backward(pass, seed, /*last_micro_batch=*/true);
      std::vector<std::pair<int64_t, int64_t>> stretches;
      std::vector<bool> meanwhile;
      engine.finish_gradients([&](int64_t begin, int64_t end) {
        stretches.emplace_back(begin, end);
        meanwhile.push_back(under_way("data", kind));
      });
      ASSERT_EQ(stretches.size(), 2U);
      EXPECT_EQ(stretches[0].second, engine.weights().shard_elements());
      EXPECT_EQ(stretches[0].first, stretches[1].second);
      EXPECT_EQ(stretches[1].first, 0);
      // The rank that came last may find its sum complete.
      EXPECT_EQ(mesh.world().all_reduce_value(meanwhile[0] ? 1 : 0, comm::Reduce::max), 1);
      EXPECT_FALSE(meanwhile[1]);
    });
  }
}

// Values of the block that an action begins with are asked for in the action before.
TEST(Overlap, ValuesOfTheNextChunkAreFetchedBeforeItsTurn) {
  comm::World& world = testing_support::world();
  if (world.size() < 4) GTEST_SKIP() << "needs four ranks: two stages of two replicas";
  for (const LayoutCase& c : pipelines_of_replicas()) {
    if (c.shard != Shard::parameters) continue;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    train_case(c, mesh, &mesh.world(), 2, [&](Engine& engine, train::Update&) {
      const Observed seen = observe(engine);
      // Embedding and head have sizes of their own; the first stage begins its forward passes with
      // the one, the last its backward passes with the other.
      const bool first = mesh.coordinate(comm::Axis::pipeline) == 0;
      const auto& units = engine.weights().units();
      const int64_t size = (first ? units.front() : units.back()).elements();
      const Action action = first ? Action::forward : Action::backward;
      const uint8_t chunk = first ? 0 : static_cast<uint8_t>(engine.chunks() - 1);
      int64_t turns = 0;
      for (const Executed& one : seen.log) {
        if (one.step.action != action || one.step.chunk != chunk) continue;
        if (turns++ == 0 && first) continue;  // the step begins with it
        // Else they would be the first that the action itself asks for.
        const auto asked = std::find_if(
            seen.flights.begin(), seen.flights.end(), [&](const comm::FlightEntry& entry) {
              return entry.kind == Kind::all_gather && entry.group->name == "data" &&
                     within(entry.started, one);
            });
        ASSERT_NE(asked, seen.flights.end());
        EXPECT_NE(asked->count, size) << "micro-batch " << one.step.micro;
      }
      EXPECT_GT(turns, 1);
    });
  }
}

// New values of a block may leave before those of the next are made.
TEST(Overlap, ValuesLeaveAsSoonAsTheyAreFinal) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  for (const Shard shard : {Shard::states, Shard::gradients}) {
    LayoutCase c;
    c.data = world.size(), c.shard = shard, c.losses_only = true, c.type = at::kFloat;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    train_case(c, mesh, &mesh.world(), 1, [&](Engine& engine, train::Update&) {
      const auto& units = engine.weights().units();
      const double begin = trace::now_seconds();
      const auto left = [&] {
        const auto entries = comm::flight_entries();
        return std::count_if(entries.begin(), entries.end(), [&](const comm::FlightEntry& entry) {
          return entry.started >= begin && entry.kind == Kind::all_gather;
        });
      };
      const int64_t second = units[1].shard_begin + units[1].elements() / c.data;
      engine.weights().start_publishing(second - 1);
      EXPECT_EQ(left(), 1);
      engine.weights().start_publishing(second);
      EXPECT_EQ(left(), 2);
      EXPECT_TRUE(under_way("data", Kind::all_gather));
      engine.weights().publish();
      EXPECT_EQ(left(), static_cast<int64_t>(units.size()));
      EXPECT_FALSE(under_way("data", Kind::all_gather));
    });
  }
}

// A message may begin to arrive while the computation before it runs.
TEST(Overlap, ReceivesArePostedBeforeTheComputationThatPrecedesThem) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  for (LayoutCase c : pipelines_of_replicas()) {
    if (c.shard != Shard::none) continue;
    c.pipeline = world.size(), c.data = 1;
    if (c.chunks * c.pipeline > 10) continue;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    train_case(c, mesh, &mesh.world(), 2, [&](Engine& engine, train::Update&) {
      const Observed seen = observe(engine);
      int64_t late = 0, early = 0;
      bool computed = false;
      for (const Executed& one : seen.log) {
        const Action action = one.step.action;
        computed |= action == Action::forward || action == Action::backward;
        if (action != Action::receive_forward && action != Action::receive_backward) continue;
        for (const comm::FlightEntry& entry : seen.flights)
          late += computed && entry.kind == Kind::receive && within(entry.started, one);
        early += computed;
      }
      EXPECT_EQ(late, 0);
      EXPECT_GT(early, 0);
    });
  }
}

}  // namespace
}  // namespace ocoee::parallel
