// SPDX-License-Identifier: Apache-2.0
// Layouts on GPUs: ranks that share one go through the host, ranks with one each through NCCL. The
// same answer as one rank on the same GPU: float32 to rounding; bfloat16 to what eight bits leave.
#include <gtest/gtest.h>

#include "gpu/mpi/gpu_cases.h"
#include "parallel/mpi/layout_case.h"
#include "parallel/step_graph.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSteps = 5;

device::Device gpu_of(int rank) {
  return {device::Kind::cuda, rank % device::cuda_device_count()};
}

const Outcome& alone(const LayoutCase& c) {
  static std::map<std::string, Outcome> known;
  const std::string key = fmt::format("{} {} {}", c.style, c.dropout, static_cast<int>(c.type));
  if (!known.contains(key)) {
    LayoutCase one;
    one.style = c.style, one.dropout = c.dropout, one.type = c.type, one.micro = c.micro;
    comm::World world = comm::World::alone();
    comm::Mesh mesh(world, comm::Shape{}, gpu_of(testing_support::world().rank()));
    known[key] = train_case(one, mesh, nullptr, kSteps);
  }
  return known[key];
}

void expect_equal(const LayoutCase& c) {
  SCOPED_TRACE(c.text());
  comm::World& world = testing_support::world();
  comm::Mesh mesh(world, c.shape(), gpu_of(world.rank()));
  const Outcome got = train_case(c, mesh, &mesh.world(), kSteps);
  // bfloat16 keeps eight bits: each rounding is off by up to 2^-9, and a gradient by what some
  // hundred of them in a row add up to. Weights part as far as such gradients take them
  // (layout_case.h): 0.4 learning rates of the several that they move in five steps. A single
  // element may be off by half of what any two runs can be, two learning rates a step.
  constexpr double kGradient = 5e-2;
  const Tolerances half{5e-3, 2e-2, 2e-2, kGradient, kSteps * kLearningRate, parted_by(kGradient)},
      narrow{1e-5, 1e-4, 1e-4, 1e-5, 1e-3 * kLearningRate};
  expect_equal(got, alone(c), c.type == at::kBFloat16 ? half : narrow);
}

std::vector<LayoutCase> cases(at::ScalarType type) {
  return gpu_cases(testing_support::world().size(), type);
}

TEST(GpuLayouts, Float32EqualsOneRank) {
  for (const LayoutCase& c : cases(at::kFloat)) expect_equal(c);
}

TEST(GpuLayouts, Bfloat16IsNearOneRank) {
  for (const LayoutCase& c : cases(at::kBFloat16)) expect_equal(c);
}

// And with split masters. One micro-batch a step, as a recipe must ask for.
TEST(GpuLayouts, GradientsInBfloat16AreNearOneRank) {
  for (LayoutCase c : cases(at::kBFloat16)) {
    if (c.chunks > 1) continue;
    c.bfloat16_gradients = c.split_masters = true, c.micro = c.samples / c.data;
    expect_equal(c);
  }
}

// Short enough for compute-sanitizer.
TEST(GpuLayouts, Shortest) {
  LayoutCase c;
  c.tensor = testing_support::world().size() == 4 ? 2 : 1;
  c.pipeline = testing_support::world().size() / c.tensor;
  c.type = at::kFloat, c.micro = 4;
  c.layers = 2, c.width = 32, c.heads = 4, c.offload = true;
  comm::World& world = testing_support::world();
  comm::Mesh mesh(world, c.shape(), gpu_of(world.rank()));
  const Outcome got = train_case(c, mesh, &mesh.world(), 1);
  EXPECT_TRUE(std::isfinite(got.losses[0]) && got.losses[0] > 0);
}

// Ranks with a GPU each: stages whose messages are larger than NCCL's buffers, so that a send ends
// only when it is received, do not wait for each other, captured as a graph or not.
TEST(GpuLayouts, CapturedPipelinesGoOnWhileMessagesTravel) {
  comm::World& world = testing_support::world();
  if (device::cuda_device_count() < world.size()) GTEST_SKIP() << "ranks share a GPU";
  constexpr int64_t kLong = 512, kMany = 64;  // 64 MiB a message
  LayoutCase c;
  c.pipeline = world.size(), c.width = 512, c.layers = 2 * world.size();
  comm::Mesh mesh(world, c.shape(), gpu_of(world.rank()));  // making NCCL ready takes seconds
  const auto trained = [&](plan::ScheduleKind schedule, int64_t eager_steps) {
    models::GptConfig config = case_model(c);
    config.context = kLong;
    EngineOptions options;
    options.precision.compute = at::kFloat, options.schedule = schedule;
    options.chunks = schedule == plan::ScheduleKind::interleaved ? 2 : 1;
    const StreamScope own_stream(mesh.device());
    Engine engine(models::build_gpt(config, kVocabulary), options, mesh);
    engine.initialize(7);
    optim::OptimizerConfig adamw;
    adamw.warmup_steps = 0;
    train::Update update("lm", engine, adamw, plan::PrecisionConfig{}, 1000);
    at::manual_seed(1);
    const at::Tensor tokens =
        at::randint(0, kVocabulary, {kMany, kLong + 1}, at::kLong).to(torch_device(mesh.device()));
    nn::Bundle batch;
    batch["tokens"] = tokens.narrow(1, 0, kLong).contiguous();
    batch["targets"] = tokens.narrow(1, 1, kLong).contiguous();
    const std::vector<MicroStep> micro(4, {&batch, 0});
    engine.set_random_state(at::zeros({2}, batch.at("tokens").options()));
    StepGraph graph(mesh.device(), eager_steps);
    double last = 0;  // action of the step before
    for (int64_t s = 0; s < 5; ++s) {
      update.prepare(s);
      graph.run([&] {
        engine.zero_gradients();
        engine.run_pipeline(micro, [&](size_t, const nn::Bundle& output) {
          nn::Bundle seed;
          seed["loss_sum"] = at::full({}, 1e-5, output.at("loss_sum").options());
          return seed;
        });
        update.finish_gradients();
        update.apply();
      });
      // Each replay tells its own times.
      const std::vector<Executed> seen = engine.executed();
      EXPECT_GE(seen.size(), 2 * micro.size());
      for (const Executed& one : seen) {
        EXPECT_LE(last, one.begin + 1e-5);  // events tell half microseconds
        EXPECT_LT(one.begin, one.end);
        last = one.end;
      }
    }
    EXPECT_EQ(graph.captured(), eager_steps > 0);
    return engine.weights().master().to(at::kCPU);
  };
  for (const auto schedule : {plan::ScheduleKind::gpipe, plan::ScheduleKind::one_f_one_b,
                              plan::ScheduleKind::interleaved, plan::ScheduleKind::zero_bubble}) {
    SCOPED_TRACE(plan::name_of(schedule));
    const at::Tensor eager = trained(schedule, 0), replayed = trained(schedule, 2);
    EXPECT_LT((eager - replayed).norm().item<double>(), 1e-4 * eager.norm().item<double>());
  }
}

// Ranks with a GPU each: a step makes the host wait for nothing.
TEST(GpuLayouts, NoHostWaitsInsideAStep) {
  comm::World& world = testing_support::world();
  if (device::cuda_device_count() < world.size()) GTEST_SKIP() << "ranks share a GPU";
  for (const LayoutCase& c : cases(at::kBFloat16)) {
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), gpu_of(world.rank()));
    const plan::ModelSpec model = models::build_gpt(case_model(c), kVocabulary);
    EngineOptions options;
    options.precision.compute = c.type, options.shard = c.shard, options.schedule = c.schedule;
    options.chunks = c.chunks, options.recompute = c.recompute, options.offload = c.offload;
    options.context_method = c.method, options.halves = c.halves;
    Engine engine(model, options, mesh);
    engine.initialize(7);
    plan::PrecisionConfig precision;
    precision.compute = "bfloat16";
    optim::OptimizerConfig adamw;
    adamw.warmup_steps = 0;
    train::Update update("lm", engine, adamw, precision, 1000);
    const int64_t rank = mesh.coordinate(comm::Axis::data), micros = kSamples / (c.data * c.micro);
    const plan::SequencePieces pieces =
        plan::sequence_pieces(c.method, kTokens, c.context, mesh.coordinate(comm::Axis::context));
    std::vector<nn::Bundle> batches;
    std::vector<MicroStep> micro;
    for (int64_t m = 0; m < micros; ++m)
      batches.push_back(
          case_batch(0, (m * c.data + rank) * c.micro, c.micro, mesh.device(), pieces));
    for (int64_t m = 0; m < micros; ++m)
      micro.push_back({&batches[static_cast<size_t>(m)], (m * c.data + rank) * c.micro});
    engine.set_random_state(at::tensor({int64_t{0}, int64_t{0}}).to(torch_device(mesh.device())));
    const StreamScope counts_the_librarys_waits(mesh.device());
    const auto score = [&](size_t, const nn::Bundle& output) {
      nn::Bundle seed;
      seed["loss_sum"] = at::full({}, 1e-3, output.at("loss_sum").options());
      return seed;
    };
    for (int64_t s = 0; s < 4; ++s) {
      update.prepare(s);
      const int64_t waits = host_waits();
      engine.zero_gradients();
      run_micro_batches(engine, micro, score);
      update.finish_gradients();
      update.apply();
      if (s > 0) {
        EXPECT_EQ(host_waits(), waits);  // messages are described in the first step
      }
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
