// SPDX-License-Identifier: Apache-2.0
// Half precision with every shard level: masters and reductions are wide, so the layout moves the
// loss by rounding alone; and an overflow on one rank is a skipped step on all.
#include <gtest/gtest.h>

#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSteps = 4, kOverflowAt = 2;
constexpr double kScale = 1024;

struct Trained {
  std::vector<double> losses, norms;  // norms: of the gradients, before clipping
  std::vector<double> scales;
  int64_t updates = 0;
};

// `overflows`: the first data rank's gradients are infinite at step kOverflowAt.
Trained train_half(const LayoutCase& c, comm::Mesh& mesh, bool overflows) {
  models::GptConfig config = case_model(c);
  config.layers = 2;
  const plan::ModelSpec model = models::build_gpt(config, kVocabulary);
  EngineOptions options;
  options.precision.compute = c.type;
  options.shard = c.shard;
  options.schedule = c.schedule;
  options.float8 = c.float8;
  Engine engine(model, options, mesh);
  engine.initialize(7);
  optim::OptimizerConfig adamw;
  adamw.learning_rate = kLearningRate;
  adamw.warmup_steps = 0;
  adamw.clip = 0.5;
  plan::PrecisionConfig precision;
  precision.compute = c.type == at::kHalf ? "float16" : "bfloat16";
  precision.loss_scale = kScale;
  train::Update update("lm", engine, adamw, precision, 1000);
  const int64_t rank = mesh.coordinate(comm::Axis::data), micros = kSamples / (c.data * c.micro);
  Trained out;
  for (int64_t s = 0; s < kSteps; ++s) {
    engine.zero_gradients();
    const at::Tensor before = engine.weights().master().clone();
    std::vector<nn::Bundle> batches;
    std::vector<MicroStep> micro;
    for (int64_t m = 0; m < micros; ++m)
      batches.push_back(case_batch(s, (m * c.data + rank) * c.micro, c.micro));
    for (int64_t m = 0; m < micros; ++m)
      micro.push_back({&batches[static_cast<size_t>(m)], (m * c.data + rank) * c.micro});
    const double scale = update.loss_scale().item<double>();
    const bool breaks = overflows && s == kOverflowAt && rank == 0;
    double loss = 0;
    const auto score = [&](size_t, const nn::Bundle& output) {
      loss += output.at("loss_sum").item<double>();
      nn::Bundle seed;
      seed["loss_sum"] = at::full({}, (breaks ? 1e30 : scale) / (kSamples * kTokens),
                                  output.at("loss_sum").options());
      return seed;
    };
    run_micro_batches(engine, micro, score);
    update.finish_gradients();
    out.losses.push_back(mesh.world().all_reduce_value(loss, comm::Reduce::sum) /
                         (kSamples * kTokens));
    update.prepare(s);
    update.apply();
    out.norms.push_back(update.read().gradient_norm);
    const double now = update.loss_scale().item<double>();
    EXPECT_EQ(mesh.world().all_reduce_value(now, comm::Reduce::max), now);
    EXPECT_EQ(mesh.world().all_reduce_value(now, comm::Reduce::min), now);
    out.scales.push_back(now);
    EXPECT_EQ(at::equal(before, engine.weights().master()), overflows && s == kOverflowAt);
  }
  out.updates = update.values().at("updates").get<int64_t>();
  return out;
}

std::vector<LayoutCase> half_cases(at::ScalarType type) {
  std::vector<LayoutCase> out;
  const int ranks = testing_support::world().size();
  for (const int pipeline : {1, 2}) {
    if (ranks % pipeline != 0) continue;
    for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
      LayoutCase c;
      c.pipeline = pipeline, c.data = ranks / pipeline, c.shard = shard, c.type = type;
      c.micro = std::min<int64_t>(2, kSamples / c.data);
      if (c.data > 1 || shard == Shard::none) out.push_back(c);
    }
  }
  return out;
}

const Trained& alone(at::ScalarType type, bool float8 = false) {
  static std::map<std::pair<at::ScalarType, bool>, Trained> all;
  Trained& known = all[{type, float8}];
  if (known.losses.empty()) {
    LayoutCase c;
    c.type = type, c.micro = 2, c.float8 = float8;
    comm::World world = comm::World::alone();
    comm::Mesh mesh(world, comm::Shape{}, {});
    known = train_half(c, mesh, false);
  }
  return known;
}

// Accumulation and clipping are on. Rounding to 8 bits moves a loss by parts in a thousand.
// Clipping and AdamW hide a factor in all gradients from the losses, but not from the norms.
TEST(Precision, EveryLevelTrainsInHalfPrecision) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    for (const LayoutCase& c : half_cases(type)) {
      SCOPED_TRACE(c.text());
      comm::Mesh mesh(testing_support::world(), c.shape(), {}, comm::Backend::mpi);
      const Trained got = train_half(c, mesh, false);
      const Trained& wanted = alone(type);
      for (size_t s = 0; s < got.losses.size(); ++s) {
        EXPECT_NEAR(got.losses[s], wanted.losses[s],
                    (type == at::kHalf ? 3e-4 : 3e-3) * got.losses[s]);
        EXPECT_NEAR(got.norms[s], wanted.norms[s], 2e-2 * wanted.norms[s]) << "step " << s;
      }
      EXPECT_EQ(got.updates, kSteps);
    }
  }
}

// Scales are agreed on by all ranks that share a product, so layouts differ as in bfloat16, but for
// numbers that a last bit sends to another one of the few that float8 has.
TEST(Precision, Float8TrainsInEveryLayout) {
  std::vector<LayoutCase> cases = half_cases(at::kBFloat16);
  LayoutCase tensor;
  tensor.tensor = testing_support::world().size(), tensor.type = at::kBFloat16, tensor.micro = 2;
  cases.push_back(tensor);
  for (LayoutCase& c : cases) {
    c.float8 = true;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(testing_support::world(), c.shape(), {}, comm::Backend::mpi);
    const Trained got = train_half(c, mesh, false);
    for (size_t s = 0; s < got.losses.size(); ++s)
      EXPECT_NEAR(got.losses[s] / c.tensor, alone(at::kBFloat16, true).losses[s],
                  5e-3 * got.losses[s]);
  }
}

TEST(Precision, AnOverflowOnOneRankIsASkippedStepOnAll) {
  for (const LayoutCase& c : half_cases(at::kHalf)) {
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(testing_support::world(), c.shape(), {}, comm::Backend::mpi);
    const Trained got = train_half(c, mesh, true);
    EXPECT_EQ(got.updates, kSteps - 1);
    EXPECT_EQ(got.scales, (std::vector<double>{kScale, kScale, kScale / 2, kScale / 2}));
    for (size_t s = 0; s <= kOverflowAt; ++s) EXPECT_TRUE(std::isfinite(got.losses[s]));
  }
}

}  // namespace
}  // namespace ocoee::parallel
