// SPDX-License-Identifier: Apache-2.0
// Any layout, the same answer: losses, gradients, gradient norms, weights after five AdamW steps
// and the evaluation after them equal those of one rank.
#include <gtest/gtest.h>

#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSteps = 5;

const Outcome& reference(const LayoutCase& c) {
  static std::map<std::string, Outcome> known;
  const std::string key = fmt::format("{} {} {}", c.style, c.dropout, static_cast<int>(c.type));
  if (!known.contains(key)) {
    LayoutCase alone;
    alone.style = c.style, alone.dropout = c.dropout, alone.type = c.type, alone.micro = 8;
    comm::World world = comm::World::alone();
    comm::Mesh mesh(world, comm::Shape{}, {});
    known[key] = train_case(alone, mesh, nullptr, kSteps);
  }
  return known[key];
}

void expect_equal(const LayoutCase& c) {
  SCOPED_TRACE(c.text());
  comm::World& world = testing_support::world();
  comm::Shape shape;
  shape[comm::Axis::data] = c.data;
  shape[comm::Axis::pipeline] = c.pipeline;
  comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
  const Outcome got = train_case(c, mesh, &mesh.world(), kSteps);
  const Outcome& wanted = reference(c);
  const bool wide = c.type == at::kDouble;
  const double exact = wide ? 1e-10 : 1e-5;
  for (size_t s = 0; s < wanted.losses.size(); ++s) {
    EXPECT_NEAR(got.losses[s], wanted.losses[s], exact * wanted.losses[s]) << "step " << s;
    EXPECT_NEAR(got.norms[s], wanted.norms[s], (wide ? 1e-10 : 1e-4) * wanted.norms[s]);
  }
  EXPECT_NEAR(got.evaluation, wanted.evaluation, exact * wanted.evaluation);
  double all = 0;
  for (const auto& [name, gradient] : wanted.gradients)
    all += gradient.square().sum().item<double>();
  for (const auto& [name, gradient] : wanted.gradients) {
    const double scale = std::max(gradient.norm().item<double>(), 1e-3 * std::sqrt(all));
    EXPECT_LT((got.gradients.at(name) - gradient).norm().item<double>(), exact * scale) << name;
  }
  for (const auto& [name, parameter] : wanted.parameters) {
    EXPECT_LT((got.parameters.at(name) - parameter).abs().max().item<double>(),
              wide ? 1e-9 : 1e-3 * kLearningRate)
        << name;
  }
}

std::vector<std::pair<int, int>> factorisations() {  // pipeline, data
  const int ranks = testing_support::world().size();
  std::vector<std::pair<int, int>> out;
  for (int p = 1; p <= ranks; ++p) {
    if (ranks % p == 0 && ranks / p <= kSamples) out.emplace_back(p, ranks / p);
  }
  return out;
}

// What a layout can be varied in, so that all pairs of these meet.
std::vector<LayoutCase> cases(at::ScalarType type) {
  using plan::ScheduleKind;
  std::vector<LayoutCase> out;
  int turn = 0;
  for (const auto& [p, d] : factorisations()) {
    for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
      if (d == 1 && shard != Shard::none) continue;
      for (const ScheduleKind kind :
           {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved}) {
        if (p == 1 && kind != ScheduleKind::one_f_one_b) continue;
        LayoutCase c;
        c.pipeline = p, c.data = d, c.shard = shard, c.schedule = kind, c.type = type;
        c.chunks = kind == ScheduleKind::interleaved ? 2 : 1;
        if (kind == ScheduleKind::interleaved && (10 < p * 2 || kSamples / d % p != 0)) continue;
        c.recompute = turn % 2 == 0 ? Recompute::none : Recompute::full;
        c.style = turn % 3 == 2 ? "llama" : "gpt2";
        ++turn;
        out.push_back(c);
      }
    }
  }
  return out;
}

TEST(Layout, EveryOneGivesTheSameAnswerInFloat64) {
  for (const LayoutCase& c : cases(at::kDouble)) expect_equal(c);
}

TEST(Layout, AndInFloat32) {
  for (const LayoutCase& c : cases(at::kFloat)) {
    if (c.recompute == Recompute::none) expect_equal(c);
  }
}

TEST(Layout, DropoutDoesNotDependOnIt) {
  for (const auto& [p, d] : factorisations()) {
    LayoutCase c;
    c.pipeline = p, c.data = d, c.dropout = 0.1;
    c.shard = Shard::parameters;
    expect_equal(c);
  }
}

// Each collective carries what the formulas say: per step and unit, level states moves the gradient
// once and the values once; level gradients moves gradients each micro-batch; level parameters
// gathers values twice a micro-batch instead.
TEST(Layout, BytesEqualFormulas) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) return;
  comm::Shape shape;
  shape[comm::Axis::data] = world.size();
  for (const Shard shard : {Shard::states, Shard::gradients, Shard::parameters}) {
    LayoutCase c;
    c.data = world.size(), c.shard = shard, c.style = "llama", c.type = at::kFloat;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
    int64_t whole = 0, reduced = 0, gathered = 0;
    const int64_t micros = kSamples / c.data, steps = 2;
    train_case(c, mesh, &mesh.world(), steps, [&](Engine& engine, train::Update&) {
      whole = 4 * engine.weights().elements();
      const comm::Counters& counted = mesh.axis(comm::Axis::data).counters();
      reduced = counted.bytes[static_cast<size_t>(comm::Kind::reduce_scatter)];
      gathered = counted.bytes[static_cast<size_t>(comm::Kind::all_gather)];
    });
    EXPECT_EQ(reduced, whole * steps * (shard == Shard::states ? 1 : micros));
    // Values: once at the start and once a step; or before each forward and backward, and once for
    // the evaluation. A block that ends the forward pass is not gathered again in between.
    const int64_t passes = 2 * steps * micros + 1;
    EXPECT_EQ(gathered, whole * (shard == Shard::parameters ? passes : steps + 1));
  }
}

// Point-to-point traffic of a pipeline: x of each micro-batch once each way at each cut.
TEST(Layout, PipelineSendsOneActivationEachWay) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) return;
  LayoutCase c;
  c.pipeline = world.size(), c.style = "llama", c.type = at::kFloat;
  comm::Shape shape;
  shape[comm::Axis::pipeline] = c.pipeline;
  comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
  int64_t sent = 0;
  train_case(c, mesh, &mesh.world(), 1, [&](Engine&, train::Update&) {
    const auto kind = static_cast<size_t>(comm::Kind::send);
    sent = mesh.axis(comm::Axis::pipeline).counters().bytes[kind] +
           mesh.pipeline_back().counters().bytes[kind];
  });
  const int64_t x = 4 * kTokens * 64, header = 1024;
  const int stage = mesh.coordinate(comm::Axis::pipeline);
  const int64_t cuts = (stage > 0) + (stage + 1 < c.pipeline);
  const int64_t evaluation = stage + 1 < c.pipeline ? kSamples * x + header : 0;
  EXPECT_EQ(sent, cuts * (kSamples * x + header) + evaluation);
}

}  // namespace
}  // namespace ocoee::parallel
