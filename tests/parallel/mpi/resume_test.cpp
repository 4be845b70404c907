// SPDX-License-Identifier: Apache-2.0
// A checkpoint of any layout goes on in any other: bit-equal in the same one, to 1e-6 elsewhere. A
// rank reads the bytes that it needs, and never holds more than its shard beside what it trains.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "parallel/mpi/layout_case.h"
#include "run/checkpoint.h"
#include "support/peak_memory.h"

namespace ocoee::parallel {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kBefore = 2, kAfter = 20;

run::State state_of(Engine& engine, train::Update& update) {
  run::State state;
  state.arrays = engine.weights().master_arrays("");
  for (run::StateArray& array : update.arrays()) state.arrays.push_back(std::move(array));
  state.values["update"] = update.values();
  return state;
}

int64_t bytes_of(const run::State& state) {
  int64_t bytes = 0;
  for (const run::StateArray& array : state.arrays) {
    for (const run::Piece& piece : array.pieces)
      bytes += piece.box.elements() * static_cast<int64_t>(size_of(array.dtype));
  }
  return bytes;
}

// Twelve on four ranks and more; on fewer those that fit. The vocabulary of 97 is padded over
// tensor ranks.
std::vector<LayoutCase> layouts(int ranks) {
  using plan::ScheduleKind;
  std::vector<LayoutCase> all;
  const auto add = [&](int tensor, int context, int pipeline, Shard shard) -> LayoutCase& {
    LayoutCase& c = all.emplace_back();
    c.type = at::kFloat;
    c.layers = 4, c.width = 32, c.heads = 4;
    c.losses_only = true;
    c.tensor = tensor, c.context = context, c.pipeline = pipeline, c.shard = shard;
    c.data = std::max(1, ranks / (tensor * context * pipeline));
    // As many micro-batches as stages; without them one or two.
    const int64_t micro_batches =
        pipeline > 1 ? pipeline : 1 + static_cast<int64_t>(all.size()) % 2;
    c.micro = std::max<int64_t>(1, kSamples / (c.data * micro_batches));
    return c;
  };
  add(1, 1, 1, Shard::none);
  add(1, 1, 1, Shard::states).offload = true;
  add(1, 1, 1, Shard::gradients).recompute = Recompute::full;
  add(1, 1, 1, Shard::parameters).shard_group = 2;
  add(2, 1, 1, Shard::none).recompute = Recompute::selective;
  add(4, 1, 1, Shard::none);
  add(1, 2, 1, Shard::parameters);
  add(2, 2, 1, Shard::gradients).method = plan::ContextMethod::all_to_all;
  LayoutCase& interleaved = add(1, 1, 2, Shard::parameters);
  interleaved.schedule = ScheduleKind::interleaved, interleaved.chunks = 2;
  add(2, 1, 2, Shard::none).schedule = ScheduleKind::zero_bubble;
  add(1, 2, 2, Shard::states);
  LayoutCase& deep = add(1, 1, 4, Shard::none);
  deep.schedule = ScheduleKind::gpipe, deep.cuts = {1, 2, 4};
  std::erase_if(all, [&](const LayoutCase& c) {
    const int replicas = c.data * c.context;
    return c.ranks() != ranks || (c.shard != Shard::none && replicas == 1) ||
           c.shard_group > replicas;
  });
  return all;
}

fs::path folder_for(comm::Communicator& world) {
  const std::string name = fmt::format("ocoee-layouts-{}", ::getpid());
  return fs::temp_directory_path() / world.broadcast_text(name, 0);
}

void save(const fs::path& folder, int64_t number, comm::Mesh& mesh, const run::State& state) {
  run::CheckpointWriter writer(folder, mesh.world(), 100);
  writer.begin(number, state, 0);
  const int64_t held = bytes_of(state);
  EXPECT_LE(writer.finish().host_bytes, held + held / 10);
}

void load(const fs::path& folder, int64_t number, comm::Mesh& mesh, Engine& engine,
          train::Update& update) {
  engine.weights().master().zero_();  // nothing is left of the start
  const run::State state = state_of(engine, update);
  run::LoadCounters counted;
  const auto values =
      run::load_checkpoint(run::checkpoint_path(folder, number), state, mesh.world(), &counted);
  const int64_t held = bytes_of(state);
  EXPECT_EQ(counted.bytes_needed, held);
  EXPECT_GE(counted.bytes_read, held);
  EXPECT_LE(counted.bytes_read, held + held / 8);  // small gaps are read along
  EXPECT_LE(counted.most_host_bytes, held + held / 10);
  update.load_values(values.at("update"));
  engine.weights().refresh_values();
  engine.publish();
}

TEST(Resume, EveryLayoutGoesOnInEveryOther) {
  comm::World& world = testing_support::world();
  const auto all = layouts(world.size());
  if (world.size() >= 4) {
    EXPECT_EQ(all.size(), 12U);
  }
  const fs::path folder = folder_for(*world.host());
  std::vector<std::vector<double>> uninterrupted;
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(all[i].text());
    comm::Mesh mesh(world, all[i].shape(), {}, comm::Backend::mpi);
    train_case(all[i], mesh, &mesh.world(), kBefore, [&](Engine& engine, train::Update& update) {
      save(folder, static_cast<int64_t>(i), mesh, state_of(engine, update));
    });
    uninterrupted.push_back(train_case(all[i], mesh, &mesh.world(), kBefore + kAfter).losses);
  }
  for (size_t from = 0; from < all.size(); ++from) {
    for (size_t to = 0; to < all.size(); ++to) {
      // Four ranks have every ordered pair; on more, of which a core has many, a layout goes on in
      // the next.
      if (world.size() > 4 && to != (from + 1) % all.size()) continue;
      SCOPED_TRACE(all[from].text() + " -> " + all[to].text());
      comm::Mesh mesh(world, all[to].shape(), {}, comm::Backend::mpi);
      const Outcome resumed = train_case(
          all[to], mesh, &mesh.world(), kAfter, {},
          [&](Engine& engine, train::Update& update) {
            load(folder, static_cast<int64_t>(from), mesh, engine, update);
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
  // And one rank by itself.
  if (world.size() > 1 && world.rank() == 0) {
    comm::World alone = comm::World::alone();
    LayoutCase one = all.front();
    one.data = 1;
    for (size_t from = 0; from < all.size(); ++from) {
      SCOPED_TRACE(all[from].text() + " -> one rank");
      comm::Mesh mesh(alone, comm::Shape{}, {});
      const Outcome resumed = train_case(
          one, mesh, nullptr, kAfter, {},
          [&](Engine& engine, train::Update& update) {
            load(folder, static_cast<int64_t>(from), mesh, engine, update);
          },
          kBefore);
      for (int64_t s = 0; s < kAfter; ++s) {
        const double wanted = uninterrupted[from][static_cast<size_t>(s + kBefore)];
        EXPECT_NEAR(resumed.losses[static_cast<size_t>(s)], wanted, 1e-6 * wanted) << "step " << s;
      }
    }
  }
  world.host()->barrier();
  if (world.rank() == 0) fs::remove_all(folder);
}

// Bytes that this process has read from files and pipes, by the count of the kernel (proc(5)).
int64_t bytes_read_so_far() {
  std::ifstream io("/proc/self/io");
  std::string word;
  int64_t bytes = -1;
  while (bytes < 0 && io >> word)
    if (word == "rchar:") io >> bytes;
  return bytes;
}

// As the kernel sees it: what a rank's memory rises by while it saves or loads, beside the arrays
// themselves, and what it reads. A rank that read, mapped or gathered the whole checkpoint would
// show in either.
TEST(Resume, ARankHoldsAndReadsItsOwnShard) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "one rank's shard is the whole";
  constexpr int64_t kMiB = 1 << 20, kSlack = 4 * kMiB;  // MPI's buffers, manifest, pages
  LayoutCase from, to;
  for (LayoutCase* c : {&from, &to})
    c->type = at::kFloat, c->layers = 6, c->width = 384, c->style = "llama", c->losses_only = true;
  from.data = world.size(), from.shard = Shard::parameters;
  to.tensor = 2, to.pipeline = world.size() / 2;
  const fs::path folder = folder_for(*world.host());
  const auto whole = [&](int64_t own) {
    return static_cast<int64_t>(
        world.host()->all_reduce_value(static_cast<double>(own), comm::Reduce::sum));
  };
  {
    comm::Mesh mesh(world, from.shape(), {}, comm::Backend::mpi);
    train_case(from, mesh, &mesh.world(), 1, [&](Engine& engine, train::Update& update) {
      const run::State state = state_of(engine, update);
      const int64_t shard = bytes_of(state);
      ASSERT_GT(whole(shard), shard + shard / 10 + 8 * kSlack) << "else nothing is proven";
      run::CheckpointWriter writer(folder, mesh.world(), 100);
      const testing_support::PeakMemory peak;
      writer.begin(1, state, 0);
      writer.finish();
      EXPECT_LE(peak.rise(), shard + shard / 10 + kSlack);
      EXPECT_GE(peak.seen(), shard / 2) << "the copy was not seen";
    });
  }
  comm::Mesh mesh(world, to.shape(), {}, comm::Backend::mpi);
  train_case(to, mesh, &mesh.world(), 1, {}, [&](Engine& engine, train::Update& update) {
    const run::State state = state_of(engine, update);
    const int64_t shard = bytes_of(state);
    engine.weights().master().fill_(1);  // its pages are there
    for (const run::StateArray& array : update.arrays())
      for (const run::Piece& piece : array.pieces) {
        std::vector<char> values(static_cast<size_t>(piece.box.elements()) * size_of(array.dtype));
        piece.load(values.data());
      }
    const testing_support::PeakMemory peak;
    const int64_t before = bytes_read_so_far();
    run::load_checkpoint(run::checkpoint_path(folder, 1), state, mesh.world());
    const int64_t read = bytes_read_so_far() - before;
    EXPECT_LE(peak.rise(), shard / 10 + kSlack);
    EXPECT_GE(read, shard);
    EXPECT_LE(read, shard + shard / 8 + kSlack);
  });
  world.host()->barrier();
  if (world.rank() == 0) fs::remove_all(folder);
}

}  // namespace
}  // namespace ocoee::parallel
