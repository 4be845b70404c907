// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer_step.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"
#include "kernels/reduce.h"

namespace ocoee::kernels::test {
namespace {

// Step numbers on the test device.
class Scalars {
 public:
  explicit Scalars(const StepScalars& s = {})
      : memory_(sizeof s, device::Memory::Where::device, test_device()) {
    device::copy(memory_.data(), test_device(), &s, {}, sizeof s, test_stream());
    device::synchronize(test_stream());
  }
  StepScalars* data() const { return static_cast<StepScalars*>(memory_.data()); }
  StepScalars read() const {
    StepScalars s;
    device::copy(&s, {}, memory_.data(), test_device(), sizeof s, test_stream());
    device::synchronize(test_stream());
    return s;
  }

 private:
  device::Memory memory_;
};

class Segments {
 public:
  explicit Segments(const std::vector<DecaySegment>& list)
      : count(static_cast<int64_t>(list.size())),
        memory_(list.size() * sizeof(DecaySegment) + 1, device::Memory::Where::device,
                test_device()) {
    device::copy(memory_.data(), test_device(), list.data(), {}, list.size() * sizeof(DecaySegment),
                 test_stream());
    device::synchronize(test_stream());
  }
  const DecaySegment* data() const { return static_cast<const DecaySegment*>(memory_.data()); }
  const int64_t count;

 private:
  device::Memory memory_;
};

const std::vector<DecaySegment> kSegments = {
    {3, 10, 0.1}, {10, 12, 0.3}, {500, 900, 0.1}, {4097, 5000, 0.2}};
double decay_of(int64_t i) {
  for (const DecaySegment& s : kSegments)
    if (i >= s.begin && i < s.end) return s.decay;
  return 0;
}

StepScalars scalars_of_step(int64_t update, double beta1, double beta2) {
  StepScalars s;
  s.learning_rate = 3e-3;
  s.gradient_factor = 0.7;
  s.updates = update;
  s.correction1 = 1 - std::pow(beta1, static_cast<double>(update));
  s.correction2 = 1 - std::pow(beta2, static_cast<double>(update));
  return s;
}

struct Flat {
  int64_t count;
  std::vector<double> p, g, m, v;
  explicit Flat(DType dtype, int64_t n)
      : count(n),
        p(rounded(dtype, normal_values(n, 1))),
        g(rounded(dtype, normal_values(n, 2))),
        m(rounded(dtype, normal_values(n, 3, 0.1))),
        v(rounded(dtype, normal_values(n, 4, 0.1))) {
    for (double& x : v) x = x * x;
    v = rounded(dtype, v);
  }
};

void reference_adamw(Flat& f, const StepScalars& s, double beta1, double beta2, double epsilon) {
  for (int64_t i = 0; i < f.count; ++i) {
    const auto k = static_cast<size_t>(i);
    const double g = f.g[k] * s.gradient_factor;
    f.p[k] *= 1 - s.learning_rate * decay_of(i);
    f.m[k] = beta1 * f.m[k] + (1 - beta1) * g;
    f.v[k] = beta2 * f.v[k] + (1 - beta2) * g * g;
    f.p[k] -=
        s.learning_rate / s.correction1 * f.m[k] / (std::sqrt(f.v[k] / s.correction2) + epsilon);
  }
}

void check_adamw(DType dtype, DType value_dtype, int64_t count, int64_t shift,
                 bool bf16_gradient = false, bool bf16_states = false) {
  SCOPED_TRACE(label(dtype) + " " + std::to_string(count) + " shift " + std::to_string(shift));
  const DType of_gradient = bf16_gradient ? DType::bf16 : dtype;
  Flat f(dtype, count);
  const DType of_states = bf16_states ? DType::bf16 : dtype;
  f.g = rounded(of_gradient, f.g);
  f.m = rounded(of_states, f.m), f.v = rounded(of_states, f.v);
  const Array p(dtype, f.p, shift), g(of_gradient, f.g, shift), m(of_states, f.m),
      v(of_states, f.v), value(value_dtype, count);
  const Segments segments(kSegments);
  const StepScalars s = scalars_of_step(3, 0.9, 0.95);
  const Scalars scalars(s);
  AdamW a{{dtype, 0, count, p.data(), g.data(), value.data(), value_dtype, segments.data(),
           segments.count, scalars.data(), bf16_gradient, bf16_states}};
  a.first_moment = m.data(), a.second_moment = v.data();
  adamw(a, test_stream());
  reference_adamw(f, s, a.beta1, a.beta2, a.epsilon);
  const double limit = dtype == DType::f64 ? 1e-13 : 1e-6;
  const double of_state = bf16_states ? 0x1p-7 : limit;
  EXPECT_NEAR_ARRAY(p.read(), f.p, limit);
  EXPECT_NEAR_ARRAY(m.read(), f.m, of_state);
  EXPECT_NEAR_ARRAY(v.read(), f.v, of_state);
  EXPECT_EQ(value.read(), rounded(value_dtype, p.read()));
}

TEST(AdamWKernel, AgainstDoublePrecision) {
  for (const int64_t count : {1, 3, 11, 64, 1001, 6007})
    for (const int64_t shift : {0, 1}) check_adamw(DType::f32, DType::bf16, count, shift);
  check_adamw(DType::f32, DType::f16, 5003, 0);
  check_adamw(DType::f64, DType::bf16, 5003, 0);
}

TEST(AdamWKernel, GradientsInBfloat16) {
  for (const int64_t count : {1, 3, 11, 64, 1001, 6007})
    for (const int64_t shift : {0, 1, 4}) check_adamw(DType::f32, DType::bf16, count, shift, true);
  check_adamw(DType::f32, DType::f16, 5003, 0, true);
  check_adamw(DType::f64, DType::bf16, 5003, 0, true);
}

// The step is made from what is not yet rounded: masters are as near as with states in float32.
TEST(AdamWKernel, StatesInBfloat16) {
  for (const bool narrow : {false, true}) {
    for (const int64_t count : {1, 3, 11, 64, 1001, 6007})
      for (const int64_t shift : {0, 1, 4})
        check_adamw(DType::f32, DType::bf16, count, shift, narrow, true);
    check_adamw(DType::f32, DType::f16, 5003, 0, narrow, true);
  }
}

// What lies in an array of bf16 is the same number in float32: so is every result.
TEST(AdamWKernel, ABfloat16GradientIsTheSameNumber) {
  const int64_t count = 5003;
  Flat f(DType::f32, count);
  f.g = rounded(DType::bf16, f.g);
  const Segments segments(kSegments);
  const Scalars scalars(scalars_of_step(2, 0.9, 0.95));
  const auto run = [&](bool narrow) {
    const Array p(DType::f32, f.p), g(narrow ? DType::bf16 : DType::f32, f.g), m(DType::f32, f.m),
        v(DType::f32, f.v), value(DType::bf16, count);
    AdamW a{{DType::f32, 0, count, p.data(), g.data(), value.data(), DType::bf16, segments.data(),
             segments.count, scalars.data(), narrow}};
    a.first_moment = m.data(), a.second_moment = v.data();
    adamw(a, test_stream());
    auto bits = p.bits();
    for (const Array* array : {&m, &v, &value}) {
      for (const unsigned char b : array->bits()) bits.push_back(b);
    }
    return bits;
  };
  EXPECT_EQ(run(true), run(false));
}

// Any cut of the flat space gives the same bits as the whole: what sharded data parallelism rests
// on.
TEST(AdamWKernel, PiecesEqualTheWhole) {
  const int64_t count = 6007;
  const Flat f(DType::f32, count);
  const Segments segments(kSegments);
  const Scalars scalars(scalars_of_step(1, 0.9, 0.95));
  const auto run = [&](const std::vector<int64_t>& cuts) {
    const Array p(DType::f32, f.p), g(DType::f32, f.g), m(DType::f32, f.m), v(DType::f32, f.v),
        value(DType::bf16, count);
    for (size_t c = 0; c + 1 < cuts.size(); ++c) {
      const int64_t at = cuts[c];
      AdamW a{{DType::f32, at, cuts[c + 1] - at, p.as<float>() + at, g.as<float>() + at,
               value.as<BFloat16>() + at, DType::bf16, segments.data(), segments.count,
               scalars.data()}};
      a.first_moment = m.as<float>() + at, a.second_moment = v.as<float>() + at;
      adamw(a, test_stream());
    }
    auto bits = p.bits();
    for (const unsigned char b : value.bits()) bits.push_back(b);
    return bits;
  };
  const auto whole = run({0, count});
  EXPECT_EQ(whole, run({0, 5, 11, 777, 778, 4500, count}));
  EXPECT_EQ(whole, run({0, 1024, 2048, 4096, count}));
  expect_same_bits([&] { return run({0, count}); });
}

TEST(AdamWKernel, SkipLeavesEverything) {
  const int64_t count = 100;
  const Flat f(DType::f32, count);
  StepScalars s = scalars_of_step(1, 0.9, 0.95);
  s.skip = 1;
  const Scalars scalars(s);
  const Array p(DType::f32, f.p), g(DType::f32, std::vector<double>(100, std::nan(""))),
      m(DType::f32, f.m), v(DType::f32, f.v);
  AdamW a{
      {DType::f32, 0, count, p.data(), g.data(), nullptr, DType::bf16, nullptr, 0, scalars.data()},
      m.data(),
      v.data()};
  adamw(a, test_stream());
  EXPECT_EQ(p.read(), f.p);
  EXPECT_EQ(m.read(), f.m);
  EXPECT_EQ(v.read(), f.v);
}

TEST(SgdKernel, AgainstDoublePrecision) {
  for (const auto& [dtype, narrow] :
       {std::pair{DType::f32, false}, {DType::f64, false}, {DType::f32, true}}) {
    const int64_t count = 5003;
    Flat f(dtype, count);
    const DType of_gradient = narrow ? DType::bf16 : dtype;
    f.g = rounded(of_gradient, f.g);
    const Array p(dtype, f.p), g(of_gradient, f.g), velocity(dtype, f.m);
    const Segments segments(kSegments);
    const StepScalars s = scalars_of_step(1, 0, 0);
    const Scalars scalars(s);
    sgd({{dtype, 0, count, p.data(), g.data(), nullptr, DType::bf16, segments.data(),
          segments.count, scalars.data(), narrow},
         velocity.data(),
         0.9},
        test_stream());
    for (int64_t i = 0; i < count; ++i) {
      const auto k = static_cast<size_t>(i);
      f.m[k] = 0.9 * f.m[k] + f.g[k] * s.gradient_factor;
      f.p[k] = f.p[k] * (1 - s.learning_rate * decay_of(i)) - s.learning_rate * f.m[k];
    }
    EXPECT_NEAR_ARRAY(p.read(), f.p, dtype == DType::f64 ? 1e-14 : 5e-7);
    EXPECT_NEAR_ARRAY(velocity.read(), f.m, dtype == DType::f64 ? 1e-14 : 5e-7);
  }
}

StepScalars finish(StepScalars s, const StepRules& rules) {
  const Scalars scalars(s);
  finish_step(scalars.data(), rules, test_stream());
  return scalars.read();
}

TEST(FinishStep, ClipsAsTorchDoes) {
  StepScalars s;
  s.sum_of_squares = 16;
  StepRules rules{.clip = 1, .beta1 = 0.9, .beta2 = 0.95};
  const StepScalars clipped = finish(s, rules);
  EXPECT_DOUBLE_EQ(4, clipped.gradient_norm);
  EXPECT_DOUBLE_EQ(1 / (4 + 1e-6), clipped.gradient_factor);
  EXPECT_EQ(1, clipped.updates);
  EXPECT_NEAR(0.1, clipped.correction1, 1e-15);
  EXPECT_NEAR(0.05, clipped.correction2, 1e-15);
  rules.clip = 5;
  EXPECT_DOUBLE_EQ(1, finish(s, rules).gradient_factor);
  rules.clip = 0;
  EXPECT_DOUBLE_EQ(1, finish(s, rules).gradient_factor);
  EXPECT_NEAR(1 - 0.81, finish(clipped, rules).correction1, 1e-15);
}

TEST(FinishStep, NotANumberSkipsAndIsRemembered) {
  StepScalars s;
  for (const double bad : {std::nan(""), static_cast<double>(INFINITY)}) {
    s.sum_of_squares = bad;
    const StepScalars after = finish(s, {.clip = 1, .beta1 = 0.9, .beta2 = 0.95});
    EXPECT_EQ(1, after.skip);
    EXPECT_EQ(0, after.finite);
    EXPECT_EQ(0, after.updates);
    EXPECT_EQ(0, after.skipped_in_row);  // no loss scaling: nothing handles it
    StepScalars next = after;
    next.sum_of_squares = 1;
    const StepScalars healed = finish(next, {});
    EXPECT_EQ(0, healed.skip);
    EXPECT_EQ(0, healed.finite) << "stays until the host has seen it";
  }
}

TEST(FinishStep, LossScaleMoves) {
  const StepRules rules{
      .clip = 1, .beta1 = 0.9, .beta2 = 0.95, .scales_loss = true, .growth_interval = 3};
  StepScalars s;
  s.loss_scale = 1024;
  s.sum_of_squares = INFINITY;
  s = finish(s, rules);
  EXPECT_EQ(512, s.loss_scale);
  EXPECT_EQ(1, s.skipped_in_row);
  s = finish(s, rules);
  EXPECT_EQ(256, s.loss_scale);
  EXPECT_EQ(2, s.skipped_in_row);
  EXPECT_EQ(1, s.finite);
  s.sum_of_squares = 256.0 * 256 * 4;
  for (int i = 0; i < 2; ++i) s = finish(s, rules);
  EXPECT_DOUBLE_EQ(2, s.gradient_norm);
  EXPECT_DOUBLE_EQ(1 / (2 + 1e-6) / 256, s.gradient_factor);
  EXPECT_EQ(256, s.loss_scale);
  EXPECT_EQ(0, s.skipped_in_row);
  EXPECT_EQ(2, s.skipped);
  s = finish(s, rules);
  EXPECT_EQ(512, s.loss_scale) << "after three good steps";
  EXPECT_EQ(0, s.good_steps);
  EXPECT_EQ(3, s.updates);
  s.loss_scale = 1, s.sum_of_squares = std::nan("");
  EXPECT_EQ(1, finish(s, rules).loss_scale) << "never below the least";
}

TEST(FinishStep, CountsZeroGradients) {
  StepScalars s;
  s = finish(s, {});
  s = finish(s, {});
  EXPECT_EQ(2, s.zero_in_row);
  s.sum_of_squares = 1;
  EXPECT_EQ(0, finish(s, {}).zero_in_row);
}

TEST(SetLearningRate, ReachesTheDevice) {
  const Scalars scalars;
  set_learning_rate(scalars.data(), 0.125, test_stream());
  EXPECT_EQ(0.125, scalars.read().learning_rate);
}

// A captured step reads this step's learning rate when it is replayed.
TEST(AdamWKernel, ReplayedGraphSeesNewScalars) {
  const int64_t count = 2048;
  Flat f(DType::f32, count);
  const Array p(DType::f32, f.p), g(DType::f32, f.g), m(DType::f32, f.m), v(DType::f32, f.v);
  const Array space = workspace(sum_of_squares_workspace(count, test_device()));
  const Segments segments(kSegments);
  const Scalars scalars;
  const StepRules rules{.clip = 1, .beta1 = 0.9, .beta2 = 0.95};
  device::OwnedStream owned(test_device());
  const device::Stream stream = owned.view();
  const auto step = [&] {
    sum_of_squares({DType::f32, g.data(), count, 1, &scalars.data()->sum_of_squares, space.data()},
                   stream);
    finish_step(scalars.data(), rules, stream);
    AdamW a{{DType::f32, 0, count, p.data(), g.data(), nullptr, DType::bf16, segments.data(),
             segments.count, scalars.data()},
            m.data(),
            v.data()};
    adamw(a, stream);
  };
  device::Graph graph;
  graph.capture(stream, step);
  StepScalars s;
  double sum = 0;
  for (const double x : f.g) sum += x * x;
  // What capture itself has run (on the CPU nothing either): replays begin from the state that lies
  // there now.
  const int64_t done = scalars.read().updates;
  ASSERT_EQ(0, done) << "capture must not run the work";
  for (int update = 1; update <= 3; ++update) {
    const double learning_rate = 1e-3 * update;
    set_learning_rate(scalars.data(), learning_rate, stream);
    graph.replay(stream);
    device::synchronize(stream);
    const double norm = std::sqrt(sum * update);  // the sum is added to, and nobody cleared it
    s = scalars_of_step(update, 0.9, 0.95);
    s.learning_rate = learning_rate, s.gradient_factor = 1 / (norm + 1e-6);
    reference_adamw(f, s, 0.9, 0.95, 1e-8);
  }
  EXPECT_NEAR_ARRAY(p.read(), f.p, 1e-6);
}

}  // namespace
}  // namespace ocoee::kernels::test
