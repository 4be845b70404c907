// SPDX-License-Identifier: Apache-2.0
// What every registered optimizer must do: a contract over the registry.
#include "optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.h"
#include "optim/flat_model.h"
#include "optim/registry.h"

namespace ocoee::optim::test {
namespace {

struct Contract {
  std::string name;
  DType states;  // where masters are float32
};

class EveryOptimizer : public testing::TestWithParam<Contract> {
 protected:
  OptimizerConfig config() const {
    OptimizerConfig c;
    c.name = GetParam().name, c.schedule = "cosine", c.learning_rate = 0.01;
    return c;
  }
  OptimizerSetup setup(int64_t count, DType dtype = DType::f32) const {
    OptimizerSetup s = setup_for(config(), dtype, count);
    s.decaying = {{0, 100}, {100, 250}, {400, 777}};
    return s;
  }
  static FlatModel model(int64_t count, const Optimizer& optimizer, DType dtype = DType::f32) {
    const DType states = dtype == DType::f64 ? dtype : GetParam().states;
    return {dtype, normal_values(count, 1), optimizer.state_names().size(), states};
  }
  static std::vector<double> gradient(int64_t count, int step, double scale = 1) {
    return normal_values(count, 100 + static_cast<uint64_t>(step), scale);
  }
};

constexpr int64_t kCount = 1001;

// A quadratic bowl: every optimizer must find its bottom.
TEST_P(EveryOptimizer, FindsTheBottomOfABowl) {
  OptimizerConfig c = config();
  c.weight_decay = 0, c.learning_rate = 0.05, c.clip = 0;
  const auto optimizer = make_optimizer(setup_for(c, DType::f64, kCount, 400));
  const FlatModel flat = model(kCount, *optimizer, DType::f64);
  const auto target = normal_values(kCount, 9);
  for (int step = 0; step < 400; ++step) {
    auto g = flat.master.read();
    for (size_t i = 0; i < g.size(); ++i) g[i] -= target[i];
    flat.set_gradient(g);
    optimizer->prepare(step, test_stream());
    whole_step(*optimizer, flat.whole());
  }
  EXPECT_LE(kernels::test::error_of(flat.master.read(), target), 1e-2);
}

// Four ranks that each update their share, having added up their norms, equal one that updates all.
TEST_P(EveryOptimizer, SharesEqualTheWhole) {
  const auto whole = make_optimizer(setup(kCount));
  const FlatModel one = model(kCount, *whole), many = model(kCount, *whole);
  const std::vector<int64_t> cuts = {0, 100, 333, 334, kCount};
  std::vector<std::unique_ptr<Optimizer>> ranks;
  for (size_t r = 0; r + 1 < cuts.size(); ++r) ranks.push_back(make_optimizer(setup(kCount)));
  for (int step = 0; step < 3; ++step) {
    const auto g = gradient(kCount, step);
    one.set_gradient(g), many.set_gradient(g);
    whole->prepare(step, test_stream());
    whole_step(*whole, one.whole());
    for (auto& rank : ranks) rank->prepare(step, test_stream()), rank->clear_norm(test_stream());
    for (size_t r = 0; r < ranks.size(); ++r)  // what an all-reduce of the scalar does
      for (size_t part = 0; part < ranks.size(); ++part)
        ranks[r]->add_to_norm(many.gradient.buffer().slice(cuts[part], cuts[part + 1] - cuts[part]),
                              1, test_stream());
    for (size_t r = 0; r < ranks.size(); ++r) {
      ranks[r]->finish(test_stream());
      ranks[r]->update(many.piece(cuts[r], cuts[r + 1]), test_stream());
    }
    EXPECT_NEAR(ranks[2]->read(test_stream()).gradient_norm,
                whole->read(test_stream()).gradient_norm, 1e-10);
  }
  EXPECT_NEAR_ARRAY(many.master.read(), one.master.read(), 1e-7);
}

TEST_P(EveryOptimizer, SharesWithTheSameFactorAreBitEqual) {
  OptimizerSetup s = setup(kCount);
  s.config.clip = 0;  // the factor is then 1 however the norm was summed
  const auto whole = make_optimizer(s), parts = make_optimizer(s);
  const FlatModel one = model(kCount, *whole), many = model(kCount, *whole);
  const auto g = gradient(kCount, 0);
  one.set_gradient(g), many.set_gradient(g);
  whole->prepare(0, test_stream()), parts->prepare(0, test_stream());
  whole_step(*whole, one.whole());
  parts->clear_norm(test_stream());
  parts->add_to_norm(many.gradient.buffer(), 1, test_stream());
  parts->finish(test_stream());
  for (const auto& [begin, end] :
       std::vector<std::pair<int64_t, int64_t>>{{500, kCount}, {0, 3}, {3, 500}})
    parts->update(many.piece(begin, end), test_stream());
  EXPECT_EQ(one.master.bits(), many.master.bits());
  EXPECT_EQ(one.value.bits(), many.value.bits());
  for (size_t i = 0; i < one.states.size(); ++i)
    EXPECT_EQ(one.states[i].bits(), many.states[i].bits());
}

// Gradients in bfloat16 under loss scaling: an infinite one is a skipped step and half the scale.
TEST_P(EveryOptimizer, SeesOverflowInBfloat16Gradients) {
  OptimizerSetup s = setup(kCount);
  s.loss_scaling = {.on = true, .initial = 1024};
  const auto narrow = make_optimizer(s), wide = make_optimizer(s);
  const FlatModel one = model(kCount, *narrow), other = model(kCount, *wide);
  const auto g = kernels::test::rounded(DType::bf16, gradient(kCount, 0, 1024));
  other.set_gradient(g);
  auto broken = g;
  broken[7] = INFINITY;
  for (const bool breaks : {false, true}) {
    const auto before = one.master.bits();
    const Array in_bfloat16(DType::bf16, breaks ? broken : g);
    Piece piece = one.whole();
    piece.gradient = in_bfloat16.buffer();
    narrow->prepare(0, test_stream());
    whole_step(*narrow, piece);
    EXPECT_EQ(one.master.bits() == before, breaks);
    EXPECT_EQ(narrow->read(test_stream()).loss_scale, breaks ? 512 : 1024);
  }
  wide->prepare(0, test_stream());
  whole_step(*wide, other.whole());
  EXPECT_EQ(one.master.bits(), other.master.bits());
}

TEST_P(EveryOptimizer, DecaysOnlyWhereAsked) {
  const auto optimizer = make_optimizer(setup(kCount));
  const FlatModel flat = model(kCount, *optimizer);
  const auto before = flat.master.read();
  optimizer->prepare(0, test_stream());
  whole_step(*optimizer, flat.whole());  // gradient zero: only decay moves anything
  const auto after = flat.master.read();
  const double keep = 1 - 0.01 * 0.1;
  for (size_t i = 0; i < after.size(); ++i) {
    const bool decays = i < 250 || (i >= 400 && i < 777);
    EXPECT_NEAR(after[i], before[i] * (decays ? keep : 1), 3e-7 * std::abs(before[i])) << i;
  }
  EXPECT_EQ(1, optimizer->read(test_stream()).zero_gradients_in_row);
}

TEST_P(EveryOptimizer, ResumesBitEqual) {
  const auto straight = make_optimizer(setup(kCount));
  const FlatModel flat = model(kCount, *straight);
  const auto run = [&](Optimizer& optimizer, const FlatModel& m, int from, int to) {
    for (int step = from; step < to; ++step) {
      m.set_gradient(gradient(kCount, step));
      optimizer.prepare(step, test_stream());
      whole_step(optimizer, m.whole());
    }
  };
  run(*straight, flat, 0, 6);
  const auto first = make_optimizer(setup(kCount)), second = make_optimizer(setup(kCount));
  const FlatModel again = model(kCount, *first);
  run(*first, again, 0, 3);
  second->load_values(nlohmann::json::parse(first->values(test_stream()).dump()), test_stream());
  run(*second, again, 3, 6);
  EXPECT_EQ(flat.master.bits(), again.master.bits());
  EXPECT_EQ(6, second->read(test_stream()).updates);
}

TEST_P(EveryOptimizer, LossScaleCancelsOut) {
  OptimizerSetup scaled = setup(kCount);
  scaled.loss_scaling = {.on = true, .initial = 1024, .window = 2};
  const auto plain = make_optimizer(setup(kCount)), with = make_optimizer(scaled);
  const FlatModel a = model(kCount, *plain), b = model(kCount, *with);
  double scale = 1024;
  for (int step = 0; step < 5; ++step) {
    a.set_gradient(gradient(kCount, step));
    b.set_gradient(gradient(kCount, step, scale));
    for (Optimizer* optimizer : {plain.get(), with.get()}) optimizer->prepare(step, test_stream());
    whole_step(*plain, a.whole());
    whole_step(*with, b.whole());
    scale = with->read(test_stream()).loss_scale;
  }
  EXPECT_EQ(4096, scale) << "doubled twice in five good steps";
  EXPECT_NEAR_ARRAY(b.master.read(), a.master.read(), 1e-6);
}

TEST_P(EveryOptimizer, OverflowSkipsTheStepAndHalvesTheScale) {
  OptimizerSetup scaled = setup(kCount);
  scaled.loss_scaling = {.on = true, .initial = 1024, .window = 2};
  const auto optimizer = make_optimizer(scaled);
  const FlatModel flat = model(kCount, *optimizer);
  flat.set_gradient(gradient(kCount, 0, 1024));
  optimizer->prepare(0, test_stream());
  whole_step(*optimizer, flat.whole());
  const auto master = flat.master.bits();
  auto g = gradient(kCount, 1, 1024);
  g[777] = INFINITY;
  flat.set_gradient(g);
  for (int64_t bad = 1; bad <= 3; ++bad) {
    optimizer->prepare(bad, test_stream());
    whole_step(*optimizer, flat.whole());
    const StepReport report = optimizer->read(test_stream());
    EXPECT_EQ(bad, report.skipped_in_row);
    EXPECT_EQ(1, report.updates);
    EXPECT_EQ(std::ldexp(1024, static_cast<int>(-bad)), report.loss_scale);
    EXPECT_TRUE(report.finite);
  }
  EXPECT_EQ(master, flat.master.bits());
}

TEST_P(EveryOptimizer, NotANumberWithoutScalingKeepsTheWeightsAndSaysSo) {
  const auto optimizer = make_optimizer(setup(kCount));
  const FlatModel flat = model(kCount, *optimizer);
  const auto master = flat.master.bits();
  auto g = gradient(kCount, 0);
  g[5] = std::nan("");
  flat.set_gradient(g);
  optimizer->prepare(0, test_stream());
  whole_step(*optimizer, flat.whole());
  EXPECT_EQ(master, flat.master.bits());
  EXPECT_FALSE(optimizer->read(test_stream()).finite);
}

TEST_P(EveryOptimizer, ReadsNothingOnTheHostInsideAStep) {
  const auto optimizer = make_optimizer(setup(kCount));
  const FlatModel flat = model(kCount, *optimizer);
  const int64_t before = device::host_waits();
  for (int step = 0; step < 3; ++step) {
    optimizer->prepare(step, test_stream());
    whole_step(*optimizer, flat.whole());
  }
  EXPECT_EQ(before, device::host_waits());
}

TEST_P(EveryOptimizer, SameBitsOnAnyNumberOfThreads) {
  kernels::test::expect_same_bits([&] {
    const auto optimizer = make_optimizer(setup(50000));
    const FlatModel flat = model(50000, *optimizer);
    for (int step = 0; step < 2; ++step) {
      flat.set_gradient(gradient(50000, step));
      optimizer->prepare(step, test_stream());
      whole_step(*optimizer, flat.whole());
    }
    return flat.master.bits();
  });
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryOptimizer, testing::ValuesIn([] {
                           std::vector<Contract> all;
                           for (const OptimizerKind& kind : optimizer_kinds())
                             for (const DType states : {DType::f32, DType::bf16})
                               all.push_back({kind.name, states});
                           return all;
                         }()),
                         [](const auto& one) {
                           return one.param.name + "_" + std::string(name_of(one.param.states));
                         });

// Gradients become small, and with beta2 = 0.999 every change of the second moment is less than
// half a digit of bfloat16: rounded to the nearest it stands still, at random it follows on
// average, and the weights with it.
TEST(Optimizer, MomentsInBfloat16FollowFloat32) {
  constexpr int kSteps = 800;
  enum { wide, at_random, nearest };
  std::vector<double> second[3], masters[3];
  for (const int kind : {wide, at_random, nearest}) {
    OptimizerConfig c;
    c.schedule = "constant", c.learning_rate = 1e-3, c.beta2 = 0.999, c.clip = 0;
    const auto optimizer = make_optimizer(setup_for(c, DType::f32, kCount, kSteps));
    const FlatModel flat(DType::f32, normal_values(kCount, 1), 2,
                         kind == at_random ? DType::bf16 : DType::f32);
    for (int step = 0; step < kSteps; ++step) {
      const uint64_t seed = 100 + static_cast<uint64_t>(step);
      flat.set_gradient(normal_values(kCount, seed, step < 100 ? 1 : 0.05));
      optimizer->prepare(step, test_stream());
      whole_step(*optimizer, flat.whole());
      if (kind != nearest) continue;
      for (const Array& state : flat.states) {
        const Array there(DType::f32, kernels::test::rounded(DType::bf16, state.read()));
        device::copy(state.data(), test_device(), there.data(), test_device(),
                     state.buffer().bytes(), test_stream());
        device::synchronize(test_stream());
      }
    }
    second[kind] = flat.states[1].read(), masters[kind] = flat.master.read();
  }
  const auto mean = [](const std::vector<double>& x) {
    return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  };
  const auto apart = [&](int kind) {
    double sum = 0;
    for (size_t i = 0; i < masters[kind].size(); ++i)
      sum += std::pow(masters[kind][i] - masters[wide][i], 2);
    return std::sqrt(sum / kCount);
  };
  EXPECT_NEAR(mean(second[at_random]) / mean(second[wide]), 1, 0.01);
  EXPECT_GT(std::abs(mean(second[nearest]) / mean(second[wide]) - 1), 0.1) << "proves nothing";
  for (const double v : second[at_random]) EXPECT_GE(v, 0);
  EXPECT_LT(apart(at_random), 0.25 * apart(nearest));
}

TEST(Optimizer, UnknownNameIsAUsersError) {
  OptimizerSetup setup;
  setup.config.name = "adamx";
  try {
    make_optimizer(setup);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(ErrorKind::config, error.kind());
    EXPECT_NE(std::string::npos, std::string(error.what()).find("adamw"));
  }
}

TEST(Optimizer, DamagedCheckpointValuesAreAFileError) {
  OptimizerSetup setup = setup_for({}, DType::f32, 10);
  const auto optimizer = make_optimizer(setup);
  auto values = optimizer->values(test_stream());
  values.erase("updates");
  EXPECT_THROW(optimizer->load_values(values, test_stream()), Error);
  values["updates"] = "three";
  EXPECT_THROW(optimizer->load_values(values, test_stream()), Error);
}

// Continued in bfloat16 after float16: the old loss scale must not be left in.
TEST(Optimizer, PrecisionMayChangeOnResume) {
  OptimizerSetup scaled = setup_for({}, DType::f32, 10);
  scaled.loss_scaling.on = true;
  const auto half = make_optimizer(scaled), plain = make_optimizer(setup_for({}, DType::f32, 10));
  plain->load_values(half->values(test_stream()), test_stream());
  EXPECT_EQ(1, plain->read(test_stream()).loss_scale);
  half->load_values(plain->values(test_stream()), test_stream());
  EXPECT_EQ(65536, half->read(test_stream()).loss_scale);
}

}  // namespace
}  // namespace ocoee::optim::test
