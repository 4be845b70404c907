// SPDX-License-Identifier: Apache-2.0
// The record of a run names the rank that the others wait for, though they do so inside of their
// forward and backward passes; and no message counts as computing.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/trace.h"
#include "nn/registry.h"
#include "nn/sequence_exchange.h"
#include "nn/tensor_axis.h"
#include "parallel/mpi/layout_case.h"
#include "train/rank_record.h"
#include "train/step_profile.h"

namespace ocoee::parallel {
namespace {

using comm::Axis;

TEST(SlowestRank, IsTheOneThatComputesAndNotOneThatWaits) {
  comm::World& world = testing_support::world();
  const int ranks = world.size();
  if (ranks < 2) GTEST_SKIP() << "needs two ranks";
  for (const Axis axis : {Axis::tensor, Axis::context}) {
    comm::Shape shape;
    shape[axis] = ranks;
    comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
    nn::Bundle batch;
    batch["tokens"] = at::zeros({ranks, 1}, at::kLong);
    nn::Context context;
    context.mesh = &mesh;
    context.batch = &batch;
    for (const int slow : {0, ranks - 1}) {
      train::StepProfile profile({}, 0);
      profile.begin();
      {
        const trace::Scope scope("forward");
        if (world.rank() == slow) std::this_thread::sleep_for(std::chrono::milliseconds(500));
        if (axis == Axis::tensor)
          nn::gather_rows(at::ones({1, 4}), context).wait();
        else
          nn::share_heads({at::ones({1, 2, ranks, 4})}, mesh.axis(axis));
      }
      profile.end(0);
      nlohmann::json summary;
      profile.add_to(summary, 1);
      EXPECT_EQ(train::ranks_record(mesh, summary.at("step_phases")).at("slowest"), slow);
    }
  }
}

// Of this thread's spans since they were last taken, within [begin, end]: the seconds that messages
// took. They do not nest.
double message_seconds(const std::vector<trace::Span>& spans, double begin, double end) {
  double sum = 0;
  for (const trace::Span& span : spans)
    if (std::string(span.name) == "communication" && span.begin_seconds >= begin &&
        span.end_seconds <= end)
      sum += span.end_seconds - span.begin_seconds;
  return sum;
}

TEST(Waiting, TheSplitLossSaysWhatItsReductionsTook) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  LayoutCase c;
  c.tensor = world.size();
  comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
  const plan::ModelSpec model = plan::tensor_part(models::build_gpt(case_model(c), kVocabulary),
                                                  c.tensor, mesh.coordinate(Axis::tensor));
  const plan::LayerSpec& spec = model.blocks.back().layers.back();
  ASSERT_EQ(spec.kind, "head");
  const auto head = nn::make_layer(spec);
  const int64_t elements = spec.parameters.at(0).elements();
  head->bind({at::randn({elements}, at::kDouble), at::zeros({elements}, at::kDouble)});
  const nn::Bundle batch = case_batch(0, 0, 2);
  nn::Context context;
  context.mesh = &mesh;
  context.batch = &batch;
  nn::Bundle in, out;
  in["h"] = at::randn({2 * kTokens / c.tensor, c.width}, at::kDouble);
  nn::Saved saved;
  trace::take();
  head->forward(in, out, saved, context);
  int messages = 0;
  for (const trace::Span& span : trace::take())
    messages += std::string(span.name) == "communication";
  EXPECT_EQ(messages, 4);  // rows asked for and waited for, maxima, sums
}

TEST(Waiting, MessagesInsideOfAnActionAreNotComputed) {
  comm::World& world = testing_support::world();
  if (world.size() < 4) GTEST_SKIP() << "needs four ranks: two stages of two";
  for (const Axis axis : {Axis::tensor, Axis::context, Axis::data}) {
    LayoutCase c;
    c.pipeline = 2, c.losses_only = true, c.shard = Shard::gradients;
    const int beside = world.size() / 2;
    (axis == Axis::tensor ? c.tensor : axis == Axis::context ? c.context : c.data) = beside;
    if (axis == Axis::tensor) c.shard = Shard::none;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    train_case(c, mesh, &mesh.world(), 1, [&](Engine& engine, train::Update&) {
      const std::vector<trace::Span> spans = trace::take();
      double waited = 0;
      for (const Executed& one : engine.executed()) {
        if (one.step.action != plan::Action::forward && one.step.action != plan::Action::backward)
          continue;
        EXPECT_NEAR(one.waited, message_seconds(spans, one.begin, one.end), 1e-9);
        waited += one.waited;
      }
      EXPECT_GT(waited, 0);
      const nlohmann::json record = train::pipeline_record(engine);
      double last = 0, busy = 0;
      for (const nlohmann::json& stage : record.at("stages")) {
        for (const nlohmann::json& action : stage) {
          last = std::max(last, action[4].get<double>());
          busy += action[4].get<double>() - action[3].get<double>() - action[5].get<double>();
          EXPECT_LE(action[5], action[4].get<double>() - action[3].get<double>());
        }
      }
      EXPECT_NEAR(record.at("bubble_measured").get<double>(), 2 * last / busy - 1, 1e-9);
      EXPECT_EQ(record.at("ranks").size(), 2u);
      EXPECT_EQ(record.at("pipelines"), beside);
    });
    trace::take();
  }
}

}  // namespace
}  // namespace ocoee::parallel
