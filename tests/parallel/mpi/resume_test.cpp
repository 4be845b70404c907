// SPDX-License-Identifier: Apache-2.0
// A checkpoint of any layout goes on in any other: bit-equal in the same one, to 1e-6 elsewhere.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "parallel/mpi/layout_case.h"
#include "run/checkpoint.h"

namespace ocoee::parallel {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kBefore = 2, kAfter = 4;

run::State state_of(Engine& engine, train::Update& update) {
  run::State state;
  state.arrays = engine.weights().arrays("", engine.weights().master());
  for (run::StateArray& array : update.arrays()) state.arrays.push_back(std::move(array));
  state.values["update"] = update.values();
  return state;
}

std::vector<LayoutCase> layouts(int ranks) {
  using plan::ScheduleKind;
  std::vector<LayoutCase> out;
  const auto add = [&](int pipeline, Shard shard, ScheduleKind kind) {
    if (ranks % pipeline != 0) return;
    LayoutCase c;
    c.type = at::kFloat;
    c.pipeline = pipeline, c.data = ranks / pipeline, c.shard = shard, c.schedule = kind;
    c.chunks = kind == ScheduleKind::interleaved ? 2 : 1;
    if (c.data == 1 && shard != Shard::none) return;
    out.push_back(c);
  };
  add(1, Shard::none, ScheduleKind::one_f_one_b);
  add(1, Shard::states, ScheduleKind::one_f_one_b);
  add(1, Shard::parameters, ScheduleKind::one_f_one_b);
  add(2, Shard::none, ScheduleKind::interleaved);
  add(2, Shard::gradients, ScheduleKind::one_f_one_b);
  add(4, Shard::none, ScheduleKind::gpipe);
  return out;
}

comm::Shape shape_of(const LayoutCase& c) {
  comm::Shape shape;
  shape[comm::Axis::data] = c.data;
  shape[comm::Axis::pipeline] = c.pipeline;
  return shape;
}

fs::path folder_for(comm::Communicator& world) {
  const std::string name = fmt::format("ocoee-layouts-{}", ::getpid());
  return fs::temp_directory_path() / world.broadcast_text(name, 0);
}

TEST(Resume, EveryLayoutGoesOnInEveryOther) {
  comm::World& world = testing_support::world();
  const auto all = layouts(world.size());
  const fs::path folder = folder_for(*world.host());
  std::vector<std::vector<double>> uninterrupted;
  for (size_t i = 0; i < all.size(); ++i) {
    comm::Mesh mesh(world, shape_of(all[i]), {}, comm::Backend::mpi);
    train_case(all[i], mesh, &mesh.world(), kBefore, [&](Engine& engine, train::Update& update) {
      run::CheckpointWriter writer(folder, mesh.world(), 100);
      writer.begin(static_cast<int64_t>(i), state_of(engine, update), 0);
      writer.finish();
    });
    uninterrupted.push_back(train_case(all[i], mesh, &mesh.world(), kBefore + kAfter).losses);
  }
  for (size_t from = 0; from < all.size(); ++from) {
    for (size_t to = 0; to < all.size(); ++to) {
      SCOPED_TRACE(all[from].text() + " -> " + all[to].text());
      comm::Mesh mesh(world, shape_of(all[to]), {}, comm::Backend::mpi);
      const Outcome resumed = train_case(
          all[to], mesh, &mesh.world(), kAfter, {},
          [&](Engine& engine, train::Update& update) {
            engine.weights().master().zero_();  // nothing is left of the start
            const auto path = run::checkpoint_path(folder, static_cast<int64_t>(from));
            const auto values = run::load_checkpoint(path, state_of(engine, update), mesh.world());
            update.load_values(values.at("update"));
            engine.weights().refresh_values();
            engine.publish();
          },
          kBefore);
      for (int64_t s = 0; s < kAfter; ++s) {
        const double got = resumed.losses[static_cast<size_t>(s)],
                     wanted = uninterrupted[from][static_cast<size_t>(s + kBefore)];
        if (from == to) {
          EXPECT_EQ(got, wanted) << "step " << s;
        } else {
          EXPECT_NEAR(got, wanted, 1e-6 * wanted) << "step " << s;
        }
      }
    }
  }
  world.host()->barrier();
  if (world.rank() == 0) fs::remove_all(folder);
}

}  // namespace
}  // namespace ocoee::parallel
