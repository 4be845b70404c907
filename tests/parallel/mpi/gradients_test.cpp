// SPDX-License-Identifier: Apache-2.0
// Gradients kept and summed in bfloat16, one micro-batch a step: against float32 gradients on one
// rank, in every layout, and shard levels against each other.
#include <gtest/gtest.h>

#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSteps = 5;

LayoutCase small(bool bfloat16_gradients, const std::string& style = "gpt2") {
  LayoutCase c;
  c.layers = 2, c.type = at::kBFloat16, c.style = style;
  c.micro = c.samples, c.bfloat16_gradients = bfloat16_gradients;
  return c;
}

Outcome alone(const LayoutCase& c) {
  comm::World world = comm::World::alone();
  comm::Mesh mesh(world, comm::Shape{}, {});
  return train_case(c, mesh, nullptr, kSteps);
}

double difference(const at::Tensor& got, const at::Tensor& want, double all) {
  return (got - want).norm().item<double>() / std::max(want.norm().item<double>(), 1e-3 * all);
}

double norm_of(const Arrays& arrays) {
  double sum = 0;
  for (const auto& [name, array] : arrays) sum += array.square().sum().item<double>();
  return std::sqrt(sum);
}

void expect_near(const Outcome& got, const Outcome& wanted, double limit) {
  for (size_t s = 0; s < wanted.losses.size(); ++s) {
    EXPECT_NEAR(got.losses[s], wanted.losses[s], 3e-3 * wanted.losses[s]) << "step " << s;
    EXPECT_NEAR(got.norms[s], wanted.norms[s], 2e-2 * wanted.norms[s]) << "step " << s;
  }
  const double all = norm_of(wanted.gradients);
  for (const auto& [name, gradient] : wanted.gradients)
    EXPECT_LT(difference(got.gradients.at(name), gradient, all), limit) << name;
  for (const auto& [name, parameter] : wanted.parameters)
    EXPECT_LT(apart(got.parameters.at(name), parameter), parted_by(limit)) << name;
}

// On one rank an element is rounded once, a tied one twice: 2^-9 of it each time.
TEST(Gradients, InBfloat16AreThoseOfFloat32Rounded) {
  for (const char* style : {"gpt2", "llama"}) {
    SCOPED_TRACE(style);
    const Outcome wide = alone(small(false, style)), narrow = alone(small(true, style));
    expect_near(narrow, wide, 2 * 0x1p-9);
    bool rounded = false;
    for (const auto& [name, gradient] : narrow.gradients) {
      EXPECT_TRUE(gradient.equal(gradient.to(at::kBFloat16).to(at::kDouble))) << name;
      rounded |= !gradient.equal(wide.gradients.at(name));
    }
    EXPECT_TRUE(rounded);
  }
}

TEST(Gradients, InBfloat16AreNearOneRankInEveryLayout) {
  comm::World& world = testing_support::world();
  static std::map<std::string, Outcome> known;
  int turn = 0;
  for (const comm::Axis axis :
       {comm::Axis::data, comm::Axis::tensor, comm::Axis::context, comm::Axis::pipeline}) {
    for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
      LayoutCase c = small(true, turn++ % 2 == 0 ? "gpt2" : "llama");
      const int half = world.size() > 2 ? 2 : 1;  // on four ranks two of them share the data
      c.data = axis == comm::Axis::data ? world.size() : half;
      if (axis == comm::Axis::tensor) c.tensor = world.size() / half, c.halves = Halves::on;
      if (axis == comm::Axis::context) c.context = world.size() / half;
      if (axis == comm::Axis::pipeline) c.pipeline = world.size() / half;
      if (c.ranks() != world.size() || (c.data * c.context == 1 && shard != Shard::none)) continue;
      c.shard = shard, c.micro = c.samples / c.data;
      if (axis == comm::Axis::pipeline && turn % 4 >= 2)
        c.schedule = plan::ScheduleKind::zero_bubble;
      SCOPED_TRACE(c.text());
      if (!known.contains(c.style)) known[c.style] = alone(small(false, c.style));
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      expect_near(train_case(c, mesh, &mesh.world(), kSteps), known[c.style], 3e-2);
    }
  }
}

// Of two numbers there is one sum, whichever collective makes it.
TEST(Gradients, InBfloat16AreTheSameAtEveryShardLevel) {
  comm::World& world = testing_support::world();
  if (world.size() != 2) GTEST_SKIP() << "needs two ranks: more of them add in another order";
  Outcome whole;
  for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
    LayoutCase c = small(true);
    c.data = 2, c.shard = shard, c.micro = c.samples / 2;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    const Outcome got = train_case(c, mesh, &mesh.world(), 2);
    if (shard == Shard::none) whole = got;
    for (const auto& [name, gradient] : whole.gradients)
      EXPECT_TRUE(got.gradients.at(name).equal(gradient)) << name;
    EXPECT_EQ(got.losses[0], whole.losses[0]);
  }
}

// Counted by the communicators themselves: two bytes an element less.
TEST(Gradients, InBfloat16TakeHalfTheBytesOfTheirSums) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
    double bytes[2] = {0, 0};
    for (const bool narrow : {false, true}) {
      LayoutCase c = small(narrow);
      c.data = world.size(), c.shard = shard, c.micro = c.samples / c.data, c.losses_only = true;
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      const auto of_gradients = [&](Engine& engine, train::Update&) {
        const comm::Counters& all = mesh.replicas().counters();
        const int64_t summed = all.bytes[static_cast<size_t>(comm::Kind::all_reduce)] +
                               all.bytes[static_cast<size_t>(comm::Kind::reduce_scatter)];
        bytes[narrow] =
            static_cast<double>(summed) / static_cast<double>(engine.weights().elements());
      };
      train_case(c, mesh, &mesh.world(), 1, of_gradients);
    }
    EXPECT_NEAR(bytes[0] - bytes[1], 2, 0.01) << static_cast<int>(shard);
  }
}

}  // namespace
}  // namespace ocoee::parallel
