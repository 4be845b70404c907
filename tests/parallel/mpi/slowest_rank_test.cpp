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

// Two stages, and a pipeline for each rank of the axis beside them, tensor ranks being the nearest.
// The slowest rank is that which computed longest, wherever it is.
void expect_all_pipelines(const nlohmann::json& record, comm::Mesh& mesh) {
  if (mesh.world().rank() > 0) {
    EXPECT_TRUE(record.is_null());
    return;
  }
  const int beside = mesh.world().size() / 2;
  ASSERT_EQ(record.at("pipelines"), beside);
  ASSERT_EQ(record.at("shown").size(), static_cast<size_t>(beside));
  double last = 0, busy = 0, longest = 0;
  int slowest = -1, of_pipeline = -1, of_stage = -1;
  for (int p = 0; p < beside; ++p) {
    const nlohmann::json& pipeline = record.at("shown")[static_cast<size_t>(p)];
    EXPECT_EQ(pipeline.at("pipeline"), p);
    EXPECT_TRUE(pipeline.at("place").get<std::string>().ends_with(fmt::format(" {}", p)));
    EXPECT_EQ(pipeline.at("ranks"), nlohmann::json::array({p, p + beside}));
    for (int s = 0; s < 2; ++s) {
      double computed = 0;
      EXPECT_EQ(pipeline.at("stages").size(), 2u);
      for (const nlohmann::json& action : pipeline.at("stages").at(static_cast<size_t>(s))) {
        const double begin = action[3], end = action[4], waited = action[5];
        EXPECT_GE(begin, -1e-9);
        EXPECT_LE(waited, end - begin);
        last = std::max(last, end);
        computed += end - begin - waited;
      }
      busy += computed;
      if (computed > longest)
        longest = computed, slowest = p + s * beside, of_pipeline = p, of_stage = s;
    }
  }
  EXPECT_NEAR(record.at("bubble_measured").get<double>(), mesh.world().size() * last / busy - 1,
              1e-9);
  EXPECT_EQ(record.at("slowest").at("rank"), slowest);
  EXPECT_EQ(record.at("slowest").at("pipeline"), of_pipeline);
  EXPECT_EQ(record.at("slowest").at("stage"), of_stage);
  EXPECT_NEAR(record.at("slowest").at("computed").get<double>(), longest, 1e-9);
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
      const nlohmann::json all = train::pipeline_record(engine),
                           one = train::pipeline_record(engine, /*most=*/1);
      expect_all_pipelines(all, mesh);
      if (world.rank() > 0) return;
      // Of too many, the one with the slowest rank; what is said of all stays.
      EXPECT_EQ(one.at("slowest"), all.at("slowest"));
      EXPECT_EQ(one.at("pipelines"), beside);
      ASSERT_EQ(one.at("shown").size(), 1u);
      const nlohmann::json& of = one.at("shown")[0];
      EXPECT_EQ(of.at("pipeline"), one.at("slowest").at("pipeline"));
      EXPECT_EQ(of.at("ranks").at(one.at("slowest").at("stage").get<size_t>()),
                one.at("slowest").at("rank"));
      EXPECT_EQ(of.at("stages").size(), 2u);
    });
    trace::take();
  }
}

}  // namespace
}  // namespace ocoee::parallel
